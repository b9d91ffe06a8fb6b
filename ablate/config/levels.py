"""The levels of a group: the files of its folder in conf, and what is a level without a file.

Every name that timm knows is a backbone, and every number a level of a group that is one number. Each level has one
spelling, so that 128 and b128 are one level in study.json, in names and in the report.
"""

import dataclasses
import difflib
import math
import re
from collections.abc import Collection, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import MISSING, OmegaConf

import ablate
from ablate.config import pretrained
from ablate.config.axes import Axes

FOLDER = Path(ablate.__file__).parent / "conf"  # in a checkout a link to the folder of the top level
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"


@cache
def groups() -> frozenset[str]:
    """Every group that comes with ablate."""
    return frozenset(path.name for path in FOLDER.iterdir() if path.is_dir())


@cache
def files(group: str, folder: Path = FOLDER) -> tuple[str, ...]:
    """The levels of a group that are files."""
    return tuple(sorted(path.stem for path in (folder / group).glob("*.yaml")))


def content(group: str, level: str) -> dict[str, Any] | None:
    """The settings of a level that is no file; None where there is no such level."""
    if group == "backbone":
        name, _, tag = level.partition(".")
        if pretrained.timm_knows(name) and (not tag or pretrained.timm_has_tag(name, tag)):
            return {"name": name, "tag": tag or None}
    number = number_of(group, level)
    if number is not None and level == _spelled_number(group, number):
        return {_number_group(group)[0]: int(number) if number == int(number) else float(number)}
    return None


def spelled(group: str, text: str, own: Collection[str] = ()) -> str:
    """The level that a text names: 128 is b128, ResNet50 is resnet50; the text itself where it names none.

    `own` are levels that a command brings in folders of its own.
    """
    known = {*files(group), *own}
    text = text.strip().removesuffix(".yaml")
    if group == "backbone":
        text = re.sub(r"^(?:hf[-_]hub:)?timm[/:]", "", text)
    if text in known or not text:
        return text
    number = number_of(group, text)
    if number is not None:
        return _spelled_number(group, number)
    if content(group, text) is not None:
        return text
    alike = {level for level in known if folded(level) == folded(text)}
    if not alike and group == "backbone":
        name, dot, tag = text.partition(".")
        alike = {f"{model}{dot}{tag}" for model in pretrained.timm_models() if folded(model) == folded(name)}
    return alike.pop() if len(alike) == 1 else text


def is_level(group: str, text: str, own: Collection[str] = ()) -> bool:
    """Whether a group has a level by this name."""
    level = spelled(group, text, own)
    return level in files(group) or level in own or content(group, level) is not None


def folded(name: str) -> str:
    """A name without what is easily mistaken in it: case and separators."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def nearest(group: str, wrong: str, known: Sequence[str]) -> list[str]:
    """The closest levels among the files, and for a backbone among timm's names too."""
    found = difflib.get_close_matches(wrong.lower(), known, n=1, cutoff=0.6)
    if group == "backbone":
        name, _, tag = wrong.lower().partition(".")
        if tag and pretrained.timm_knows(name):
            tags = pretrained.timm_tags(name)
            return [f"{name}.{each}" for each in difflib.get_close_matches(tag, tags, n=2, cutoff=0.3) or tags[:2]]
        models = pretrained.timm_models()
        begins = [model for model in models if model.startswith(name)] if len(name) > 2 else []
        # vit is a family: its shortest names; resnt50 is a slip.
        found += sorted(begins, key=lambda model: (not model.startswith(f"{name}_"), len(model)))[:2]
        found += [] if begins else difflib.get_close_matches(name, models, n=1, cutoff=0.6)
    elif not found:
        found = [level for level in known if folded(wrong) and folded(wrong) in folded(level)][:2]
    return list(dict.fromkeys(found))


# -- numbers ----------------------------------------------------------------------------------


def is_numeric(group: str) -> bool:
    """Whether a group is one number, as batch_size is."""
    return _number_group(group)[0] != ""


def number_setting(group: str) -> str:
    """The one setting that a group is a number by: size of batch_size; "" of any other group."""
    return _number_group(group)[0]


def number_of(group: str, text: str) -> Decimal | None:
    """The number that a text is, with or without what a group's levels begin with; None where it is none."""
    setting, prefix, _ = _number_group(group)
    if not setting or not re.fullmatch(rf"(?:{re.escape(prefix)})?{NUMBER}", text):
        return None
    return _decimal(text.removeprefix(prefix))


def _spelled_number(group: str, number: Decimal) -> str:
    """As the file of that number is called; without one by the same rule: b192, wd2e-3."""
    _, prefix, named = _number_group(group)
    if number in named:
        return named[number]
    if not number or 0 <= number.adjusted() < 12:
        return f"{prefix}{number:f}"
    digits = "".join(map(str, number.as_tuple().digits))
    mantissa = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
    return f"{prefix}{'-' if number < 0 else ''}{mantissa}e{number.adjusted()}"


@cache
def _number_group(group: str) -> tuple[str, str, dict[Decimal, str]]:
    """The setting that a group is, what its levels begin with, and {number: level that is a file}; "" for no number.

    A group is a number where that is the one setting that a level has to give.
    """
    axis = next((f.type for f in dataclasses.fields(Axes) if f.name == group), None)
    if not isinstance(axis, type):
        return "", "", {}
    settings = dataclasses.fields(axis)
    own = [f for f in settings if f.default == MISSING] or settings
    if len(own) != 1 or own[0].type not in (int, float):
        return "", "", {}
    setting, prefixes, named = own[0].name, [], dict[Decimal, str]()
    for level in files(group):
        try:
            held = OmegaConf.to_container(OmegaConf.load(FOLDER / group / f"{level}.yaml"))
        except (OSError, ValueError, yaml.YAMLError):
            continue  # named when it is asked for
        if isinstance(held, dict) and held.keys() == {setting} and isinstance(held[setting], int | float):
            number = _decimal(str(held[setting]))
            begins = re.fullmatch(rf"(\D+){NUMBER}", level)
            if number is not None:
                named.setdefault(number, level)
                prefixes += [begins[1]] if begins and _decimal(level.removeprefix(begins[1])) == number else []
    return setting, max(prefixes, key=prefixes.count, default=setting), named


def _decimal(text: str) -> Decimal | None:
    """A number in decimal, without trailing zeros; two texts of one float are one number."""
    try:
        number = float(text)
    except ValueError:
        return None
    return Decimal(repr(number)).normalize() + 0 if math.isfinite(number) else None
