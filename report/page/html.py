"""Sections as one HTML file that needs no other: style, script and figures are inside, every text is escaped."""

import base64
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ablate.report.page import blocks, drawing
from ablate.report.page.blocks import Link, Page, Paragraph, Plot, Section


def document(shown: Page, folder: Path) -> str:
    """The whole report; its figures are taken from folder/figures. Raises OSError when one is missing."""
    environment = _environment()
    return environment.get_template("report.html.jinja").render(
        page=shown,
        files=True,
        figure=lambda name: _figure(folder / "figures" / f"{name}.svg"),
        plotted=_plotted,
        style=_source(environment, "style.css"),
        script=_source(environment, "page.js") + _source(environment, "plot.js"),
        ids=_ids(shown.sections),
        parts={part: f"part-{number}" for number, part in enumerate(shown.parts)},
    )


def fragment(section: Section) -> str:
    """One section to be shown within another page: its figures are inside, what links to other files is left out."""
    figures = {p.name: _data(drawing.encode(p.figure, "svg")) for p in blocks.pictures(section.blocks)}
    names = {"figure": figures.get, "files": False}
    macros: Any = _environment().get_template("blocks.html.jinja").make_module(names)
    own = [
        block
        for block in section.blocks
        if not (isinstance(block, Paragraph) and any(isinstance(part, Link) for part in blocks.inline(block.text)))
    ]
    return f"<h3>{escape(blocks.plain(section.title))}</h3>" + "".join(macros.block(block) for block in own)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {"plain": blocks.plain, "inline": blocks.inline}
    return environment


def _figure(path: Path) -> str:
    return _data(path.read_bytes())


def _data(drawn: bytes) -> str:
    # As an image: what a name might smuggle into an SVG does not run there.
    return "data:image/svg+xml;base64," + base64.b64encode(drawn).decode()


def _plotted(plot: Plot) -> dict[str, Any]:
    """A plot's values for the page's script, every text as the page would show it."""
    values = dataclasses.asdict(plot)
    for dot in values["dots"]:
        dot["label"] = blocks.plain(dot["label"])
        dot["levels"] = [blocks.plain(dot["levels"][axis]) for axis in plot.axes]
    return values | {"axes": [blocks.plain(axis) for axis in plot.axes]}


def _source(environment: Environment, name: str) -> Markup:
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])  # our own files


def _ids(sections: Sequence[Section]) -> dict[Section, str]:
    """An anchor for each section; numbered, as titles may be alike once odd characters are gone."""
    return {
        section: f"s{number}-{re.sub(r'[^a-z0-9]+', '-', section.title.lower()).strip('-')}"
        for number, section in enumerate(sections)
    }
