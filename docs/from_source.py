"""Directives that write parts of the reference from the source, so that no page can be out of date:

    {fields} MODULE CLASS    the fields of a dataclass of records, with the comments next to them
    {settings} GROUP         the settings of a group, with their defaults; without a group, those of none
    {levels} GROUP           the levels of a group: the files of its folder in conf/
    {metrics}                the metrics by which a study can be judged
    {help} [COMMAND]         what a command prints with --help

A page of project/ holds a link to a file of the repository, and becomes that file.
"""

import ast
import dataclasses
import importlib
import inspect
import os
import re
import subprocess
import sys
import textwrap
import tokenize
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from hydra import compose, initialize_config_dir
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import ablate.commands.hydra_app
from ablate.config.compose import config_folder
from ablate.config.schema import HASHED_GROUPS, Config
from ablate.config.signature import unhashed
from ablate.records.metrics import ALIASES, METRICS

CONF = config_folder()
Rows = list[tuple[str, ...]]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directives to Sphinx."""
    for directive in (Fields, Settings, Levels, Metrics, Help):
        app.add_directive(directive.__name__.lower(), directive)
    app.connect("source-read", of_repository)
    return {"parallel_read_safe": True}


PROJECT = {  # files of the repository that are pages too
    "README.md": "../index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
}


def of_repository(app: Sphinx, page: str, content: list[str]) -> None:
    """Replace a page of project/ by the file that it links to, with links as they are from there."""
    if page.startswith("project/"):
        path = Path(app.srcdir, "project", content[0].partition("](")[2].strip(")\n"))
        app.env.note_dependency(str(path))
        text = re.sub(r"\]\(docs/", "](../", path.read_text())
        content[0] = re.sub(r"\]\(([\w/]+\.md)", lambda link: f"]({PROJECT.get(link[1], link[1])}", text)


class FromSource(SphinxDirective):
    """A directive whose content is the Markdown that `text` makes of its words."""

    optional_arguments = 2

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown where the directive is."""
        return self.parse_text_to_nodes(self.text(*self.arguments))

    def text(self, *words: str) -> str:
        """The Markdown of the directive's words."""
        raise NotImplementedError


class Fields(FromSource):
    """Of a file's type."""

    def text(self, module: str, name: str) -> str:
        kind = getattr(importlib.import_module(module), name)
        rows = [(f"`{name}`", *words) for name, words in described(kind).items()]
        return table(("field", "type", "meaning"), rows)


class Settings(FromSource):
    """Of a group, as a user may give them."""

    def text(self, group: str = "") -> str:
        kinds: dict[str, Any] = {f.name: f.type for f in dataclasses.fields(Config)} | {"": Config}
        with initialize_config_dir(str(CONF), version_base="1.3"):
            default = compose("config")
        kind, default = kinds[group], default[group] if group else default
        rows = []
        for name, (kind_of_value, meaning) in described(kind).items():
            key = f"{group}.{name}".lstrip(".")
            hashed = "yes" if group in HASHED_GROUPS and key not in unhashed() else ""
            rows.append((f"`{key}`", kind_of_value, f"`{_shown(default[name])}`", meaning, hashed))
        head = ("setting", "type", "default", "meaning", "identity")
        return table(head, rows) if group in HASHED_GROUPS else table(head[:4], [row[:4] for row in rows])


class Levels(FromSource):
    """Of an axis or of data."""

    def text(self, group: str) -> str:
        default = next(
            str(one[group]) for one in yaml.safe_load((CONF / "config.yaml").read_text())["defaults"] if group in one
        )
        rows = []
        for path in sorted((CONF / group).glob("*.yaml"), key=lambda path: _natural(path.stem)):
            values = yaml.safe_load(path.read_text()) or {}
            base = [str(one) for one in values.pop("defaults", [])]
            settings = "<br>".join(f"`{key}={_shown(value)}`" for key, value in values.items())
            name = f"`{path.stem}`" + (" (default)" if path.stem == default else "")
            rows.append((name, "<br>".join([*(f"as `{one}`" for one in base), settings]), _notes(path)))
        return table(("level", "settings", "notes"), rows)


class Metrics(FromSource):
    """Of records, as a report names them."""

    optional_arguments = 0

    def text(self) -> str:
        rows = []
        for name, metric in METRICS.items():
            names = ", ".join(f"`{alias}`" for alias, meant in ALIASES.items() if meant == name)
            rows.append((f"`{name}`", metric.label, metric.unit, "less" if metric.less_is_better else "more", names))
        return table(("metric", "what it is", "unit", "better is", "also called"), rows)


class Help(FromSource):
    """Of a command."""

    optional_arguments = 1

    def text(self, *words: str) -> str:
        command = [sys.executable, "-m", "ablate", *words, "--help"]
        environment = os.environ | {"COLUMNS": "100", "PYTHONPATH": str(Path(ablate.__file__).parent.parent)}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return f"````text\n{done.stdout.strip()}\n````"


# -- of the source ----------------------------------------------------------------------------


def described(kind: type) -> dict[str, tuple[str, str]]:
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
        found[name] = _type(ast.unparse(places[name].annotation)), _sentence(" ".join(lines))
    return found


def _sentence(text: str) -> str:
    """A comment as a sentence for users: None is written null, and reasons about Python's types are left out."""
    text = re.sub(r"[;.] OmegaConf [^.;]*", "", re.sub(r"\bNone\b", "null", text)).strip(" .")
    return f"{text[0].upper()}{text[1:]}."


def _type(annotation: str) -> str:
    """A type in words; what is a bool or a text is annotated Any, as OmegaConf has no such type."""
    words = {"None": "null", "Any": "bool or text", "dict": "mapping", "str": "text", "Finite": "float"}
    text = re.sub(r"\w+", lambda word: words.get(word[0], word[0]), annotation)
    text = re.sub(r"mapping\[text, bool or text\]", "mapping", text)
    return re.sub(r"list\[mapping\]", "list of mappings", text).replace(" | ", " or ")


def _shown(value: Any) -> str:
    """A value as the command line takes it."""
    text = yaml.safe_dump(value if not hasattr(value, "_content") else list(value), default_flow_style=True, width=200)
    return text.removesuffix("\n").removesuffix("...").strip()


def _notes(path: Path) -> str:
    lines = path.read_text().splitlines()
    heads = [line[1:].strip() for line in lines if line.startswith("#") and not line.startswith("# @")]
    behind = [line.partition("  #")[2].strip() for line in lines if "  #" in line and not line.startswith("#")]
    return " ".join([*heads, *(_sentence(note) for note in behind)])


def _natural(name: str) -> list[Any]:
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part]


def table(head: tuple[str, ...], rows: Rows) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
