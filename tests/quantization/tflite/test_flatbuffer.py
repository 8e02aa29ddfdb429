"""Our reader and writer of the .tflite's tables against the code that flatc made of the schema, which LiteRT ships."""

from __future__ import annotations

import json
import struct
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as generated

from quantization.converters import builtin
from quantization.tflite.flatbuffer import pack, unpack
from quantization.tflite.model import load_model
from quantization.tflite.schema import Table, fields_of, names_of
from quantization.tflite.schema_table import SCHEMA, schema_table
from tests.quantization.small_models import TWO_HEADS, windows
from toolkit.errors import ModelFileError
from toolkit.model.checkpoint import Checkpoint

NUMBERS = {
    "bool": lambda r: bool(r.integers(0, 2)),
    "float32": lambda r: float(np.float32(r.normal())),
    **{
        name: lambda r, name=name: int(r.integers(np.iinfo(name).min, np.iinfo(name).max, dtype=name))
        for name in ("int8", "uint8", "uint16", "int32", "uint32", "int64", "uint64")
    },
}


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def drawn(kind: str, random: np.random.Generator, depth: int) -> Table:
    """A table with values in most of its fields."""
    table = Table(kind)
    for field in fields_of(kind):
        if random.random() < 0.2 or (depth > 4 and not field.is_scalar):
            continue
        if field.is_scalar:
            if not any(other.is_union and f"{other.name}_type" == field.name for other in fields_of(kind)):
                setattr(table, field.name, NUMBERS[field.type](random))
        elif field.is_union:
            number, name = list(names_of(field.type).items())[random.integers(0, len(names_of(field.type)))]
            setattr(table, f"{field.name}_type", number)
            setattr(table, field.name, drawn(name, random, depth + 1) if number else None)
        elif field.is_vector and field.type in NUMBERS:
            values = [NUMBERS[field.type](random) for _ in range(random.integers(0, 4))]
            setattr(table, field.name, np.array(values, "?" if field.type == "bool" else field.type))
        else:
            count = int(random.integers(0, 3))
            made = [b"t\xc3\xa4xt" if field.type == "string" else drawn(field.type, random, depth + 1)]
            setattr(table, field.name, made * count if field.is_vector else made[0])
    return table


def as_generated(table: Table) -> Any:
    """The same values in the generated object of the same table."""
    made = getattr(generated, f"{table.kind}T")()
    for field in fields_of(table.kind):
        value = getattr(table, field.name)
        if isinstance(value, Table):
            value = as_generated(value)
        elif isinstance(value, list):
            value = [as_generated(each) if isinstance(each, Table) else each for each in value]
        assert hasattr(made, camel(field.name)), (table.kind, field.name)
        setattr(made, camel(field.name), value)
    return made


def same(table: Any, made: Any) -> bool:
    if isinstance(table, Table):
        return all(same(getattr(table, f.name), getattr(made, camel(f.name))) for f in fields_of(table.kind))
    if isinstance(table, list):
        return len(table) == len(made) and all(same(a, b) for a, b in zip(table, made))
    if isinstance(table, np.ndarray):
        return table.tobytes() == np.asarray(made).tobytes() and len(table) == len(made)
    return bool(table == made) and isinstance(table, float) == isinstance(made, float)


class AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """The generated code leaves out the schema's ``force_align: 16`` of buffer data."""

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        if x.dtype == np.uint8:
            self.Prep(16, x.size)
        return int(super().CreateNumpyVector(x))


def test_the_table_of_the_schema_is_that_of_the_installed_litert() -> None:
    stored = json.loads(SCHEMA.read_text())
    found = schema_table()
    for part in ("tables", "unions", "enumerations"):
        assert stored[part] == found[part], f"{part} changed: run python -m quantization.tflite.schema_table"


@pytest.mark.parametrize("seed", range(40))
def test_drawn_files_have_the_bytes_and_values_of_the_generated_code(seed: int) -> None:
    table = drawn("Model", np.random.default_rng(seed), 0)
    content = pack(table)
    builder = AlignedBuilder(1024)
    builder.Finish(as_generated(table).Pack(builder), b"TFL3")
    assert content == bytes(builder.Output())
    read = unpack(content)
    assert same(read, generated.ModelT.InitFromPackedBuf(content, 0))
    assert pack(read) == content


@pytest.mark.parametrize("union", ["BuiltinOptions", "BuiltinOptions2"])
def test_the_options_of_every_operator_have_the_bytes_of_the_generated_code(union: str) -> None:
    field = {"BuiltinOptions": "builtin_options", "BuiltinOptions2": "builtin_options2"}[union]
    random = np.random.default_rng(3)
    operators = [
        Table("Operator", **{field: drawn(name, random, 0), f"{field}_type": number})
        for number, name in names_of(union).items()
        if number
    ]
    table = Table("Model", subgraphs=[Table("SubGraph", operators=operators)])
    builder = AlignedBuilder(1024)
    builder.Finish(as_generated(table).Pack(builder), b"TFL3")
    assert pack(table) == bytes(builder.Output())
    assert same(unpack(pack(table)), as_generated(table))


def test_converted_graphs_are_read_as_the_generated_code_reads_them() -> None:
    for graph in builtin.build(
        Checkpoint.random(TWO_HEADS, 5), windows(Checkpoint.random(TWO_HEADS, 5), 20), scheme="int8"
    ):
        assert same(unpack(graph.content), generated.ModelT.InitFromPackedBuf(graph.content, 0))


@pytest.mark.parametrize("place", [-4, -2_000_000_000, 2_000_000_000])
def test_a_tables_places_outside_of_the_file_are_refused(place: int) -> None:
    """The offset to a table's places is signed; a negative position must not be read from the file's end."""
    content = bytearray(pack(Table("Model", version=3)))
    (root,) = struct.unpack_from("<I", content)
    struct.pack_into("<i", content, root, root - place)
    with pytest.raises(ModelFileError, match="is truncated or damaged"):
        load_model(bytes(content))


def test_a_misspelt_field_is_an_error_at_once() -> None:
    table = Table("Tensor", name=b"x")
    with pytest.raises(AttributeError, match="has no field 'label'"):
        table.label = b"y"
    with pytest.raises(AttributeError, match="has no field 'label'"):
        _ = table.label
