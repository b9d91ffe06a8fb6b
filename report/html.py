"""Sections as one HTML file that needs no other: style, script and figures are inside, every text is escaped."""

import base64
import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from . import page
from .page import Page


def document(shown: Page, folder: Path) -> str:
    """The whole report; its figures are taken from folder/figures. Raises OSError when one is missing."""
    environment = Environment(
        loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {"plain": page.plain, "inline": page.inline, "kind": lambda value: type(value).__name__}
    return environment.get_template("report.html.jinja").render(
        page=shown,
        figure=lambda name: _figure(folder / "figures" / f"{name}.svg"),
        style=_source(environment, "style.css"),
        script=_source(environment, "page.js"),
        ids=_ids([section.title for section in shown.sections]),
    )


def _figure(path: Path) -> str:
    # As an image: what a name might smuggle into an SVG does not run there.
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()


def _source(environment: Environment, name: str) -> Markup:
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])  # our own files


def _ids(titles: list[str]) -> list[str]:
    """An anchor for each section; numbered, as titles may be alike once odd characters are gone."""
    return [f"s{number}-{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}" for number, title in enumerate(titles)]
