"""`ablate explain KEY`: what a setting, an axis or a level is. Reads files only; loads neither Hydra nor torch."""

import argparse
import dataclasses
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablate.config import described, hints, levels
from ablate.config.described import Setting
from ablate.config.schema import AXES
from ablate.records.metrics import METRICS, Metric, canonical

WIDTH = 100


def main(arguments: Sequence[str]) -> int:
    """Print what each key is. Returns 0. Raises ValueError for one that there is not, with the nearest."""
    parser = argparse.ArgumentParser(
        prog="ablate explain",
        description="Say what a setting, an axis, a level or a metric is: its type, default, meaning and levels, and "
        "whether it is part of a run's identity.",
    )
    parser.add_argument(
        "keys",
        nargs="*",
        metavar="KEY",
        help="as optimizer.lr, optimizer, head=linear or test_accuracy (default: all settings)",
    )
    parser.add_argument("--config-dir", type=Path, metavar="DIR", help="a folder with levels of your own")
    parser.add_argument("--json", action="store_true", help="print the same as JSON")
    options = parser.parse_intermixed_args(arguments)
    found = [of_key(key, options.config_dir) for key in options.keys or list(described.kinds())]
    if options.json:
        print(json.dumps({"format": 1, "explained": [each for of_one in found for each in of_one]}, indent=2))
    else:
        print("\n\n".join("\n".join(lines(each)) for of_one in found for each in of_one))
    return 0


def of_key(word: str, own: Path | None = None) -> list[dict[str, Any]]:
    """What a word of a command is, one entry for each level that it names. Raises ValueError as main."""
    key, equals, values = word.strip().lstrip("+").partition("=")
    mine = levels.files(key, own) if own is not None else ()
    if key in levels.groups() or mine:
        if equals and values:
            return [_level(key, value, own, mine) for value in values.split(",")]
        return [_group(key, mine)]
    if key == "":
        return [_group("", ())]
    group = key.rpartition(".")[0]
    if group in described.kinds():
        setting = next((one for one in described.settings(group) if one.key == key), None)
        if setting is not None:
            return [_setting(setting, group)]
    if (name := canonical(key)) in METRICS:
        return [_metric(name, METRICS[name])]
    if (of_level := hints.group_of(key)) is not None:
        return [_level(of_level, key, own, ())]
    raise ValueError(hints.unknown_key(key, values))


def _setting(setting: Setting, group: str) -> dict[str, Any]:
    kind = described.kinds()[group]
    return {
        "kind": "setting",
        **dataclasses.asdict(setting),
        "default_level": described.default_level(group) if group else "",
        "declared": f"{kind.__module__.replace('.', '/')}.py, {kind.__name__}",
        "read_in": described.read_in(setting.key),
    }


def _group(group: str, mine: Sequence[str]) -> dict[str, Any]:
    kind = described.kinds().get(group)
    of_files = [level for level in (*levels.files(group), *mine) if level != "default"] if group else []
    return {
        "kind": "axis" if group in AXES else "group",
        "key": group,
        "default_level": described.default_level(group) if group else "",
        "levels": sorted(dict.fromkeys(of_files), key=described.natural),
        "settings": [] if kind is None else [dataclasses.asdict(one) for one in described.settings(group)],
    }


def _level(group: str, text: str, own: Path | None, mine: Sequence[str]) -> dict[str, Any]:
    level = levels.spelled(group, text, mine)
    known = {*levels.files(group), *mine}
    if level in known:
        folder = own if own is not None and level in mine else levels.FOLDER
        path = folder / group / f"{level}.yaml"
        values, notes, file = described.values_of(group, level, folder), described.notes(path), str(path)
    else:
        content = levels.content(group, level)
        if content is None:
            raise ValueError(hints.unknown_level(group, text, sorted(known)))
        notes = "A model of timm, by its name." if group == "backbone" else "A number of one's own."
        values, file = {key: value for key, value in content.items() if value is not None}, ""
    return {
        "kind": "level",
        "key": f"{group}={level}",
        "meaning": notes,
        "values": {key: described.shown(value) for key, value in values.items() if key != "defaults"},
        "file": file,
    }


def _metric(name: str, metric: Metric) -> dict[str, Any]:
    return {"kind": "metric", "key": name, "meaning": metric.label, "unit": metric.unit,
            "better": "less" if metric.less_is_better else "more"}  # fmt: skip


# -- for a terminal ---------------------------------------------------------------------------


def lines(entry: dict[str, Any]) -> list[str]:
    """What `of_key` found, for a terminal."""
    match entry["kind"]:
        case "setting":
            return _of_setting(entry)
        case "level":
            return _of_level(entry)
        case "metric":
            return [f"{entry['key']}: a metric, {entry['meaning']} in {entry['unit']}; {entry['better']} is better"]
    return _of_group(entry)


def _of_setting(entry: dict[str, Any]) -> list[str]:
    where = f" (of {entry['key'].partition('.')[0]}={entry['default_level']})" if entry["default_level"] else ""
    yes = "yes, runs that differ in it are different experiments"
    rows = {
        "default": entry["default"] + where,
        "levels": ", ".join(f"{level} {value}" for level, value in entry["levels"].items()),
        "identity": yes if entry["identity"] else "no, it changes no result, or only which runs a study holds",
        "declared": entry["declared"],
        "read in": ", ".join(entry["read_in"]),
    }
    found = [f"{entry['key']}: {entry['type']}", *_wrapped(f"  {entry['meaning']}", 2)]
    return found + [line for name, text in rows.items() if text for line in _wrapped(f"  {name:<10}{text}", 12)]


def _of_level(entry: dict[str, Any]) -> list[str]:
    found = [entry["key"], *(_wrapped(f"  {entry['meaning']}", 2) if entry["meaning"] else [])]
    found += [line for key, value in entry["values"].items() for line in _wrapped(f"  {key}: {value}", 4)]
    copy = "a copy under another name is a level of your own"
    return [*found, f"  file: {entry['file']}; {copy}"] if entry["file"] else found


def _of_group(entry: dict[str, Any]) -> list[str]:
    key = entry["key"]
    what = "an axis" if entry["kind"] == "axis" else "a group of settings"
    default = f"; default {key}={entry['default_level']}" if entry["default_level"] not in ("", "default") else ""
    found = [f"{key}: {what}{default}" if key else "settings of no group"]
    if entry["levels"]:
        found += _wrapped(f"  levels: {', '.join(entry['levels'])}", 4)
        found.append(f"  `ablate explain {key}={entry['levels'][0]}` says what a level holds")
    width = max((len(one["key"]) for one in entry["settings"]), default=0)
    for one in entry["settings"]:
        found += _wrapped(f"  {one['key']:<{width}}  {one['meaning']} Default: {one['default']}", width + 4)
    return found


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False, break_long_words=False)
