"""CSV and TSV tables as instruments and spreadsheets write them: a header row of names, then numbers.

Lines before the header row are passed over; cells are parted by comma, semicolon or tab; decimals may be commas where cells
are not; a cell may be empty, or a date and time by ISO 8601.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from toolkit.data.readers.table import Float, Table, decode_utf8, parse_rows
from toolkit.errors import RecordingError
from toolkit.reading import read_file

#: How many lines may stand before the numbers.
_PREAMBLE = 200
#: What stands for a value that is not there.
_ABSENT = {"", "na", "n/a", "null", "none"}
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?")
#: A row of rates or of units between the names and the numbers.
_UNDER_A_NAME = re.compile(
    r"\[?\(?([\d.]+ ?hz|s|ms|v|mv|[uµμ]v|g|deg/s|°/s|rad/s|m/s\^?[2²]|nm|nm/kg)\)?\]?", re.I
)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_csv(path: Path) -> Table:
    """Read one table. A date and time becomes seconds since the midnight before the column's first; an absent value NaN.

    Text is UTF-8, UTF-16 with its mark, or, if only what stands above the numbers is neither, Windows-1252.
    """
    text, foreign = _decoded(path, read_file(path, "a table", RecordingError))
    lines = text.splitlines()
    start, delimiter = _header(lines)
    if start is None:
        raise RecordingError(f"{path} is empty; it needs a header row of names and rows of numbers")
    body = lines[start:]
    if foreign is not None and not all(line.isascii() for line in body[1:]):
        raise foreign
    while body and not body[-1].strip():
        body.pop()
    rows = [[cell.strip() for cell in row] for row in csv.reader(body, delimiter=delimiter)]
    names = tuple(rows[0])
    if all(_is_number(name) for name in names):
        raise RecordingError(f"{path} begins with numbers; its first row must name the columns")
    numbers, first = rows[1:], start + 2
    while numbers and numbers[0] and _is_under_names(numbers[0]):
        numbers, first = numbers[1:], first + 1
    numbers = [_without_empty_end(cells, len(names)) for cells in numbers]
    return Table(path, names, _values(path, names, numbers, first, delimiter))


def _decoded(path: Path, content: bytes) -> tuple[str, RecordingError | None]:
    """The text, and what to raise if rows of numbers turn out to hold more than ASCII."""
    if content.startswith(_UTF16):
        try:
            return content.decode("utf-16"), None
        except UnicodeDecodeError:
            raise RecordingError(f"{path} begins with the mark of UTF-16 and is not UTF-16") from None
    try:
        return decode_utf8(path, content), None
    except RecordingError as error:
        foreign = error
    try:
        return content.decode("cp1252"), foreign
    except UnicodeDecodeError:
        raise foreign from None


def _header(lines: Sequence[str]) -> tuple[int | None, str]:
    """The line of the header row and the delimiter; None if all lines are blank.

    It is the last line of as many cells above the first row of numbers, whatever else the instrument wrote above it.
    """
    written = [place for place, line in enumerate(lines[:_PREAMBLE]) if line.strip()]
    for place in written:
        delimiter = next((one for one in "\t;," if one in lines[place]), None)
        if delimiter is None or not _is_data(numbers := _cells(lines[place], delimiter)):
            continue
        fewest = len(_without_empty_end(numbers, 2))
        for above in reversed(written[: written.index(place)]):
            cells = _cells(lines[above], delimiter)
            fits = fewest <= len(cells) <= len(numbers)
            if fits and not _is_under_names(cells) and not _is_data(cells):
                return above, delimiter
        break
    first = next((place for place, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return None, ","
    return first, max("\t;,", key=re.sub(r'"[^"]*"', "", lines[first]).count)  # names in quotes may hold any


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]


def _is_data(cells: Sequence[str]) -> bool:
    """Whether more than half of what is there are numbers: a column of words may stand beside them."""
    known = [cell for cell in cells if cell.lower() not in _ABSENT]
    numbers = [c for c in known if _is_number(c) or _DECIMAL_COMMA.fullmatch(c) or _date_time(c) is not None]
    return 2 * len(numbers) > len(known)


def _is_under_names(cells: Sequence[str]) -> bool:
    known = [cell for cell in cells if cell]
    return bool(known) and all(_UNDER_A_NAME.fullmatch(cell) and not _is_number(cell) for cell in known)


def _without_empty_end(cells: list[str], count: int) -> list[str]:
    """A row whose line ends with delimiters has cells too many, all empty."""
    end = len(cells)
    while end > count and not cells[end - 1]:
        end -= 1
    return cells[:end]


def _values(
    path: Path, names: Sequence[str], rows: Sequence[list[str]], first_line: int, delimiter: str
) -> Float:
    try:
        return parse_rows(path, names, rows, first_line)
    except RecordingError:
        if any(len(cells) != len(names) for cells in rows):
            raise
    columns = [_column([cells[place] for cells in rows], delimiter) for place in range(len(names))]
    return parse_rows(path, names, [list(cells) for cells in zip(*columns)], first_line)


def _column(cells: Sequence[str], delimiter: str) -> Sequence[str]:
    """The cells of one column as ``float`` reads them; those that are no numbers are left as they are, to be refused."""
    known = [cell for cell in cells if cell.lower() not in _ABSENT]
    if known and not any(map(_is_number, known)):
        if (first := _date_time(known[0])) is not None:
            return [_seconds(cell, first) for cell in cells]
        if not any(map(_DECIMAL_COMMA.fullmatch, known)):
            return ["nan"] * len(cells)  # a column of words: nobody's signal
    commas = delimiter != "," and not any("." in cell for cell in known)
    return [
        "nan"
        if cell.lower() in _ABSENT
        else cell.replace(",", ".")
        if commas and _DECIMAL_COMMA.fullmatch(cell)
        else cell
        for cell in cells
    ]


def _seconds(cell: str, first: datetime) -> str:
    if cell.lower() in _ABSENT:
        return "nan"
    time = _date_time(cell)
    if time is None or (time.tzinfo is None) != (first.tzinfo is None):
        return cell
    return repr((time - first.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds())


def _date_time(cell: str) -> datetime | None:
    """A date with a time, by ISO 8601."""
    if len(cell) < 16 or cell[4:5] != "-":
        return None
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
