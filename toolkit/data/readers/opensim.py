"""OpenSim .sto and .mot tables.

Headers differ between writers: a title line or none, ``key=value`` lines in any order or missing, free text and
blank lines before ``endheader``, padded names, ``time`` or ``Time``. So columns are found by name only.
"""

from __future__ import annotations

import re
from pathlib import Path

from toolkit.data.readers.table import Table, parse_rows, read_text
from toolkit.errors import RecordingError


def read_storage(path: Path) -> Table:
    """Read one table; RecordingError if it has no ``endheader``, is cut short, or a value is not a number."""
    lines = read_text(path).splitlines()
    end = next((i for i, line in enumerate(lines) if line.strip().lower() == "endheader"), None)
    if end is None:
        raise RecordingError(f"{path} has no line 'endheader'; it is not an OpenSim table or is cut short")
    start = next((i for i in range(end + 1, len(lines)) if lines[i].strip()), None)
    if start is None:
        raise RecordingError(f"{path} ends after its header; the file is cut short")
    names = tuple(lines[start].split())
    numbered = [(i + 1, line) for i, line in enumerate(lines) if i > start and line.strip()]
    first_line = numbered[0][0] if numbered else start + 2
    values = parse_rows(path, names, [line.split() for _, line in numbered], first_line)
    header = _header(lines[:end])
    for key, actual in (("nrows", len(values)), ("ncolumns", len(names))):
        said = header.get(key, "")
        what = "rows" if key == "nrows" else "columns"
        if said.isdigit() and not said.isascii():
            raise RecordingError(f"{path}: the header says {said} {what}; it must be a whole number")
        if said.isdigit() and said.lstrip("0") != str(actual).lstrip("0"):
            said = said if len(said) < 20 else f"{said[:20]}..."
            raise RecordingError(
                f"{path}: the header says {said} {what} and there are {actual}; the file is cut short or damaged"
            )
    degrees = header.get("indegrees")
    return Table(
        path, names, values, None if degrees is None else degrees.lower() in ("yes", "y", "true", "1")
    )


def _header(lines: list[str]) -> dict[str, str]:
    """``key=value`` pairs, keys in lower case."""
    pairs = (re.fullmatch(r"\s*(\w+)\s*=\s*(.*?)\s*", line) for line in lines)
    return {pair[1].lower(): pair[2] for pair in pairs if pair}
