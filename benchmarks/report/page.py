"""A page of sections, each with text, tables and plots: what every report beside bench's is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.report.html import Cell, Table
from benchmarks.report.svg import Panel
from toolkit import __version__
from toolkit.html_text import own_markup, template


@dataclass(frozen=True)
class Section:
    """``legend``: (style, name) of what the panels draw."""

    heading: str
    note: str = ""
    tables: Sequence[Table] = ()
    panels: Sequence[Panel] = ()
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Page:
    """What stands at the top, and the sections below it. ``tiles``: (figure, what it is)."""

    title: str
    kind: str
    sentences: Sequence[str]
    tiles: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    command: str = ""
    badges: Sequence[str] = field(default=())


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table of plain texts."""
    return Table(head, [[Cell(text) for text in row] for row in rows])


def render(page: Page) -> str:
    """The page's HTML."""
    return template("benchmarks.report", "page.html").render(
        page=page,
        title=page.title,
        badges=[{"kind": "kind", "text": page.kind}, *({"kind": "", "text": text} for text in page.badges)],
        sentences=page.sentences,
        style=own_markup("benchmarks.report", "style.css"),
        version=__version__,
    )
