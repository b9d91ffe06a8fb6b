"""What first tries mean: the setting, level or command that a word comes closest to, written as it works."""

import dataclasses
import difflib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ablate.config import levels, pretrained, texts
from ablate.config.checks import or_list
from ablate.config.levels import folded
from ablate.config.schema import Config

# The field's other words, where a setting's own last word, its beginning or its initials are not meant by them.
SYNONYMS = {
    "model": "backbone", "arch": "backbone", "architecture": "backbone", "network": "backbone", "net": "backbone",
    "encoder": "backbone", "modelname": "backbone", "learningrate": "optimizer.lr", "dataset": "data",
    "lrscheduler": "scheduler", "lrschedule": "scheduler", "transform": "augment", "transforms": "augment",
    "classifier": "head", "l2": "weight_decay", "name": "study.name", "experiment": "study.name",
    "project": "study.name", "output": "study.root", "outputs": "study.root", "outdir": "study.root",
    "outputdir": "study.root", "savedir": "study.root", "amp": "trainer.precision", "dtype": "trainer.precision",
    "fp16": "trainer.precision", "bf16": "trainer.precision", "imgsize": "data.resolution",
    "imagesize": "data.resolution", "imgsz": "data.resolution", "checkpoint": "backbone.weights",
    "ckpt": "backbone.weights", "gradclip": "trainer.clip_norm", "repeats": "seeds", "folds": "seeds",
    "dir": "data.path", "folder": "data.path", "datadir": "data.path", "dataroot": "data.path",
    "imagedir": "data.path", "gamma": "scheduler.factor", "stepsize": "scheduler.every",
    "randomseed": "seed", "control": "study.baseline", "conditional": "study.when", "if": "study.when",
    "pair": "study.zip", "paired": "study.zip", "together": "study.zip", "hypothesis": "study.question",
    "iterations": "trainer.epochs", "steps": "trainer.epochs", "train": "trainer",
}  # fmt: skip
# What has no setting, and why none is needed.
NEEDLESS = {
    ("gpu", "gpus", "ngpu", "numgpus", "cuda"): "GPUs are found and used by themselves; CUDA_VISIBLE_DEVICES=0 chooses "
    "among them and study.runs_per_gpu=N lets runs share each",
    ("workers", "numworkers", "jobs", "njobs"): "images need no workers; study.slots=N is how many runs train at once, "
    "and trainer.threads=N is the CPU threads of each",
    ("resume", "continue"): "the same command continues what it has begun",
}
NEEDLESS_NAMES = frozenset(name for names in NEEDLESS for name in names)
COMMANDS = {
    "list": "ls", "show": "report", "results": "report", "result": "report", "plot": "report", "compare": "report",
    "summary": "report", "analyse": "report", "analyze": "report", "delete": "remove", "rm": "remove",
    "progress": "status", "ps": "status", "check": "inspect", "rerun": "reproduce", "repeat": "reproduce",
    "verify": "reproduce", "fetch": "download", "get": "download",
}  # fmt: skip
TUNED = "tune."  # in front of a key whose value is chosen for each combination, not compared
MULTIPLES = re.compile(r"(^|[,(])x(?=[\d.])")
PLAIN_TEXT = re.compile(r"[\w.,+ -]+")  # no path, list, interpolation or function
NUMBERS = (int, float, int | None, float | None)
STARTS = ("train", "run", "sweep", "fit", "start", "launch", "study", "grid", "multirun", "ablate", "new", "create")
MANY = re.compile(r"\s*[|;&+/ \t]\s*")  # what several values are parted by elsewhere


@cache
def fields(schema: type = Config, prefix: str = "") -> dict[str, Any]:
    """{dotted key: its type} of every key that a configuration has, the groups themselves included."""
    found: dict[str, Any] = {}
    for f in dataclasses.fields(schema):
        found[prefix + f.name] = f.type
        if isinstance(f.type, type) and dataclasses.is_dataclass(f.type):
            found |= fields(f.type, f"{prefix}{f.name}.")
    return found


# -- keys -------------------------------------------------------------------------------------


