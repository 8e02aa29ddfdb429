"""What the interpreter of the integer reference refuses, and how it reads inputs. Arithmetic is tested elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from quantization.graph.ir import Graph, GraphBuilder, Quantization
from quantization.reference import Interpreter
from toolkit.errors import InputError, ModelFileError, UsageError


def doubling() -> Graph:
    """out = in + in, int8 with scale 1 and zero point 0 to int8 with scale 2 and zero point 1."""
    builder = GraphBuilder("doubling")
    source = builder.add("in", (1, 3), np.int8, Quantization.per_tensor(1.0))
    out = builder.add("out", (1, 3), np.int8, Quantization.per_tensor(2.0, 1))
    builder.op("ADD", (source, source), (out,))
    return builder.build((source,), (out,))


def test_one_window_and_many() -> None:
    interpreter = Interpreter(doubling())
    one = np.array([[1, -5, 127]], np.int8)
    (result,) = interpreter.run([one])
    # (x + x) / 2 + 1, saturated.
    assert result.tolist() == [[2, -4, 127]]
    assert result.dtype == np.int8
    (many,) = interpreter.run([np.stack([one, one + np.int8(-1)])])
    assert many.tolist() == [[[2, -4, 127]], [[1, -5, 127]]]
    assert interpreter.tensor("out").shape == (2, 1, 3)
    (named,) = interpreter.run({"in": one})
    assert named.tolist() == result.tolist()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "1 inputs and 0 were given"),
        ([np.zeros((1, 4), np.int8)], r"shape \(1, 4\); it must be \(1, 3\)"),
        ([np.zeros((1, 3), np.int16)], "int16; it must be int8"),
        ({"imu": np.zeros((1, 3), np.int8)}, "input in is missing"),
    ],
)
def test_wrong_inputs(inputs: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Interpreter(doubling()).run(inputs)  # type: ignore[arg-type]


def test_unknown_op_is_named_with_the_known_ones() -> None:
    builder = GraphBuilder("foreign")
    source = builder.add("in", (1, 3), np.int8, Quantization.per_tensor(1.0))
    builder.op("EXP", (source,), (source,))
    with pytest.raises(ModelFileError, match=r"op 0 is EXP, .*; it has ADD, BATCH_MATMUL"):
        Interpreter(builder.build((source,), (source,)))


def test_float_arithmetic_is_refused() -> None:
    builder = GraphBuilder("float")
    source = builder.add("in", (1, 3))
    out = builder.add("out", (1, 3))
    builder.op("ADD", (source, source), (out,))
    with pytest.raises(ModelFileError, match="ADD on float32"):
        Interpreter(builder.build((source,), (out,)))


def test_unknown_semantics_and_tensors() -> None:
    with pytest.raises(UsageError, match="allowed: tflm, litert"):
        Interpreter(doubling(), "cmsis")  # type: ignore[arg-type]
    interpreter = Interpreter(doubling())
    with pytest.raises(InputError, match="no run has computed it"):
        interpreter.tensor("out")
    with pytest.raises(InputError, match="'moments' is not in this graph"):
        interpreter.tensor("moments")
    with pytest.raises(InputError, match="state h is not in this graph; it has none"):
        interpreter.state = {"h": np.zeros((1, 2))}


def test_negative_square_root_is_refused_as_the_kernel_refuses_it() -> None:
    builder = GraphBuilder("root")
    source = builder.add("in", (1, 1), np.int8, Quantization.per_tensor(1.0, 3))
    out = builder.add("out", (1, 1), np.int8, Quantization.per_tensor(0.01, -128))
    builder.op("RSQRT", (source,), (out,))
    with pytest.raises(InputError, match="below its zero point 3"):
        Interpreter(builder.build((source,), (out,))).run([np.array([[2]], np.int8)])
