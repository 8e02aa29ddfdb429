"""The .tflite reader and writer: a graph survives the round trip, an engine runs it, hostile bytes end in one error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from quantization.graph.ir import Graph, GraphBuilder, Quantization
from quantization.tflite.file import read, write
from quantization.tflite.flatbuffer import MAX_TABLES
from quantization.tflite.model import load_model
from toolkit.errors import ModelFileError

WEIGHTS = np.array([[1, -2, 3], [4, 5, -6]], np.int8)
BIAS = np.array([10, -20], np.int32)


def small_graph() -> Graph:
    """y = 0.5 * W x with everything in int8, y at scale 4 so that the figures below can be checked by hand."""
    builder = GraphBuilder("small")
    x = builder.add("x", (1, 3), np.int8, Quantization.per_tensor(1.0, 2))
    weights = builder.constant("weights", WEIGHTS, Quantization.per_tensor(0.5))
    bias = builder.constant("bias", BIAS, Quantization.per_tensor(0.5))
    y = builder.add("y", (1, 2), np.int8, Quantization.per_tensor(4.0, -1))
    builder.op(
        "FULLY_CONNECTED", (x, weights, bias), (y,), fused_activation_function="RELU", keep_num_dims=False
    )
    return builder.build((x,), (y,)).with_metadata(**{"edgetool.contract": b"{}"})


def test_a_graph_survives_the_round_trip() -> None:
    content = write(small_graph())
    graph = read(content)
    assert write(graph) == content
    assert [t.name for t in graph.tensors] == ["x", "weights", "bias", "y"]
    assert np.array_equal(graph.tensor("weights").data, WEIGHTS)
    quantization = graph.tensor("y").quantization
    assert quantization is not None
    assert (float(quantization.scale[0]), int(quantization.zero_point[0])) == (4.0, -1)
    assert graph.ops[0].options["fused_activation_function"] == "RELU"
    assert graph.metadata == {"edgetool.contract": b"{}"}


def test_litert_computes_what_the_graph_says() -> None:
    interpreter = Interpreter(model_content=write(small_graph()))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.array([[12, 2, 22]], np.int8))
    interpreter.invoke()
    result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    # x = (10, 0, 20); W x + b = (70 + 10, -80 - 20) * 0.5 = (40, -50); ReLU; / 4 - 1 = (9, -1).
    assert result.tolist() == [[9, -1]]


@pytest.mark.parametrize("length", [0, 4, 7, 8, 40, 200])
def test_truncated_bytes_are_named(length: int) -> None:
    with pytest.raises(ModelFileError, match=r"x\.tflite is (not a \.tflite file|truncated or damaged)"):
        read(write(small_graph())[:length], "x.tflite")


def test_every_mutation_reads_or_ends_in_one_error() -> None:
    content = write(small_graph())
    random = np.random.default_rng(7)
    refused = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= int(random.integers(1, 256))
        try:
            read(bytes(damaged))
        except ModelFileError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 0


def shared_parts(part: str, count: int = 1000) -> bytes:
    """A whole .tflite of a few kB in which ``part`` stands once and is named ``count`` times by each of ``count`` others."""
    builder = flatbuffers.Builder(1024)

    def numbers(length: int) -> int:
        return int(builder.CreateNumpyVector(np.zeros(length, np.int32)))

    def repeated(table: int, times: int) -> int:
        builder.StartVector(4, times, 4)
        for _ in range(times):
            builder.PrependUOffsetTRelative(table)
        return int(builder.EndVector())

    def table(name: str, **fields: int) -> int:
        getattr(schema, f"{name}Start")(builder)
        for field, value in fields.items():
            getattr(schema, f"{name}Add{field}")(builder, value)
        return int(getattr(schema, f"{name}End")(builder))

    many = {name: count if name == part else 1 for name in ("subgraph", "shape", "operand", "signature")}
    name = builder.CreateString("n" * (count if part == "name" else 1))
    tensor = table("Tensor", Shape=numbers(many["shape"]), Name=name)
    operands = numbers(many["operand"])
    operator = table("Operator", Inputs=operands, Outputs=operands)
    graph = table("SubGraph", Tensors=repeated(tensor, count), Operators=repeated(operator, count))
    maps = repeated(table("TensorMap", Name=name), count)
    signature = table("SignatureDef", Inputs=maps)
    model = table(
        "Model",
        Version=3,
        OperatorCodes=repeated(table("OperatorCode", Version=1), 1),
        Subgraphs=repeated(graph, many["subgraph"]),
        Buffers=repeated(table("Buffer"), 1),
        SignatureDefs=repeated(signature, many["signature"]),
    )
    builder.Finish(model, file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("part", ["subgraph", "shape", "operand", "signature", "name"])
@pytest.mark.parametrize("reader", [read, load_model], ids=["read", "load_model"])
def test_a_small_file_cannot_become_a_large_model(part: str, reader: Callable[[bytes], Any]) -> None:
    """Unpacked, the first holds a million tensors, and took over a minute."""
    content = shared_parts(part)
    assert len(content) < 25_000
    with pytest.raises(ModelFileError, match="its parts add up to more than its bytes can hold"):
        reader(content)


def test_more_tables_than_any_model_has_are_refused_before_they_are_made() -> None:
    """Each operator here has its own bytes: 1.1 MB that say what they hold."""
    builder = GraphBuilder("long")
    x = builder.add("x", (1, 1), np.int8, Quantization.per_tensor(1.0))
    for _ in range(MAX_TABLES // 3):  # with MUL's options, three tables a turn
        builder.op("RELU", (x,), (x,))
        builder.op("MUL", (x, x), (x,))
    content = write(builder.build((x,), (x,)))
    with pytest.raises(ModelFileError, match="it has more than 50,000 tables"):
        read(content)


def test_an_unsupported_op_is_named_with_the_supported_set() -> None:
    content = write(small_graph())
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CONV_3D
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    with pytest.raises(
        ModelFileError, match="op 0 is CONV_3D, which is not supported; supported: ADD, BATCH_MATMUL"
    ):
        read(bytes(builder.Output()))
