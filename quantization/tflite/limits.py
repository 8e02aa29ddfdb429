"""Before a .tflite is unpacked: it may not hold more than its own bytes do.

A flatbuffer's offsets may point anywhere, so a vector of a thousand subgraphs can name one subgraph a thousand times, and
unpacking makes a thousand of it, each with all of its tensors: 12 kB took over a minute, 1 MB would fill any memory. Files
that converters write share no tables. So what unpacking would reach is counted first, without making it, and the count ends
where the file's own size does. Schema: ``tensorflow/compiler/mlir/lite/schema/schema.fbs``.
"""

from __future__ import annotations

from functools import cache
from typing import Any

FILE_IDENTIFIER = b"TFL3"
#: Far above any model for a small device; keeps a hostile file from filling the memory.
MAX_BYTES = 1 << 28
#: Tables (tensors, ops, buffers, ...) of a file; a Cross-LSTM has about 500.
MAX_TABLES = 50_000
#: Reached bytes may exceed the file's this much: some writers share equal strings and vectors.
_SHARED = 8
_ROOM = 4096
#: Accessor of a union -> the enumeration that names its tables.
_UNIONS = {
    "BuiltinOptions": "BuiltinOptions",
    "BuiltinOptions2": "BuiltinOptions2",
    "Details": "QuantizationDetails",
    "ArraySegments": "SparseIndexVector",
    "ArrayIndices": "SparseIndexVector",
}


class TooLargeError(ValueError):
    """Unpacking would reach more than the file can hold."""


def require_modest(content: bytes) -> None:
    """TooLargeError if unpacking ``content`` would make more than the file can hold, or more than MAX_TABLES tables.

    Bytes that are no whole flatbuffer raise whatever a bad offset leads to.
    """
    from ai_edge_litert import schema_py_generated as schema

    _Count(len(content) * _SHARED + _ROOM).table(schema.Model.GetRootAs(content, 0))


class _Count:
    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._tables = 0

    def _spend(self, count: int) -> None:
        self._bytes += count
        if self._bytes > self._most_bytes:
            raise TooLargeError("its parts add up to more than its bytes can hold")

    def table(self, accessor: Any) -> None:
        """Count a table, by the schema's accessor of it, and all that it leads to."""
        self._tables += 1
        if self._tables > MAX_TABLES:
            raise TooLargeError(f"it has more than {MAX_TABLES:,} tables")
        self._spend(4)
        vectors, fields = _accessors(type(accessor).__name__)
        for name in vectors:
            length = getattr(accessor, f"{name}Length")()
            self._spend(length)
            item = getattr(accessor, name)
            if length and not isinstance(item(0), int | float):
                for place in range(length):
                    self._value(item(place))
        for name in fields:
            if name in _UNIONS:
                self._union(accessor, name)
            else:
                self._value(getattr(accessor, name)())

    def _value(self, value: Any) -> None:
        if isinstance(value, bytes):
            self._spend(len(value))
        elif hasattr(value, "_tab"):
            self.table(value)

    def _union(self, accessor: Any, name: str) -> None:
        from ai_edge_litert import schema_py_generated as schema

        raw, kind = getattr(accessor, name)(), getattr(accessor, f"{name}Type")()
        table = getattr(schema, _names(getattr(schema, _UNIONS[name])).get(kind, ""), None)
        if raw is not None and table is not None:
            inside = table()
            inside.Init(raw.Bytes, raw.Pos)
            self.table(inside)


@cache
def _accessors(table: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of a table's vectors and of its other fields, as the schema's generated class has them."""
    from ai_edge_litert import schema_py_generated as schema

    names = [name for name in vars(getattr(schema, table)) if name[0].isupper()]
    vectors = tuple(name for name in names if f"{name}Length" in names)
    helpers = ("Length", "AsNumpy", "IsNone", "BufferHasIdentifier")
    others = (name for name in names if name not in vectors and not name.endswith(helpers))
    return vectors, tuple(name for name in others if name != "Init" and not name.startswith("GetRootAs"))


@cache
def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}
