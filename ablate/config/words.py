"""The words of a command line as Hydra reads them: levels in their one spelling, and the quotes that a shell took."""

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from ablate.config import hints, levels, texts
from ablate.config.schema import PATHS

# What an unquoted value may hold, by Hydra's grammar.
PLAIN = re.compile(r"[\w/\-\\+.$%*@?|: \t]*", re.ASCII)
QUOTES = re.compile(r"""^(['"])([\w.+-]+)\1$""")  # around one plain text
# What Hydra reads as a number, a truth value or nothing: no level, so that it is asked for as the text that it is.
NO_TEXT = re.compile(rf"{levels.NUMBER}|true|false|null|nan|[+-]?inf", re.IGNORECASE)
SEARCHED = "levels://"  # where Hydra looks for levels that are no files
# A value that Hydra reads as more than text: quoted, a list, a dictionary, an interpolation or a function.
STRUCTURED = re.compile(r"""['"\[{]|.*\$\{|\w+\(.*\)$""")


def for_hydra(words: Sequence[str], own: Sequence[Path] = (), *, elsewhere: bool = False) -> list[str]:
    """The same settings as Hydra reads them.

    Levels get their one spelling (`batch_size=128` is b128), pictures in a folder are `data=folder`, and what Hydra
    would not read without quotes gets them: paths (`data.path=Straße=3`) and a study's texts. Commas part the values of
    a sweep. `own` are folders of configurations that the command brings; with `elsewhere` there are others, so that
    Hydra alone knows what there is. Raises ValueError for a word that is not text, and for what cannot be meant.
    """
    words = texts.rejoined(words)
    for word in words:
        _refuse_unreadable(word)
    words = [texts.quoted(word, in_quotes) for word in words]
    searched = " ".join(word for word in words if word.startswith("hydra.searchpath="))
    own = [*own, *map(Path, re.findall(r"file://([^,\]'\"]+)", searched))]
    plain = [each for word in words for each in _as_folder(word, words, own)]
    hints.refuse(plain, None if "pkg://" in searched or elsewhere else own)
    return [_searching(_quoted(_spelled(word, own))) for word in plain]


def _refuse_unreadable(word: str) -> None:
    if not word.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in word):
        shown = word.encode(errors="surrogateescape").decode(errors="backslashreplace")
        way_out = "rename it" if sys.getfilesystemencoding() == "utf-8" else "set LC_ALL=C.UTF-8"
        raise ValueError(f"{shown} is not UTF-8 to this shell; {way_out}")
    key, equals, _ = word.partition("=")
    if equals and not key:
        raise ValueError(f"{word} has no key; write KEY=VALUE")


def _as_folder(word: str, words: Sequence[str], own: Sequence[Path]) -> list[str]:
    """`data=DIR` as the data set and the path that it is."""
    key, _, value = word.partition("=")
    mine = [level for folder in own for level in levels.files("data", folder)]
    paths = value.strip("'\"").split(",")
    if key != "data" or STRUCTURED.match(value.strip("'\"")) or any(each.startswith("data.path=") for each in words):
        return [word]
    if all(path and not levels.is_level("data", path, mine) and ("/" in path or Path(path).exists()) for path in paths):
        return ["data=folder", f"data.path={value}"]
    return [word]


def _searching(word: str) -> str:
    """A command's own search path, with the levels that are no files behind it, as in conf/config.yaml."""
    return word if SEARCHED in word else re.sub(r"^(hydra\.searchpath=\[.*)\]$", rf"\1,{SEARCHED}]", word)


def _spelled(word: str, own: Sequence[Path]) -> str:
    """A word with the levels that it names in their one spelling."""
    key, _, value = word.partition("=")
    group = key.lstrip("+").removeprefix(hints.TUNED)
    if group not in levels.groups() or STRUCTURED.match(QUOTES.sub(r"\2", value)):
        return word
    mine = [level for folder in own for level in levels.files(group, folder)]
    texts = [levels.spelled(group, QUOTES.sub(r"\2", text.strip()), mine) for text in value.split(",")]
    return f"{key}={','.join(in_quotes(text) if NO_TEXT.fullmatch(text) else text for text in texts)}"


def _quoted(word: str) -> str:
    key, equals, value = word.partition("=")
    if not equals or key.lstrip("+") not in PATHS or PLAIN.fullmatch(value.replace(",", "")) or STRUCTURED.match(value):
        return word
    return f"{key}={','.join(map(in_quotes, value.split(',')))}"


def in_quotes(value: str) -> str:
    """A text between double quotes, as Hydra reads them."""
    inner = re.sub(r'(\\*)"', r'\1\1\\"', value)  # backslashes count before a quote alone
    return '"' + re.sub(r"(\\+)$", r"\1\1", inner) + '"'


def explain_unreadable(word: str) -> str:
    """One sentence on a word that Hydra's grammar refuses: where it breaks, and how to write it."""
    key, equals, value = word.partition("=")
    if not equals:
        return f"{word!r} is no setting; write KEY=VALUE or KEY=VALUE,VALUE"
    if value.rstrip().endswith(","):
        return f"{word} ends in a comma; write the values of {key} without spaces between them, as in {key}=A,B"
    plain = PLAIN.match(value)
    breaks = value[plain.end() :].lstrip(",")[:1] if plain else ""
    at = f" at {breaks!r}" if breaks else ""
    if value.startswith("["):
        return f"{word} cannot be read; quote what the list holds, and all of it for the shell: \"{key}=['A','B']\""
    quoted = shlex.quote(f"{key}={in_quotes(value)}")
    return f"{word} cannot be read{at}; if this is one text, quote it for Hydra and for the shell: {quoted}"
