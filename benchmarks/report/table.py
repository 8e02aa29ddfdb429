"""How a table of a report looks in the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text


def new_table(title: str) -> Table:
    """Without lines, its title to the left."""
    whole = Text(title, overflow="ignore")  # a str would be broken at the table's width
    return Table(
        title=whole if title else None,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 1),
    )
