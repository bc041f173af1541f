"""A report as a page: facts, then sections of notes, figures and tables."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

__all__ = ["Section", "TextTable", "chart", "page", "picture"]


@dataclass(frozen=True)
class TextTable:
    """A table of text: the ``head``, a cell a column, and ``rows`` of as many; ``title`` may be empty."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""


@dataclass(frozen=True)
class Section:
    """A section under its ``heading``: a note, figures as `chart` and `picture` give them, tables.

    Links lead to it by its ``name``.
    """

    heading: str
    note: str = ""
    figures: Sequence[Markup] = ()
    tables: Sequence[TextTable] = ()
    name: str = ""


def chart(svg: str, *, wide: bool = False) -> Markup:
    """Return a chart of `generator.report.charts` as a figure, as wide as the page, or as it is and scrolled."""
    return Markup(f'<div class="{"wide" if wide else "figure"}">{svg}</div>')  # noqa: S704 - charts escape what they quote


def picture(title: str, png: bytes) -> Markup:
    """Return a PNG as a figure."""
    encoded = base64.b64encode(png).decode()
    return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(title, encoded)


def page(
    title: str,
    facts: Mapping[str, str],
    sections: Sequence[Section],
    *,
    package: str = "generator.report",
    template: str = "page.html.j2",
    **values: Any,
) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    title
        Heading and title of the page.
    facts
        What it is of, by name.
    sections
        In their order.
    package, template
        A template of another package that extends ``page.html.j2``, where a report has parts of its own.
    values
        What that template reads beside these.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name, ".") for name in dict.fromkeys((package, "generator.report"))]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(title=title, facts=facts, sections=sections, **values)
