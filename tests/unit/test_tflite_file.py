"""The .tflite reader and writer: a graph survives the round trip, an engine runs it, hostile bytes end in one error."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from quantization.ir import Graph, GraphBuilder, Quantization
from quantization.tflite_file import read, write
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


def test_an_unsupported_op_is_named_with_the_supported_set() -> None:
    from ai_edge_litert import schema_py_generated as schema

    content = write(small_graph())
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CONV_3D
    import flatbuffers

    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    with pytest.raises(
        ModelFileError, match="op 0 is CONV_3D, which is not supported; supported: ADD, BATCH_MATMUL"
    ):
        read(bytes(builder.Output()))
