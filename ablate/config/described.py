"""What each setting and each level is, in words: from the comments in the dataclasses and in the files of conf/.

`ablate explain` and the settings reference of the documentation print the same.
"""

import ast
import dataclasses
import inspect
import re
import textwrap
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from omegaconf import MISSING

import ablate
from ablate.config import levels
from ablate.config.levels import FOLDER
from ablate.config.schema import HASHED_GROUPS, Config
from ablate.config.signature import unhashed

READERS = ("train", "data", "run", "plan", "launch", "commands", "config")  # folders that read settings


@dataclass(frozen=True)
class Setting:
    """One setting. `levels`: {level of its group that sets it: the value}; values as the command line takes them."""

    key: str
    type: str
    default: str
    meaning: str
    identity: bool  # whether runs that differ in it are different experiments
    levels: dict[str, str]


def settings(group: str = "") -> list[Setting]:
    """The settings of a group, or those of none, with the defaults of a plain command."""
    kind = kinds()[group]
    default = _defaults(group, kind)
    known = {level: values_of(group, level) for level in levels.files(group)} if group and group != "study" else {}
    found = []
    for name, (words, meaning) in fields_of(kind).items():
        key = f"{group}.{name}".lstrip(".")
        of_levels = {level: shown(values[name]) for level, values in known.items() if name in values}
        identity = key == "seed" or (group in HASHED_GROUPS and key not in unhashed())
        found.append(Setting(key, words, shown(default.get(name)), meaning, identity, of_levels))
    return found


def kinds() -> dict[str, type]:
    """{group: its dataclass}; the whole configuration under ""."""
    groups = {f.name: f.type for f in dataclasses.fields(Config) if dataclasses.is_dataclass(f.type)}
    return {name: kind for name, kind in groups.items() if isinstance(kind, type)} | {"": Config}


@cache
def default_level(group: str) -> str:
    """The level that a group has where a command names none; "" for a group that has none."""
    listed = yaml.safe_load((FOLDER / "config.yaml").read_text())["defaults"]
    return next((str(one[group]) for one in listed if isinstance(one, Mapping) and group in one), "")


def values_of(group: str, level: str, folder: Path = FOLDER) -> dict[str, Any]:
    """The settings that a level's file holds, with those of the levels that it builds on."""
    path = folder / group / f"{level}.yaml"
    if not path.is_file():
        path = FOLDER / group / f"{level}.yaml"
    values: dict[str, Any] = yaml.safe_load(path.read_text()) or {}
    found: dict[str, Any] = {}
    for base in values.pop("defaults", []):
        if isinstance(base, str) and base != "_self_":
            found |= values_of(group, base, folder)
    return found | values


def _defaults(group: str, kind: type) -> dict[str, Any]:
    """What a plain command has: the dataclass's own value, the default level's, that of config.yaml."""
    found: dict[str, Any] = {}
    for f in dataclasses.fields(kind):
        made = f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
        found[f.name] = None if made is MISSING else made
    of_file: dict[str, Any] = yaml.safe_load((FOLDER / "config.yaml").read_text())
    if not group:
        return found | {name: value for name, value in of_file.items() if name in found}
    level = default_level(group)
    found |= values_of(group, level) if level and group != "study" else {}
    found |= of_file.get(group, {})
    return found


def fields_of(kind: type) -> dict[str, tuple[str, str]]:
    """{field of a dataclass that is no group: its type, and the comment on its line or above it}.

    Raises ValueError for a field without a comment.
    """
    source = textwrap.dedent(inspect.getsource(kind))
    comments: dict[int, str] = {}
    alone: set[int] = set()  # lines that hold nothing else
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string.lstrip("# ").strip()
            if token.line.strip().startswith("#"):
                alone.add(token.start[0])
    (body,) = ast.parse(source).body
    assert isinstance(body, ast.ClassDef)
    places = {ast.unparse(node.target): node for node in body.body if isinstance(node, ast.AnnAssign)}
    found = {}
    for name in (f.name for f in dataclasses.fields(kind) if not dataclasses.is_dataclass(f.type)):
        first, last = places[name].lineno, places[name].end_lineno or places[name].lineno
        while first - 1 in alone:
            first -= 1
        if not (lines := [comments[n] for n in range(first, last + 1) if n in comments]):
            raise ValueError(f"{kind.__module__}.{kind.__qualname__}.{name} has no comment that says what it is")
        found[name] = _type(ast.unparse(places[name].annotation)), sentence(" ".join(lines))
    return found


def sentence(text: str) -> str:
    """A comment as a sentence for users: None is written null, and reasons about Python's types are left out."""
    text = re.sub(r"[;.] OmegaConf [^.;]*", "", re.sub(r"\bNone\b", "null", text)).strip(" .")
    return f"{text[0].upper()}{text[1:]}."


def _type(annotation: str) -> str:
    """A type in words; what is a bool or a text is annotated Any, as OmegaConf has no such type."""
    words = {
        "None": "null",
        "Any": "bool or text",
        "Duration": "duration",
        "dict": "mapping",
        "str": "text",
        "Finite": "float",
    }
    text = re.sub(r"\w+", lambda word: words.get(word[0], word[0]), annotation)
    text = re.sub(r"mapping\[text, bool or text\]", "mapping", text)
    return re.sub(r"list\[mapping\]", "list of mappings", text).replace(" | ", " or ")


def shown(value: Any) -> str:
    """A value as the command line takes it."""
    text = yaml.safe_dump(value if not hasattr(value, "_content") else list(value), default_flow_style=True, width=200)
    return text.removesuffix("\n").removesuffix("...").strip()


def notes(path: Path) -> str:
    """The comments of a level's file: what it is for, and what its values are."""
    lines = path.read_text().splitlines()
    heads = [line[1:].strip() for line in lines if line.startswith("#") and not line.startswith("# @")]
    behind = [line.partition("  #")[2].strip() for line in lines if "  #" in line and not line.startswith("#")]
    return " ".join([*heads, *(sentence(note) for note in behind)])


def natural(name: str) -> list[Any]:
    """An order by the numbers in names: b64 before b128."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part]


def read_in(key: str) -> list[str]:
    """The files of ablate that read a setting: they ask its group for it, or use the group's class and its name."""
    group, _, name = key.rpartition(".")
    owner, kind = group or "config", kinds().get(group, Config).__name__
    root = Path(ablate.__file__).parent
    found = []
    for path in sorted(each for folder in READERS for each in (root / folder).rglob("*.py")):
        if path.name in ("axes.py", "schema.py"):  # where settings are declared and checked
            continue
        nodes = list(ast.walk(ast.parse(path.read_text())))
        asked = [node.value for node in nodes if isinstance(node, ast.Attribute) and node.attr == name]
        owners = {each.attr if isinstance(each, ast.Attribute) else getattr(each, "id", "") for each in asked}
        uses = {node.id for node in nodes if isinstance(node, ast.Name)}
        if owner in owners or (group and owners and kind in uses):
            found.append(f"ablate/{path.relative_to(root)}")
    return found
