"""Text from outside (names in files, what a peer says, paths), made safe for where it is shown: one function a destination.

Names may hold anything: ESC sequences that steer a terminal, newlines that forge a line of a log, marks that turn the
direction of reading, lone surrogates that no encoding takes. What is not printable is shown as the escape that Python
would write (``\\x1b``, ``\\u202e``), so that nothing is hidden. Text for C, HTML or a unit file is quoted in their rooms.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

#: Characters of one entry of a log: a name of a megabyte must not fill a disk.
LOG_LIMIT = 4000

#: Bytes of a name that becomes a file's: 255 are allowed, and endings follow.
FILE_NAME_BYTES = 200

#: A cell that begins with one of these is computed, not shown, by spreadsheets (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def terminal_text(value: object) -> str:
    """``value`` as one line that can be shown on any terminal: controls, bidirectional marks and lone surrogates escaped."""
    text = str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def terminal_lines(text: str) -> str:
    """The same for text of several lines that are ours: newlines stay."""
    return "\n".join(terminal_text(line) for line in text.split("\n"))


def log_text(value: object) -> str:
    """``value`` as part of one line of a log: as :func:`terminal_text`, and at most ``LOG_LIMIT`` characters."""
    text = str(value)
    if len(text) > LOG_LIMIT:
        text = f"{text[:LOG_LIMIT]}... ({len(text) - LOG_LIMIT} more characters)"
    return terminal_text(text)


def spreadsheet_text(value: object) -> str:
    """``value`` as a text cell of a CSV that no spreadsheet computes: an apostrophe before ``=``, ``+``, ``-``, ``@``.

    It is for names; numbers are written as numbers. The csv module quotes commas and quotes.
    """
    text = terminal_text(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def file_name_text(value: object) -> str:
    """``value`` as the name of one file in a folder: no separator, nothing that is not printable, no leading dot or dash."""
    text = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in str(value))
    text = f"_{text[1:]}" if text[:1] in ("", ".", "-", "~") else text
    return text.encode()[:FILE_NAME_BYTES].decode(errors="ignore")


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


@contextmanager
def any_character_in_a_figure() -> Iterator[None]:
    """While names are drawn: matplotlib draws a box for a character that its font lacks, and need not warn of each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        yield
