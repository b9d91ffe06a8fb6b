"""A study as one file that is a study folder once unpacked: reported, reproduced and continued elsewhere."""

import getpass
import hashlib
import json
import os
import re
import socket
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.records import run_folder, study_plan
from ablate.records.run_folder import RunFolder

CHECKSUMS, REQUIREMENTS = "SHA256SUMS", "requirements.txt"
OLDEST = (1980, 1, 1, 0, 0, 0)  # that a zip file can say; two archives of one study are the same to the bit
# A path from the root of a file system or a home, of two names at least, so that 1/2 and </b> are none.
ABSOLUTE = re.compile(r"(?<![\w.:/<~])(?:~|[A-Za-z]:)?(?:[/\\]+[\w.+@=-]+){2,}[/\\]*")
REMOTE = re.compile(r"\b(?:https?|ssh|git)://\S+|\b[\w.-]+@[\w.-]+(?::[\w./-]+)?")


@dataclass(frozen=True)
class Archive:
    """What was packed."""

    path: Path
    runs: int
    files: int
    bytes: int  # of the archive


def pack(study: Path, target: Path, *, weights: bool = False, anonymous: bool = False) -> Archive:
    """Write a study into a zip file; what can be made again (the report, the index) is left out.

    `weights` adds the weights that were kept, and the checkpoints of unfinished runs. `anonymous` takes paths, hosts,
    users and remotes out of all texts, and leaves out logs, differences of code and TensorBoard's files, which may hold
    anything. Raises ValueError where there is no study, and OSError where the file cannot be written.
    """
    study_plan.read(study)
    runs = [folder for folder, _ in run_folder.records(study)]
    sums: list[str] = []
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:

            def add(name: str, content: bytes) -> None:
                info = zipfile.ZipInfo(f"{study.resolve().name}/{name}", OLDEST)
                info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(info, content)
                sums.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")

            for path in [study / study_plan.NAME, *(each for run in runs for each in _files(run, weights, anonymous))]:
                content = path.read_bytes()
                add(path.relative_to(study).as_posix(), _without_places(path, content) if anonymous else content)
            add(REQUIREMENTS, _requirements(study).encode())
            of_all_others = zipfile.ZipInfo(f"{study.resolve().name}/{CHECKSUMS}", OLDEST)
            archive.writestr(of_all_others, "".join(sums))
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
    return Archive(target, len(runs), len(sums) + 1, target.stat().st_size)


def _files(run: RunFolder, weights: bool, anonymous: bool) -> Iterator[Path]:
    """The files of a run's record that there are."""
    wanted = [run.config, run.record, run.metrics, run.predictions, run.samples, *sorted(run.confusion.glob("*.csv"))]
    if weights:
        wanted += [run.weights, run.checkpoint]
    if not anonymous:
        wanted += [run.log, run.diff, *run.events()]
    yield from (path for path in wanted if path.is_file())


def _without_places(path: Path, content: bytes) -> bytes:
    """A text without paths, hosts, users and remotes; other files as they are."""
    names = _names()
    if path.suffix == ".json":
        return json.dumps(_in_strings(json.loads(content), names), indent=2).encode() + b"\n"
    return _anonymous(content.decode(), names).encode() if path.suffix in (".yaml", ".csv") else content


def _in_strings(value: Any, names: Mapping[str, str]) -> Any:
    """The same JSON value with each text made anonymous; keys are kept."""
    if isinstance(value, dict):
        return {key: _in_strings(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [_in_strings(each, names) for each in value]
    return _anonymous(value, names) if isinstance(value, str) else value


def _anonymous(text: str, names: Mapping[str, str]) -> str:
    text = ABSOLUTE.sub("PATH", REMOTE.sub("REMOTE", text))
    for name, word in names.items():
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", word, text)
    return text


def _names() -> dict[str, str]:
    """{this machine's host and user: what takes its place}; names so short that they are words are kept."""
    names = {socket.gethostname(): "HOST"}
    with suppress(OSError, KeyError):  # a user without an entry
        names[getpass.getuser()] = "USER"
    return {name: word for name, word in names.items() if len(name) > 2 and name != "root"}


def _requirements(study: Path) -> str:
    """The versions that most runs had, for `pip install -r`, and in comments what others had."""
    found = Counter(
        json.dumps(record.environment.get("packages", {}), sort_keys=True) for _, record in run_folder.records(study)
    )
    (most, count), *others = found.most_common() or [("{}", 0)]
    lines = [f"# The environment of {count} of {sum(found.values())} runs."]
    lines += [f"{name}=={version}" for name, version in json.loads(most).items()]
    for other, count in others:
        words = ", ".join(f"{name} {version}" for name, version in json.loads(other).items())
        lines.append(f"# {count} others: {words}")
    return "\n".join(lines) + "\n"
