"""Train recorded runs again, from their folders alone, and say whether they came out the same."""

import argparse
import random
import shlex
import statistics
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from yaml import YAMLError

from ablate import data, record
from ablate.cache import Images
from ablate.compose import from_omegaconf
from ablate.config import Config

IDENTICAL, DIFFERENT, CANNOT_TRY = 0, 1, 2


def reproduce(run_dir: Path, epochs: int | None = None, device: str | None = None, threads: int | None = None) -> int:
    """Train the run of a folder again, which is left untouched, and print what differs, before and after.

    With `epochs`, only so many of its first epochs. Returns 0 when all weights and metrics are the same to the
    bit, else 1. Raises ValueError when the record is not that of a finished run, or its data cannot be had.
    """
    folder = record.RunFolder(run_dir)
    entry = folder.read()
    if entry["state"] != record.State.DONE:
        raise ValueError(f"{run_dir} is {entry['state']}, not DONE: there is no result to compare with")
    config = _read_config(folder)
    from ablate.train import choose_device, set_flags  # imports torch, which a wrong folder need not wait for

    config.trainer.device = device or config.trainer.device
    config.trainer.threads = threads or config.trainer.threads
    images = data.load(config.data)
    where = choose_device(config.trainer.device)
    set_flags(config.trainer)
    print(f"{run_dir.name}:")
    for line in before(folder, entry, config, images.fingerprint, where):
        print(f"  {line}")
    again = _train(config, images, where, entry.get("batch", {}).get("micro"), epochs)
    lines = after(folder, entry, again)
    for line in lines:
        print(f"  {line}", flush=True)
    return IDENTICAL if lines[0].startswith("identical") else DIFFERENT


@dataclass
class Again:
    """What training a run again came to; the final weights' hash is None when it stopped before the last epoch."""

    rows: list[dict[str, float]] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    initial: str = ""
    final: str | None = None


class _Enough(Exception):
    """As many epochs as were asked for."""


def _train(config: Config, images: Images, device: Any, micro: int | None, epochs: int | None) -> Again:
    from ablate.model import on_cpu, weights_sha256
    from ablate.train import Epoch, train

    again = Again()

    def on_epoch(epoch: Epoch) -> None:
        again.rows.append(epoch.row)
        again.digests.append(epoch.digest)
        again.initial = epoch.initial_sha256
        if len(again.rows) == epochs and epochs < config.trainer.epochs:
            raise _Enough

    with suppress(_Enough):
        again.final = weights_sha256(on_cpu(train(config, images, device, on_epoch, micro)))
    return again


def before(folder: record.RunFolder, entry: dict[str, Any], config: Config, fingerprint: str, device: Any) -> list[str]:
    """What differs around the training, in data, experiment, code and environment, and what that lets expect."""
    from ablate.environment import describe, differences
    from ablate.signature import identity, signature

    then, now = dict(entry["environment"]), describe(device, config.trainer)
    code_then = then.pop("code", {})
    code = differences(code_then, now.pop("code"), "code ")
    around = differences(then, now)
    named = signature(identity(config, fingerprint))
    if named != entry["signature"]:
        around.insert(0, f"signature: {entry['signature']} then, {named} now")
    if entry["data"]["fingerprint"] != fingerprint:
        around.insert(0, f"data: fingerprint {entry['data']['fingerprint'][:12]} then, {fingerprint[:12]} now")
    if not config.trainer.deterministic:
        expected = "it was trained with trainer.deterministic=false: its record promises no bits"
    elif around:
        expected = "with these differences, the same bits are not to be expected"
    elif code:
        expected = "only the code differs: the same bits are to be expected unless a change to it touches training"
    else:
        expected = "environment, data and code are those of the record: the same bits are to be expected"
    resumed = [line for line in entry.get("deviations", []) if line.startswith("resumed")]
    return [*around, *code, *(_bring_back(folder, code_then) if code else ()), *resumed, expected]


def _bring_back(folder: record.RunFolder, code: dict[str, Any]) -> list[str]:
    """The commands that bring the record's code back, or why none can."""
    if not code.get("commit"):
        return [
            f"the code was ablate {code.get('version')}, outside a checkout: pip install ablate=={code.get('version')}"
        ]
    lines = [f"the code was that of commit {code['commit']}" + (", with changes" if code.get("dirty") else "")]
    lines.append(f"  git checkout {code['commit']}")
    if folder.diff.exists():
        lines.append(f"  git apply {shlex.quote(str(folder.diff.absolute()))}")
    return lines


