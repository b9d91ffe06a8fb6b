"""Folders with a job each: a multirun of Hydra, or the outputs of timm's train.py."""

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HYDRA, TIMM = "a multirun of Hydra", "summary.csv files of timm"
DEEPEST = 5  # folders below the one that is given
METRICS = (
    "metrics",
    "results",
    "result",
    "summary",
    "scores",
    "eval",
    "test",
)  # how people call their files, the likeliest first
OF_THE_JOB = ("hydra.yaml", "config.yaml", "overrides.yaml", "hparams.yaml", "args.yaml")


@dataclass(frozen=True)
class Job:
    """One run: where it lies, as seen from the folder that was given, its settings and its results, as text."""

    name: str
    settings: dict[str, str]
    results: dict[str, str]


@dataclass(frozen=True)
class Jobs:
    kind: str
    jobs: list[Job]
    named: tuple[str, ...]  # the settings that the jobs' own commands name
    notes: tuple[str, ...]


def kind_of(folder: Path) -> str | None:
    """What lies in a folder, in words; None where it holds no job that can be read."""
    for place in _folders(folder):
        if (place / ".hydra" / "config.yaml").is_file():
            return HYDRA
        if (place / "summary.csv").is_file() and (place / "args.yaml").is_file():
            return TIMM
    return None


def read(folder: Path) -> Jobs:
    """Every job below a folder. Raises ValueError where there is none, and for a file that cannot be read."""
    kind = kind_of(folder)
    if kind is None:
        raise ValueError(
            f"{folder} holds no study.json, no job of Hydra (.hydra/config.yaml) and no run of timm (summary.csv next "
            "to args.yaml); a table of runs is a .csv file"
        )
    if kind == TIMM:
        places = [p for p in _folders(folder) if (p / "summary.csv").is_file() and (p / "args.yaml").is_file()]
        jobs = [Job(_name(folder, p), flat(_yaml(p / "args.yaml")), last_values(p / "summary.csv")) for p in places]
        return Jobs(kind, jobs, (), ("each run's last epoch counts",))
    places = [p for p in _folders(folder) if (p / ".hydra" / "config.yaml").is_file()]
    named = dict.fromkeys(key for place in places for key in _overridden(place))
    jobs = [Job(_name(folder, place), _settings(place), _results(place)) for place in places]
    files = sorted({path.name for place in places for path in _metric_files(place)})
    return Jobs(kind, jobs, tuple(named), (f"results are from {', '.join(files)}",) if files else ())


def _folders(folder: Path, depth: int = DEEPEST) -> Iterator[Path]:
    """A folder and those in it, in the order of their numbers and names; reports and hidden ones are left out."""
    yield folder
    if depth:
        try:
            inside = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".") and p.name != "report"]
        except OSError:  # another user's
            inside = []
        for each in sorted(
            inside, key=lambda p: (not p.name.isdigit(), int(p.name) if p.name.isdigit() else 0, p.name)
        ):
            yield from _folders(each, depth - 1)


def _name(folder: Path, place: Path) -> str:
    return str(place.relative_to(folder)) if place != folder else place.name


# -- Hydra ------------------------------------------------------------------------------------


def _settings(job: Path) -> dict[str, str]:
    """Which option of each group a job took, and every setting."""
    choices: Any = {}
    if (path := job / ".hydra" / "hydra.yaml").is_file():
        choices = _yaml(path).get("hydra", {}).get("runtime", {}).get("choices", {})
    groups = {str(k): str(v) for k, v in (choices or {}).items() if not str(k).startswith("hydra") and v is not None}
    settings = flat(_yaml(job / ".hydra" / "config.yaml"))
    return {**{key: value for key, value in _overridden(job).items() if key not in settings}, **groups, **settings}


def _overridden(job: Path) -> dict[str, str]:
    """What a job's command set, {key: value as typed}."""
    path = job / ".hydra" / "overrides.yaml"
    words = _yaml(path, list) if path.is_file() else []
    pairs = (str(word).lstrip("+").partition("=") for word in words if not str(word).startswith("~"))
    return {key.partition("@")[0]: value for key, _, value in pairs}


def _results(job: Path) -> dict[str, str]:
    """The results of a job's files, those of the likeliest file first."""
    found: dict[str, str] = {}
    for path in _metric_files(job):
        found = {**last_values(path), **found}
    return found


def _metric_files(job: Path) -> list[Path]:
    """The files in which a job left its results: those that are called so, or else all that may hold any."""
    paths = [
        path
        for place in _folders(job, 3)
        for path in sorted(place.iterdir())
        if path.suffix in (".json", ".jsonl", ".csv", ".yaml") and path.is_file() and path.name not in OF_THE_JOB
    ]
    likely = [p for p in paths if any(word in p.stem.lower() for word in METRICS)] or [
        p for p in paths if p.suffix != ".yaml"
    ]
    return sorted(
        likely, key=lambda p: next((n for n, word in enumerate(METRICS) if word in p.stem.lower()), len(METRICS))
    )


# -- files ------------------------------------------------------------------------------------


def last_values(path: Path) -> dict[str, str]:
    """The last value of each result in a file: of a table, a list, or lines of JSON, that of the last row that has it.

    Raises ValueError for a file that cannot be read.
    """
    try:
        match path.suffix:
            case ".csv":
                with open(path, newline="", encoding="utf-8-sig") as file:
                    rows: Any = list(csv.DictReader(file))
            case ".jsonl":
                rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
            case ".yaml":
                rows = yaml.safe_load(path.read_text())
            case _:
                rows = json.loads(path.read_text())
    except (OSError, ValueError, csv.Error, yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    found: dict[str, str] = {}
    for row in rows if isinstance(rows, list) else [rows]:
        values = flat({key: _last(value) for key, value in row.items()}) if isinstance(row, Mapping) else {}
        found |= {key: value for key, value in values.items() if value != "" and _is_number(value)}
    return found


def _last(value: Any) -> Any:
    """Of a history, as Keras keeps one for each metric, its last value."""
    return value[-1] if isinstance(value, list) and value and isinstance(value[-1], int | float) else value


def _yaml(path: Path, kind: type = dict) -> Any:
    """A YAML file's content. Raises ValueError where it is not of that kind."""
    try:
        content = yaml.load(path.read_text(), Loader=_Plain)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(content, kind):
        raise ValueError(f"{path} cannot be read: it holds no {'list' if kind is list else 'settings'}")
    return content


class _Plain(yaml.SafeLoader):
    """Reads what other trainers write: a tag of Python is read as the plain value under it, and runs nothing."""


def _untagged(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node)
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_Plain.add_multi_constructor("", _untagged)


def flat(values: Mapping[Any, Any], prefix: str = "") -> dict[str, str]:
    """{dotted key: value as text}."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = (
                "" if value is None else json.dumps(value) if isinstance(value, bool | list) else str(value)
            )
    return found


def _is_number(text: str) -> bool:
    try:
        return not math.isinf(float(text)) or True
    except ValueError:
        return False
