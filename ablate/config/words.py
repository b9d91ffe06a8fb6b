"""The words of a command line, as Hydra's grammar reads them: quoted where a shell has taken the quotes away."""

import re
import shlex
import sys
from collections.abc import Sequence

from ablate.config.schema import PATHS

# What an unquoted value may hold, by Hydra's grammar.
PLAIN = re.compile(r"[\w/\-\\+.$%*@?|: \t]*", re.ASCII)
# A value that Hydra reads as more than text: quoted, a list, a dictionary, an interpolation or a function.
STRUCTURED = re.compile(r"""['"\[{]|.*\$\{|\w+\(.*\)$""")


def for_hydra(words: Sequence[str]) -> list[str]:
    """The same words, with the paths in quotes that Hydra would not read without: `data.path=Straße=3`.

    Commas part the paths of a sweep, as in every value. Raises ValueError for a word that is not text.
    """
    return [_quoted(word) for word in words]


def _quoted(word: str) -> str:
    if not word.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in word):
        shown = word.encode(errors="surrogateescape").decode(errors="backslashreplace")
        way_out = "rename it" if sys.getfilesystemencoding() == "utf-8" else "set LC_ALL=C.UTF-8"
        raise ValueError(f"{shown} is not UTF-8 to this shell; {way_out}")
    key, equals, value = word.partition("=")
    if equals and not key:
        raise ValueError(f"{word} has no key; write KEY=VALUE")
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