def after(folder: record.RunFolder, entry: dict[str, Any], again: Again) -> list[str]:
    """Whether it came out the same, in the first line, then where not and by how much."""
    trained, epochs = len(again.rows), entry.get("epochs", len(again.rows))
    lines = []
    then = entry.get("initial_weights_sha256")
    if then and then != again.initial:
        lines.append(f"the initial weights differ: {then[:12]} then, {again.initial[:12]} now")
    pairs = zip(entry.get("epoch_digests", []), again.digests, strict=False)
    first = next((epoch for epoch, (a, b) in enumerate(pairs, start=1) if a != b), None)
    if first is not None:
        lines.append(f"the weights differ from epoch {first} on")
    lines += compare(folder.read_metrics()[:trained] if again.final is None else folder.read_metrics(), again.rows)
    if again.final is None:
        if not lines:
            return [f"identical so far: weights and metrics of the first {trained} of {epochs} epochs, to the bit"]
        return [f"different, in the first {trained} of {epochs} epochs", *lines]
    recorded = str(entry["weights_sha256"])
    if recorded != again.final:
        lines.append(f"the final weights differ: {recorded[:12]} then, {again.final[:12]} now")
    if not lines:
        return [f"identical: the weights ({recorded[:12]}) and all metrics of all {trained} epochs, to the bit"]
    return ["different", *lines, among_seeds(folder, entry, again.rows[-1]["test_accuracy"])]


def among_seeds(folder: record.RunFolder, entry: dict[str, Any], accuracy: float) -> str:
    """Whether an accuracy lies within what the study's other seeds of the same combination came to."""
    seeds = {}
    for other in record.run_folders(folder.path.absolute().parent):
        try:
            found = other.read()
        except ValueError:
            continue  # a damaged record is named by the report
        if found["state"] == record.State.DONE and found["levels"] == entry["levels"]:
            seeds[found["seed"]] = found["metrics"]["test_accuracy"]
    now = f"final test accuracy {100 * accuracy:.2f} %, {100 * entry['metrics']['test_accuracy']:.2f} % on record"
    if len(seeds) < 2:
        return f"{now}; the study has no other seed of this combination to compare the difference with"
    low, high = min(seeds.values()), max(seeds.values())
    where = "within" if low <= accuracy <= high else "outside"
    spread = f"{100 * low:.2f} to {100 * high:.2f} %, sd {100 * statistics.stdev(seeds.values()):.2f}"
    return f"{now}; {where} the span of the study's {len(seeds)} seeds ({spread})"


def compare(then: list[dict[str, float]], now: list[dict[str, float]]) -> list[str]:
    """One line for the first epoch in which each metric differs, and by how much; timings are not compared."""
    lines = []
    if len(then) != len(now):
        lines.append(f"{len(then)} epochs recorded, {len(now)} trained")
    for column in record.METRIC_COLUMNS:
        apart = [(a, b) for a, b in zip(then, now, strict=False) if a[column] != b[column]]
        if apart and column not in record.TIMINGS:
            a, b = apart[0]
            most = max(abs(a[column] - b[column]) for a, b in apart)
            first = f"{column}: {a[column]!r} then, {b[column]!r} now"
            lines.append(f"{first}, from epoch {a['epoch']:g} on; at most {most:.2g} apart")
    return lines


def sample(study: Path, count: int) -> list[Path]:
    """Some finished runs of a study, drawn anew at each call. Raises ValueError when it has none."""
    finished = []
    for folder in record.run_folders(study):
        try:
            if folder.read()["state"] == record.State.DONE:
                finished.append(folder.path)
        except ValueError as error:
            print(f"set aside: {error}")
    if not finished:
        raise ValueError(f"{study} holds no finished run")
    return sorted(random.SystemRandom().sample(finished, min(count, len(finished))))


def _read_config(folder: record.RunFolder) -> Config:
    try:
        composed = OmegaConf.load(folder.config)
    except (OSError, YAMLError) as error:
        raise ValueError(f"{folder.config} cannot be read: {' '.join(str(error).split())}") from None
    return from_omegaconf(composed)  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ablate.reproduce", description=__doc__)
    parser.add_argument("folder", type=Path, help="a finished run, as outputs/main/resnet18-s0-…, or a study")
    parser.add_argument("--sample", type=int, metavar="N", help="of a study: so many of its finished runs (1)")
    parser.add_argument("--epochs", type=int, metavar="N", help="only the first N epochs, for a quick check")
    parser.add_argument("--device", help="another device than the record's configuration names")
    parser.add_argument("--threads", type=int, metavar="N", help="another number of CPU threads")
    options = parser.parse_args()
    try:
        for name in ("sample", "epochs", "threads"):
            if getattr(options, name) is not None and getattr(options, name) < 1:
                raise ValueError(f"--{name} must be 1 or more")
        if options.sample is None and not (options.folder / "study.json").exists():
            runs = [options.folder]
        else:
            runs = sample(options.folder, options.sample or 1)
        results = [reproduce(run, options.epochs, options.device, options.threads) for run in runs]
    except ValueError as error:
        print(f"ablate.reproduce: {error}", file=sys.stderr)
        sys.exit(CANNOT_TRY)
    if len(runs) > 1:
        print(f"{results.count(IDENTICAL)} of {len(runs)} runs are identical")
    sys.exit(max(results))


if __name__ == "__main__":
    main()
