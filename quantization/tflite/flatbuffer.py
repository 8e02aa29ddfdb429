"""From the bytes of a flatbuffer to the tables of the .tflite schema, and back.

Reading follows every offset once and counts what it reaches: a flatbuffer's offsets may point anywhere, so a vector of a
thousand subgraphs can name one subgraph a thousand times, each with all of its tensors: 12 kB took over a minute, 1 MB would
fill any memory. Files that converters write share no tables, so reading ends where the file's own size does. Writing makes the
bytes that flatc's Python code makes. The format: https://flatbuffers.dev/internals/.
"""

from __future__ import annotations

import struct
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import number_types
from numpy.typing import NDArray

from quantization.tflite.schema import (
    SCALARS,
    Field,
    Table,
    fields_of,
    has_table,
    names_of,
    places_of,
)

FILE_IDENTIFIER = b"TFL3"
#: Far above any model for a small device; keeps a hostile file from filling the memory.
MAX_BYTES = 1 << 28
#: Tables (tensors, ops, buffers, ...) of a file; a Cross-LSTM has about 500.
MAX_TABLES = 50_000
#: Reached bytes may exceed the file's this much: some writers share equal strings and vectors.
_SHARED = 8
_ROOM = 4096
#: The schema's ``force_align: 16`` on buffer data, so that a device may read weights in place.
BUFFER_ALIGNMENT = 16

_DTYPES = {name: np.dtype(form if form == "?" else f"<{form}") for name, form in SCALARS.items()}
_STRUCTS = {
    name: struct.Struct(f"<{code}")
    for name, code in zip(SCALARS, ("?", "b", "B", "H", "i", "I", "q", "Q", "f"), strict=True)
}
_OFFSET, _LENGTH, _SIGNED = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<i")


class TooLargeError(ValueError):
    """Reading would reach more than the file can hold."""


def unpack(content: bytes) -> Table:
    """The root ``Model`` of a flatbuffer of the .tflite schema.

    TooLargeError if its parts are more than the file can hold or more than MAX_TABLES tables; struct.error, ValueError or
    IndexError for an offset that leads out of the file.
    """
    reader = _Reader(content)
    return reader.table("Model", reader.uint(0))


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._bytes_left = len(content) * _SHARED + _ROOM
        self._tables_left = MAX_TABLES

    def uint(self, position: int) -> int:
        """The offset or length at ``position``."""
        value: int = _LENGTH.unpack_from(self._content, position)[0]
        return value

    def table(self, kind: str, position: int) -> Table:
        """The table at ``position``, with all that it leads to."""
        self._tables_left -= 1
        if self._tables_left < 0:
            raise TooLargeError(f"it has more than {MAX_TABLES:,} tables")
        self._spend(4)
        places = position - int(_SIGNED.unpack_from(self._content, position)[0])
        if places < 0:
            raise IndexError(f"the table at byte {position} has its places before the file's start")
        end = int(_OFFSET.unpack_from(self._content, places)[0])
        table = Table(kind)
        values = table.__dict__
        for field in fields_of(kind):
            place = 4 + 2 * field.place
            offset = _OFFSET.unpack_from(self._content, places + place)[0] if place < end else 0
            if offset:
                values[field.name] = self._value(field, position + offset, values)
        return table

    def _value(self, field: Field, position: int, values: dict[str, Any]) -> Any:
        if field.is_scalar:
            return _STRUCTS[field.type].unpack_from(self._content, position)[0]
        target = position + self.uint(position)
        if field.is_vector:
            return self._vector(field, target)
        if field.is_union:
            kind = names_of(field.type).get(values[f"{field.name}_type"], "")
            return self.table(kind, target) if has_table(kind) else None
        return self._string(target) if field.type == "string" else self.table(field.type, target)

    def _vector(self, field: Field, position: int) -> Any:
        count = self.uint(position)
        self._spend(count)
        start = position + 4
        if field.type in SCALARS:
            return np.frombuffer(self._content, _DTYPES[field.type], count, start)
        if start + 4 * count > len(self._content):
            raise IndexError(f"the vector {field.name} leads out of the file")
        targets = [place + self.uint(place) for place in range(start, start + 4 * count, 4)]
        if field.type == "string":
            return [self._string(target) for target in targets]
        return [self.table(field.type, target) for target in targets]

    def _string(self, position: int) -> bytes:
        length, start = self.uint(position), position + 4
        self._spend(length)
        if start + length > len(self._content):
            raise IndexError(f"the text at byte {position} leads out of the file")
        return self._content[start : start + length]

    def _spend(self, count: int) -> None:
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise TooLargeError("its parts add up to more than its bytes can hold")


def pack(model: Table) -> bytes:
    """The bytes of a file with the root ``model``: the same for the same values, buffers aligned to 16 bytes."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(_pack(builder, model), FILE_IDENTIFIER)
    return bytes(builder.Output())


def _pack(builder: Any, table: Table) -> int:
    """Write ``table``; first what it leads to, then the table itself, in the schema's order."""
    offsets: dict[str, int] = {}
    values = vars(table)
    fields = fields_of(table.kind)
    for field in fields:
        value = values[field.name]
        if value is not None and not field.is_scalar:
            offsets[field.name] = _pack_part(builder, field, value)
    builder.StartObject(places_of(table.kind))
    for field in fields:
        if field.is_scalar:
            flags = getattr(number_types, f"{field.type.capitalize()}Flags")
            builder.PrependSlot(flags, field.place, values[field.name], field.default)
        elif field.name in offsets:
            builder.PrependUOffsetTRelativeSlot(field.place, offsets[field.name], 0)
    position: int = builder.EndObject()
    return position


def _pack_part(builder: Any, field: Field, value: Any) -> int:
    position: int
    if field.is_vector and field.type in SCALARS:
        array: NDArray[Any] = np.ascontiguousarray(value, _DTYPES[field.type])
        if field.type == "uint8":
            builder.Prep(BUFFER_ALIGNMENT, array.size)
        position = builder.CreateNumpyVector(array)
    elif field.is_vector:
        parts = [_pack_item(builder, field, item) for item in value]
        builder.StartVector(4, len(parts), 4)
        for part in reversed(parts):
            builder.PrependUOffsetTRelative(part)
        position = builder.EndVector()
    else:
        position = _pack_item(builder, field, value)
    return position


def _pack_item(builder: Any, field: Field, value: Any) -> int:
    if field.type == "string":
        position: int = builder.CreateString(value)
        return position
    return _pack(builder, value)
