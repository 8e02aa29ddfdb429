"""One file format a file; nothing else in the project opens a data file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from toolkit.data.readers.table import Table
from toolkit.errors import RecordingError
from toolkit.reading import reading


def read(path: Path) -> Table:
    """Read a table by its suffix: .sto and .mot (OpenSim), .csv, .tsv, .txt, or .npz (one array a column)."""
    from toolkit.data.readers.csv import read_csv
    from toolkit.data.readers.npz import read_table as read_npz
    from toolkit.data.readers.opensim import read_storage

    readers: dict[str, Callable[[Path], Table]] = {
        ".sto": read_storage,
        ".mot": read_storage,
        ".csv": read_csv,
        ".tsv": read_csv,
        ".txt": read_csv,
        ".npz": read_npz,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise RecordingError(
            f"{path}: files of type {path.suffix or 'none'!r} cannot be read; allowed: {', '.join(readers)}"
        )
    with reading(path, "a table that can be read", RecordingError):
        return reader(path)
    raise AssertionError("reading() returns or raises")