def meant_keys(wrong: str) -> list[str]:
    """The keys that a wrong one may mean, by the surest kind of likeness alone; [] where nothing is close.

    Those of its own group first, then those of the top, then all others.
    """
    group, _, last = wrong.rpartition(".")
    known, word = fields(), folded(last)
    if group and group not in known:  # model.name, optim.lr
        group = next((key for key in meant_keys(group) if "." not in key), "")
        if not group:
            return []
    if not group and (meant := SYNONYMS.get(word) or next((key for key in known if folded(key) == word), None)):
        return [meant]
    top = [key for key in known if "." not in key]
    inside = [key for key in known if group and key.rpartition(".")[0] == group]
    for keys in (inside, top, list(known)):
        names = {key: folded(key.rpartition(".")[2]) for key in keys}
        alike = [key for key, name in names.items() if name == word or SYNONYMS.get(word) == key]
        if found := alike or [key for key in keys if _initials(key) == word]:
            return found
        if keys is inside and (found := _begin(word, names) or _close(last, keys)):
            return found
    if close := _close(wrong, top):
        return close
    names = {key: folded(key.rpartition(".")[2]) for key in known}
    return _begin(word, {key: names[key] for key in top}) or _begin(word, names) or _close(last, list(known))


def _initials(key: str) -> str:
    words = key.rpartition(".")[2].split("_")
    return "".join(word[0] for word in words) if len(words) > 1 else ""


def _begin(word: str, names: Mapping[str, str]) -> list[str]:
    """The keys that a word begins or goes on from, as aug and augmentation do, or that it ends in, as num_epochs."""
    return [
        key
        for key, name in names.items()
        if min(len(word), len(name)) > 2
        and (word.startswith(name) or name.startswith(word) or (len(name) > 3 and word.endswith(name)))
    ]


def _close(wrong: str, keys: Sequence[str]) -> list[str]:
    spoken = {key.rpartition(".")[2]: key for key in reversed(keys)}
    return [spoken[name] for name in difflib.get_close_matches(wrong, spoken, n=1, cutoff=0.6)]


def unknown_key(key: str, value: str = "") -> str:
    """One sentence for a key that no configuration has: what it may mean, with its value, or why it is not needed."""
    if key + "." == TUNED:
        return "tune is written in front of what is chosen, as in tune.optimizer.lr=x0.1,x0.3,x1,x3"
    for names, why in NEEDLESS.items():
        if folded(key) in names:
            return f"{key} is no setting: {why}"
    if meant := meant_keys(key):
        return f"{key} is unknown; did you mean {or_list([_with(each, value) for each in meant[:3]])}?"
    group = key.rpartition(".")[0]
    inside = [each.rpartition(".")[2] for each in fields() if each.rpartition(".")[0] == group]
    return f"{key} is unknown; " + (
        f"{group} has {', '.join(inside)}" if group else "ablate --help lists the axes and the settings"
    )


def _with(key: str, value: str) -> str:
    """A key with its value, in the level's own spelling; precision for what only says that it is mixed."""
    if not value:
        return key
    if key == "trainer.precision" and value.lower() in ("true", "1", "16", "float16", "16-mixed"):
        value = "fp16"
    if key in levels.groups() and not levels.is_numeric(key):
        value = ",".join(levels.spelled(key, each) for each in value.split(","))
    return f"{key}={value}"


# -- levels -----------------------------------------------------------------------------------


def unknown_level(group: str, level: str, known: Sequence[str]) -> str:
    """One sentence for a level that a group does not have: the nearest ones, and those that it has."""
    near = levels.nearest(group, level, known)
    meant = f"; did you mean {or_list(near)}?" if near else ""
    more = ""
    if group == "study":
        meant += f"{' If it' if near else '; if it'} is to be the study's name, write study.name={level}"
    elif group == "data":
        meant += f"{' Your' if near else '; your'} own pictures are data=folder data.path=DIR"
    elif group == "backbone":
        more = ", and every model of timm by its name"
    elif levels.is_numeric(group):
        more = ", and every number"
    return f"{group}={level}: no such level{meant} ({group} has {', '.join(known)}{more})"


# -- words ------------------------------------------------------------------------------------


