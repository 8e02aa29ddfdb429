"""CSV and TSV tables: one header row of names, then numbers; comma, semicolon or tab between cells."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from toolkit.data.readers.table import Table, parse_rows, read_text
from toolkit.errors import RecordingError


def read_csv(path: Path) -> Table:
    """Read one table. The delimiter is the one of tab, semicolon and comma that the header row has most of."""
    lines = read_text(path).splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip()), None)
    if start is None:
        raise RecordingError(f"{path} is empty; it needs a header row of names and rows of numbers")
    delimiter = max("\t;,", key=re.sub(r'"[^"]*"', "", lines[start]).count)  # names in quotes may hold any
    body = lines[start:]
    while body and not body[-1].strip():
        body.pop()
    rows = [[cell.strip() for cell in row] for row in csv.reader(body, delimiter=delimiter)]
    names = tuple(rows[0])
    if all(_is_number(name) for name in names):
        raise RecordingError(f"{path} begins with numbers; its first row must name the columns")
    return Table(path, names, parse_rows(path, names, rows[1:], start + 2))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
