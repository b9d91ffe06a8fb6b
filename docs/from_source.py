"""Directives that write parts of the reference from the source, so that no page can be out of date:

    {fields} MODULE CLASS    the fields of a dataclass of records, with the comments next to them
    {settings} GROUP         the settings of a group, with their defaults; without a group, those of none
    {levels} GROUP           the levels of a group: the files of its folder in conf/
    {metrics}                the metrics by which a study can be judged
    {help} [COMMAND]         what a command prints with --help

A page of project/ holds a link to a file of the repository, and becomes that file.
"""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import ablate
from ablate.config import described
from ablate.config.levels import FOLDER as CONF
from ablate.config.schema import HASHED_GROUPS
from ablate.records.metrics import ALIASES, METRICS

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
        rows = [(f"`{name}`", *words) for name, words in described.fields_of(kind).items()]
        return table(("field", "type", "meaning"), rows)


class Settings(FromSource):
    """Of a group, as a user may give them."""

    def text(self, group: str = "") -> str:
        rows = [
            (f"`{one.key}`", one.type, f"`{one.default}`", one.meaning, "yes" if one.identity else "")
            for one in described.settings(group)
        ]
        head = ("setting", "type", "default", "meaning", "identity")
        return table(head, rows) if group in HASHED_GROUPS else table(head[:4], [row[:4] for row in rows])


class Levels(FromSource):
    """Of an axis or of data."""

    def text(self, group: str) -> str:
        default = described.default_level(group)
        rows = []
        for path in sorted((CONF / group).glob("*.yaml"), key=lambda path: described.natural(path.stem)):
            values = yaml.safe_load(path.read_text()) or {}
            base = [str(one) for one in values.pop("defaults", [])]
            settings = "<br>".join(f"`{key}={described.shown(value)}`" for key, value in values.items())
            name = f"`{path.stem}`" + (" (default)" if path.stem == default else "")
            rows.append((name, "<br>".join([*(f"as `{one}`" for one in base), settings]), described.notes(path)))
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


def table(head: tuple[str, ...], rows: Rows) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