def refuse(words: Sequence[str], own: Sequence[Path] | None = ()) -> None:
    """Raise ValueError for settings that cannot be meant as they are written.

    `own` are the folders of configurations that the command brings; None where they cannot be known here, so that
    Hydra alone knows which groups and levels there are.
    """
    for number, word in enumerate(words):
        key, equals, value = word.partition("=")
        if word.startswith(("-", "~", "hydra")):
            continue
        if not equals or (not value.strip() and number + 1 < len(words) and "=" not in words[number + 1]):
            raise ValueError(_bare(words, number if not equals else number + 1))
        key = key.lstrip("+")
        if re.search(r"[/@:]", key):
            continue
        if key.startswith(TUNED):
            key, value = key.removeprefix(TUNED), MULTIPLES.sub(r"\1", value)
            _refuse_single(key, value)
        _refuse_form(key, value)
        if own is not None:
            _refuse_key(key, value, own)
            _refuse_values(key, value, [level for folder in own for level in levels.files(key, folder)])


def _refuse_single(key: str, value: str) -> None:
    """Raise ValueError for a tuned key with one value: Hydra would say that there is no such key."""
    if not re.search(r"[,(*]", value):
        raise ValueError(f"{TUNED}{key} has one value, so there is nothing to choose; write {key}={value.strip()}")


def _bare(words: Sequence[str], number: int) -> str:
    """What a word without = is: a switch, a level of another group, or the next value of the setting before it."""
    word = words[number].strip(",")
    key, _, first = words[number - 1].partition("=") if number else ("", "", "")
    first = texts.unquoted(first) if texts.is_text(key) else first
    if word and (keys := _key_alone(word)):
        return f"{word!r} has no value; write {keys[0]}={_example(keys[0])}"
    if word and not levels.is_level(key, word) and (group := _group_of(word)) and (not key or key in levels.groups()):
        return f"{word!r} is no setting; write {_with(group, word)}"
    if not key:
        return f"{word!r} is no setting; write KEY=VALUE or KEY=VALUE,VALUE"
    values = [first]
    for each in words[number:]:
        if "=" in each.strip("="):
            break
        values.append(each)
    if texts.is_text(key):
        return f"{words[number]!r} is no setting; quote the whole text for the shell: {key}='{' '.join(values)}'"
    listed = ",".join(part.strip() for part in ",".join(values).split(",") if part.strip(" ="))
    return f"{words[number]!r} is no setting; write {key}={listed}, with commas and without spaces"


def _example(key: str) -> str:
    return "true" if fields().get(key) in (bool, Any) else "VALUE"


def _group_of(level: str) -> str | None:
    """The group that has such a level by name; None for numbers, which several have."""
    if re.fullmatch(levels.NUMBER, level):
        return None
    order = ("study", "backbone", *sorted(levels.groups() - {"study", "backbone", "trainer", "reference"}))
    return next((group for group in order if all(levels.is_level(group, part) for part in level.split(","))), None)


def _refuse_form(key: str, value: str) -> None:
    """Raise ValueError for a second = and for several settings in one word; a path may hold anything."""
    if fields().get(key) in (str, str | None):
        return
    if value.startswith("="):
        raise ValueError(f"{key}={value} has two '='; write {key}={value.lstrip('= ')}")
    if re.match(r"[^'\"\[{$]*\s[\w.]+=", value):
        raise ValueError(f"{key}={value} is several settings in one word; give each without quotes around all of them")


def _refuse_key(key: str, value: str, own: Sequence[Path]) -> None:
    parent = key.rpartition(".")[0]
    known = fields()
    is_group = key in levels.groups() or any((folder / key).is_dir() for folder in own)
    if key in known or is_group or (parent and not dataclasses.is_dataclass(known.get(parent, Config))):
        return
    raise ValueError(unknown_key(key, value))


def _is_number(text: str, *, whole: bool) -> bool:
    try:
        return float(text).is_integer() or not whole
    except ValueError:
        return False


