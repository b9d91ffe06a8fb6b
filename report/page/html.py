"""Sections as one HTML file that needs no other: style, script and figures are inside, every text is escaped."""

import base64
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ablate.report.page import blocks, drawing
from ablate.report.page.blocks import Link, Page, Paragraph, Section


def document(shown: Page, folder: Path) -> str:
    """The whole report; its figures are taken from folder/figures. Raises OSError when one is missing."""
    environment = _environment()
    return environment.get_template("report.html.jinja").render(
        page=shown,
        files=True,
        figure=lambda name: _figure(folder / "figures" / f"{name}.svg"),
        style=_source(environment, "style.css"),
        script=_source(environment, "page.js"),
        ids=_ids([section.title for section in shown.sections]),
    )


def fragment(section: Section) -> str:
    """One section to be shown within another page: its figures are inside, what links to other files is left out."""
    figures = {p.name: _data(drawing.encode(p.figure, "svg")) for p in blocks.pictures(section.blocks)}
    macros: Any = _environment().get_template("blocks.html.jinja").make_module({"figure": figures.get, "files": False})
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


def _source(environment: Environment, name: str) -> Markup:
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])  # our own files


def _ids(titles: list[str]) -> list[str]:
    """An anchor for each section; numbered, as titles may be alike once odd characters are gone."""
    return [f"s{number}-{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}" for number, title in enumerate(titles)]
