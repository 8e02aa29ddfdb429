"""What commands show: lines and tables on standard output, with text from outside made printable in this one place."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

from toolkit.printable import terminal_lines, terminal_text

if TYPE_CHECKING:
    from rich.console import Console

#: Columns of every table and help text.
WIDTH = 80


def say(*lines: object, err: bool = False) -> None:
    """Write each of ``lines`` as one line to standard output (``err``: to standard error), whatever is in its names."""
    stream = sys.stderr if err else sys.stdout
    for line in lines:
        stream.write(f"{terminal_text(line)}\n")
    stream.flush()


def console(*, width: int | None = WIDTH, file: TextIO | None = None, markup: bool = False) -> Console:
    """A rich console on ``file`` (standard output) that escapes what is not printable in all that it is given.

    Names in one line with other text still go through :func:`toolkit.printable.terminal_text`: the console keeps newlines.
    ``width`` None is the terminal's own.
    """
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

    class SafeConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(terminal_lines(text), **options)

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                text, style, control = segment
                yield segment if control else Segment(terminal_lines(text), style)

    return SafeConsole(width=width, file=file, markup=markup, highlight=False)


def never_fail_to_encode() -> None:
    """A terminal that cannot show a character gets its escape: no command ends for the sake of a ``±``."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