def _refuse_values(key: str, value: str, mine: Sequence[str]) -> None:
    """Raise ValueError for several values that are not parted by commas, and for levels that there are not.

    `mine` are the levels of the command's own folders.
    """
    is_group = key in levels.groups()
    kind, inner = fields().get(key), value.strip("'\" ")

    def fits(text: str) -> bool:
        return levels.is_level(key, text, mine) if is_group else re.fullmatch(levels.NUMBER, text) is not None

    if key == "backbone.name":
        for name in inner.split(",") if PLAIN_TEXT.fullmatch(inner) else ():
            pretrained.check_backbone(name)
        return
    if not is_group and kind not in NUMBERS:
        return
    if is_group and not inner:
        raise ValueError(f"{key}= has no level; {key} has {', '.join(sorted({*levels.files(key), *mine}))}")
    parts = [part for part in MANY.split(inner) if part]
    if inner.startswith("[") and inner.endswith("]") and "$" not in inner:
        parts = [part.strip(" '\"") for part in inner[1:-1].split(",")]
    if parts != [inner] and not fits(inner) and all(map(fits, parts)):
        raise ValueError(f"{key}={value}: give several values with commas alone, as in {key}={','.join(parts)}")
    if series := re.fullmatch(r"(\d+)(?:-|\.\.+|:)(\d+)", inner) if kind in (int, int | None) else None:
        raise ValueError(f"{key}={value}: write a series as '{key}=range({series[1]},{int(series[2]) + 1})'")
    for text in map(str.strip, inner.split(",")) if PLAIN_TEXT.fullmatch(inner) else ():
        if is_group and text and not fits(text):
            raise ValueError(unknown_level(key, text, sorted({*levels.files(key), *mine})))
        if not is_group and text not in ("", "null") and not _is_number(text, whole=kind in (int, int | None)):
            raise ValueError(f"{key}={text} must be a {'whole ' if kind in (int, int | None) else ''}number")


def unknown_option(option: str, following: str, known: Sequence[str]) -> str:
    """One sentence for an option that there is not: settings have no dashes."""
    name, equals, value = option.partition("=")
    key = name.lstrip("-").replace("-", "_")
    value = value if equals else following or "true"
    if folded(key) in NEEDLESS_NAMES:
        return f"there is no option {name}; {unknown_key(key).partition(': ')[2]}"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    meant = meant_keys(key) if len(key) > 1 and not close else []
    if meant:
        return f"there is no option {name}; write settings without dashes, as in {_with(meant[0], value)}"
    if name == "--config":
        return f"there is no option {name}; --config-dir DIR brings a folder of files, study=NAME a preset in it"
    near = f"; did you mean {close[0]}?" if close else "; ablate --help lists the settings, which have no dashes"
    return f"there is no option {name}{near}"


def unknown_command(words: Sequence[str]) -> str:
    """What a command's first word may mean where it is no subcommand; "" where that cannot be known."""
    first, rest = words[0], [word.strip("=,") for word in words[1:]]
    settings = [word for word in rest if "=" in word]
    values = [word for word in rest if word and "=" not in word and not word.startswith("-")]
    if first.lower() in COMMANDS:
        return f"did you mean ablate {' '.join([COMMANDS[first.lower()], *words[1:]])}?"
    if first.lower() in STARTS:
        return f"training needs no command; write ablate {' '.join(settings) or 'backbone=resnet18,resnet34'}"
    if first.lower() in NEEDLESS_NAMES:
        return unknown_key(first).partition(": ")[2]
    if Path(first).is_dir() and not rest:
        return f"{first} is a folder; write ablate report {first} for a study, or ablate inspect {first} for pictures"
    key, colon, level = first.partition(":")
    if colon and (keys := _key_alone(key)):
        return f"write settings with '=', as in ablate {_with(keys[0], level or ','.join(values))}"
    if _key_alone(first):
        return f"write settings with '=', as in ablate {_paired([first, *values])}"
    if group := _group_of(first):
        return f"write settings with '=', as in ablate {_with(group, first)}"
    return ""


def _paired(words: Sequence[str]) -> str:
    """`backbone resnet18 optimizer adam` as settings."""
    found: dict[str, list[str]] = {}
    for word in words:
        if keys := _key_alone(word):
            values = found.setdefault(keys[0], [])
        else:
            values += [part for part in word.split(",") if part]
    return " ".join(_with(key, ",".join(values) or _example(key)) for key, values in found.items())


def _key_alone(word: str) -> list[str]:
    """The key that a word names by itself, not one that it merely comes close to."""
    meant = meant_keys(word)
    sure = {folded(key) for key in meant} | {folded(key.rpartition(".")[2]) for key in meant}
    return meant if folded(word) in sure or folded(word) in SYNONYMS else []
