"""Settings of a study that are text: a question, conditions, sweeps under a condition, what moves together, a baseline.

They take the rest of their word as it is, with or without the quotes and brackets that a shell may have taken, and are
quoted for Hydra, whose grammar would refuse most of them.
"""

import re
from collections.abc import Callable, Sequence

TEXTS = ("study.question", "study.baseline")
KEY = r"[+~]?[A-Za-z_][\w./@-]*"
CONDITION = rf"{KEY}!?=(?:\[[^\]]*\]|[^\s,:]|:(?!\s|{KEY}=))+"  # a colon may be inside, as in backbone.freeze=stages:2
# What begins an entry of a list, so that the comma before it parts two entries; other commas are between values.
BEGINS = {
    "study.exclude": re.compile(rf"\s*{KEY}!?="),
    "study.when": re.compile(rf"\s*{CONDITION}(?:\s+{CONDITION})*\s*:"),
    "study.zip": re.compile(""),
}
CLOSING = {"[": "]", "{": "}", "(": ")"}


def is_text(key: str) -> bool:
    """Whether a setting is text, or a list of texts."""
    return key in TEXTS or key in BEGINS


def rejoined(words: Sequence[str]) -> list[str]:
    """The words, where a list that a shell has cut at the spaces between its entries is one of them again."""
    found, rest = list[str](), list(words)
    while rest:
        word = rest.pop(0)
        key, _, value = word.partition("=")
        if key.lstrip("+") in BEGINS and value.startswith("["):
            end = next((place for place, more in enumerate([word, *rest]) if more.rstrip().endswith("]")), 0)
            word, rest = " ".join([word, *rest[:end]]), rest[end:]
        found.append(word)
    return found


def quoted(word: str, in_quotes: Callable[[str], str]) -> str:
    """A word of the command line with its text as Hydra reads it; any other word as it is. Raises ValueError."""
    key, equals, value = word.partition("=")
    if not equals or not is_text(key.lstrip("+")):
        return word
    if "${" in value:
        raise ValueError(f"{key}: '${{' would be read as another setting's value; write the text without it")
    if key.lstrip("+") in TEXTS:
        return f"{key}={in_quotes(unquoted(value))}"
    return f"{key}=[{','.join(in_quotes(entry) for entry in entries(key.lstrip('+'), value))}]"


def entries(key: str, value: str) -> list[str]:
    """The entries of study.exclude, study.when or study.zip, as they are typed: with or without brackets and quotes."""
    value = value.strip()
    if value.startswith("[") and value.endswith("]"):
        value = value[1:-1]
    found = [unquoted(part) for part in _parts(value, lambda rest: bool(BEGINS[key].match(rest)))]
    found = [entry for entry in found if entry and entry != "null"]
    if key == "study.zip" and len(found) > 1 and not any(re.search(r"[\s+]", entry) for entry in found):
        return [" ".join(found)]  # keys parted by commas alone are one entry: no axis moves together with itself
    return found


def unquoted(text: str) -> str:
    """A text without the quotes around all of it."""
    text = text.strip()
    if len(text) > 1 and text[0] in "'\"" and text[0] == text[-1] and _closes(text) == len(text) - 1:
        inner = re.sub(rf"\\+(?={text[0]}|$)", lambda found: "\\" * (len(found[0]) // 2), text[1:-1])
        return inner.strip()
    return text


def split_when(entry: str) -> tuple[str, list[str]]:
    """An entry of study.when as its conditions and the words of its sweeps. Raises ValueError for anything else."""
    begins = BEGINS["study.when"].match(entry)
    sweeps = re.split(rf"\s+(?={KEY}=)", entry[begins.end() :].strip()) if begins else []
    if begins is None or not all(re.match(rf"{KEY}=.", sweep) for sweep in sweeps):
        raise ValueError(
            f"study.when: {entry!r} must be conditions, a colon and what is varied there, as in "
            "'optimizer=sgd: optimizer.lr=0.05,0.1'"
        )
    return begins[0].rstrip(" :").strip(), sweeps


def _closes(text: str) -> int:
    """Where the quote that a text begins with is closed; -1 where it is not."""
    place = 1
    while place < len(text):
        if text[place] == "\\":
            place += 1
        elif text[place] == text[0]:
            return place
        place += 1
    return -1


def _parts(value: str, begins: Callable[[str], bool]) -> list[str]:
    """A list's entries: parted by commas outside of quotes and brackets, where an entry begins behind them."""
    parts, start, place, open_ = [], 0, 0, []
    while place < len(value):
        letter = value[place]
        if letter in "'\"" and not value[start:place].strip() and (close := _closes(value[place:])) > 0:
            place += close
        elif letter in CLOSING:
            open_.append(CLOSING[letter])
        elif open_ and letter == open_[-1]:
            open_.pop()
        elif letter == "," and not open_ and (value[place + 1 :].lstrip()[:1] in "'\"" or begins(value[place + 1 :])):
            parts.append(value[start:place])
            start = place + 1
        place += 1
    return [*parts, value[start:]]
