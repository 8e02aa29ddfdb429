"""MATLAB .mat files that hold tables, which scipy cannot read: with mat-io, as columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.data.readers.table import Table
from toolkit.errors import EdgetoolError, MissingDependencyError, RecordingError
from toolkit.reading import read_file, reading

#: A .mat file above this is not one trial: the largest of Camargo's has 30 MB.
_FILE_BYTES = 512 << 20
_HEADS = (b"MATLAB", b"\x89HDF")


def read_variables(path: Path) -> dict[str, Any]:
    """Every variable of a .mat file: a table as a :class:`MatTable`, anything else as mat-io gives it."""
    try:
        import matio
    except ImportError:
        raise MissingDependencyError(
            f"{path}: MATLAB tables need mat-io; install it: pip install 'edgetool[learn]'"
        ) from None
    expected = "a MATLAB file that can be read"
    content = read_file(path, expected, RecordingError, _FILE_BYTES)
    if not content.startswith(_HEADS):
        raise RecordingError(f"{path} is not a MATLAB file: it begins with neither MATLAB nor HDF")
    with reading(path, expected, RecordingError):
        try:
            found = matio.load_from_mat(str(path))
        except (EdgetoolError, MemoryError, OSError):
            raise
        except Exception as error:  # mat-io has errors of its own, and raises what its parts raise
            raise ValueError(str(error)) from None
        return {str(name): _as_table(path, name, value) for name, value in found.items()}
    raise AssertionError("reading() returns or raises")


class MatTable:
    """A MATLAB table: columns by name, found in any case."""

    def __init__(self, path: Path, variable: str, columns: Mapping[str, NDArray[Any]]) -> None:
        self.path, self.variable = path, variable
        self.columns = dict(columns)

    def place(self, name: str) -> str | None:
        """The column's own name; None if there is none that differs in case alone."""
        return next((own for own in self.columns if own.lower() == name.lower()), None)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column of numbers (rows,); RecordingError if it is not there or holds something else."""
        own = self.place(name)
        if own is None:
            shown = ", ".join(list(self.columns)[:40])
            raise RecordingError(
                f"{self.path}: table {self.variable!r} has no column {name!r}; it has {shown}"
            )
        try:
            return np.array([_single(value) for value in self.columns[own]], np.float64)
        except (TypeError, ValueError):
            raise RecordingError(
                f"{self.path}: column {own!r} of table {self.variable!r} does not hold numbers"
            ) from None

    def texts(self, name: str) -> list[str]:
        """A column of text; cells may be lists of one."""
        own = self.place(name)
        if own is None:
            raise RecordingError(f"{self.path}: table {self.variable!r} has no column {name!r}")
        return [str(_single(value)) for value in self.columns[own]]

    def table(self, names: list[str]) -> Table:
        """Columns as numbers on the time axis "Header"."""
        values = [self.numbers("Header"), *(self.numbers(name) for name in names)]
        return Table(self.path, ("Header", *names), np.column_stack(values))


def tables(variables: Mapping[str, Any]) -> list[MatTable]:
    """The tables among the variables of a file."""
    return [value for value in variables.values() if isinstance(value, MatTable)]


def _as_table(path: Path, name: str, value: Any) -> Any:
    if "Opaque" in type(value).__name__:
        raise RecordingError(
            f"{path}: mat-io {_version()} gives {name!r} as {type(value).__name__}, not as a table; load it in MATLAB and save "
            "it again as a table, or install another version of mat-io"
        )
    if type(value).__name__ == "DataFrame":
        return MatTable(path, str(name), {str(column): value[column].to_numpy() for column in value.columns})
    return value


def _single(value: Any) -> Any:
    """What a cell holds: mat-io gives text as a list of one."""
    while isinstance(value, list | tuple | np.ndarray) and np.size(value) == 1:
        value = value[0] if not isinstance(value, np.ndarray) else value.reshape(-1)[0]
    return value


def _version() -> str:
    import importlib.metadata

    return importlib.metadata.version("mat-io")
