#!/bin/sh
# A real Slurm of one node, this machine, for tests: no accounting, its own keys, ports and folders.
#
#   tests/slurm.sh up FOLDER      starts it where it does not run; then `export SLURM_CONF=FOLDER/slurm.conf`
#   tests/slurm.sh down FOLDER    ends its jobs, then itself
#
# Needs root and Debian's slurm-wlm and munge, which it installs where they are missing. Leaves /etc alone. The partition
# `urgent` takes nodes from `main`, whose jobs are requeued; `graceful` is like `main`, but warns them a while before.
set -eu
[ $# -eq 2 ] || { sed -n 2,8p "$0"; exit 2; }
mkdir -p "$2" && folder=$(cd "$2" && pwd)
export SLURM_CONF="$folder/slurm.conf"
host=$(hostname -s)

runs() { [ -f "$folder/$1.pid" ] && kill -0 "$(cat "$folder/$1.pid")" 2>/dev/null; }

idle() { sinfo --noheader --format=%t 2>/dev/null | grep -qE '^(idle|mix|alloc)$'; }

await() { # SECONDS COMMAND...
    seconds=$1 && shift
    until "$@"; do
        [ "$seconds" -gt 0 ] || { echo "slurm.sh: $* did not come true; see $folder/*.log" >&2; exit 1; }
        seconds=$((seconds - 1)) && sleep 1
    done
}

up() {
    if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
    fi
    mkdir -p "$folder/state" "$folder/spool"
    [ -f "$folder/munge.key" ] || (umask 077 && head -c 1024 /dev/urandom >"$folder/munge.key")
    runs munged || munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
        --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
    cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket,cred_expire=10
CryptoType=crypto/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SchedulerParameters=sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
KillWait=20
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES PriorityTier=1
PartitionName=graceful Nodes=ALL PriorityTier=1 GraceTime=30
PartitionName=urgent Nodes=ALL PriorityTier=2
CONF
    runs slurmctld || slurmctld
    runs slurmd || slurmd
    await 30 idle
}

down() {
    if runs slurmctld; then
        scancel --user="$(id -u)" || true
        await 60 sh -c '[ -z "$(squeue --noheader)" ]'
    fi
    for daemon in slurmd slurmctld munged; do
        if runs $daemon; then
            pid=$(cat "$folder/$daemon.pid")
            kill "$pid"
            await 30 sh -c "! kill -0 $pid 2>/dev/null"
        fi
    done
}

"$1"
