"""The .tflite schema as data: its tables with their fields, its unions and enumerations, and a table's values as an object.

``schema.json`` beside this file holds it; :mod:`quantization.tflite.schema_table` writes that from the installed LiteRT, so
that neither reading nor writing a .tflite needs LiteRT. The schema itself is TensorFlow's
(``tensorflow/compiler/mlir/lite/schema/schema.fbs``, version 3).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

#: Scalar types of the schema -> their form for numpy and struct, little-endian.
SCALARS = {
    "bool": "?",
    "int8": "i1",
    "uint8": "u1",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
    "int64": "i8",
    "uint64": "u8",
    "float32": "f4",
}


@dataclass(frozen=True)
class Field:
    """One field of a table: its ``place`` in the table, its type, and the value that stands for its absence.

    ``type`` is a key of SCALARS, ``string``, or the name of a table or a union; ``is_vector``: many of it. ``default`` is None
    for all but single scalars.
    """

    name: str
    place: int
    type: str
    is_vector: bool
    is_union: bool
    default: bool | int | float | None

    @property
    def is_scalar(self) -> bool:
        """Whether the value lies in the table itself."""
        return self.type in SCALARS and not self.is_vector


class Table:
    """A table's values by the names of the schema's fields: ``Table("Tensor", name=b"x").is_variable`` is False.

    Scalars are Python's; strings bytes (str is taken too when written); vectors numpy arrays or, of tables, lists; what is
    not there is None.
    """

    def __init__(self, kind: str, **values: Any) -> None:
        self.__dict__.update(_defaults(kind))
        unknown = sorted(set(values) - set(self.__dict__))
        assert not unknown, f"table {kind} has no field {', '.join(unknown)}"
        self.kind = kind
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "kind" and name not in self.__dict__:
            raise AttributeError(f"table {self.kind} of the .tflite schema has no field {name!r}")
        self.__dict__[name] = value

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"table {self.__dict__.get('kind')} of the .tflite schema has no field {name!r}")

    def __repr__(self) -> str:
        values = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if k != "kind" and v is not None)
        return f"{self.kind}({values})"


@cache
def fields_of(kind: str) -> tuple[Field, ...]:
    """The fields of a table in the schema's order; KeyError for a table that it does not have."""
    schema = _schema()
    fields = []
    for place, text in enumerate(schema["tables"][kind]):
        if text:
            name, stated, *default = text.split()
            inner = stated.strip("[]")
            vector, union = stated != inner, inner in schema["unions"]
            value = (
                _default(inner, default[0] if default else "0") if inner in SCALARS and not vector else None
            )
            fields.append(Field(name, place, inner, vector, union, value))
    return tuple(fields)


@cache
def places_of(kind: str) -> int:
    """How many places a table has, those of fields that the schema no longer has included."""
    return len(_schema()["tables"][kind])


@cache
def has_table(kind: str) -> bool:
    """Whether the schema has the table."""
    return kind in _schema()["tables"]


@cache
def names_of(numbered: str) -> dict[int, str]:
    """Number -> name of an enumeration or a union."""
    schema = _schema()
    names = schema["enumerations"].get(numbered) or schema["unions"][numbered]
    return {number: name for number, name in enumerate(names) if name}


@cache
def numbers_of(numbered: str) -> dict[str, int]:
    """Name -> number of an enumeration or a union."""
    return {name: number for number, name in names_of(numbered).items()}


@cache
def _defaults(kind: str) -> dict[str, Any]:
    return {"kind": kind, **{field.name: field.default for field in fields_of(kind)}}


def _default(kind: str, text: str) -> bool | int | float:
    if kind == "bool":
        return text == "1"
    return float(text) if kind == "float32" else int(text)


@cache
def _schema() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path(__file__).with_name("schema.json").read_text())
    return document
