"""Graphs on which the kernels stop the program: the reference names what is wrong instead."""

from __future__ import annotations

import numpy as np
import pytest

from quantization.arithmetic.affine import Affine
from quantization.graph.ir import Graph, GraphBuilder, Quantization
from quantization.ops.lstm import Gate, LstmParameters, lstm
from quantization.reference import Interpreter
from toolkit.errors import ModelFileError


def sum_with_output_scale(kind: str, scale: float) -> Graph:
    builder = GraphBuilder("sum")
    a = builder.add("a", (1, 2), np.int16, Quantization.per_tensor(1.0))
    b = builder.add("b", (1, 2), np.int16, Quantization.per_tensor(0.5))
    out = builder.add("out", (1, 2), np.int16, Quantization.per_tensor(scale))
    builder.op(kind, (a, b), (out,))
    return builder.build((a, b), (out,))


@pytest.mark.parametrize("kind", ["ADD", "SUB"])
def test_an_output_scale_too_small_for_its_inputs(kind: str) -> None:
    """2 * max(s_a, s_b) / 2**15 is the bound for int16; at it the factor is 1, which the kernels refuse as well."""
    values = [np.array([[1, 2]], np.int16), np.array([[4, -6]], np.int16)]
    with pytest.raises(ModelFileError, match=f"{kind} has an output scale of .* widen the output's range"):
        Interpreter(sum_with_output_scale(kind, 2.0**-14)).run(values)
    (result,) = Interpreter(sum_with_output_scale(kind, 2.0**-13)).run(values)
    # 1 + 2 and 2 - 3, or 1 - 2 and 2 + 3, in steps of 2**-13, saturated at 32767.
    expected = [24576, -8192] if kind == "ADD" else [-8192, 32767]
    assert result.tolist() == [expected]


@pytest.mark.parametrize(
    ("source", "scale", "zero"), [(np.int8, 1 / 128, -128), (np.int8, 1 / 256, 0), (np.int16, 1 / 16384, 0)]
)
def test_softmax_with_another_output_quantization(source: type, scale: float, zero: int) -> None:
    builder = GraphBuilder("softmax")
    x = builder.add("x", (1, 3), source, Quantization.per_tensor(0.1))
    y = builder.add("y", (1, 3), source, Quantization.per_tensor(scale, zero))
    builder.op("SOFTMAX", (x,), (y,), beta=1.0)
    with pytest.raises(ModelFileError, match=r"SOFTMAX of int.* the kernels fix them at"):
        Interpreter(builder.build((x,), (y,))).run([np.zeros((1, 3), source)])


def lstm_with_cell_scale(scale: float) -> LstmParameters:
    one = Affine(np.array([0.01], np.float32), 0, 8)
    weights = np.ones((2, 2), np.int64)
    gate = Gate(weights, one, weights, one, None)
    return LstmParameters(
        (gate, gate, gate, gate), one, one, Affine(np.array([scale], np.float32), 0, 16), 0.0
    )


@pytest.mark.parametrize("scale", [0.001, 2.0**-8, 2.0**-16])
def test_cell_scales_that_desktop_litert_runs_wrongly(scale: float) -> None:
    values, state = np.ones((1, 3, 2), np.int64), np.zeros((1, 2), np.int64)
    with pytest.raises(ModelFileError, match=r"powers of two from 2\^-15 to 2\^-9 only"):
        lstm(values, state, state, lstm_with_cell_scale(scale), "litert")
    # TFLM computes them all.
    assert lstm(values, state, state, lstm_with_cell_scale(scale), "tflm").hidden.shape == (1, 3, 2)


def test_a_quantized_op_without_quantization_is_named() -> None:
    builder = GraphBuilder("sum")
    tensors = [builder.add(name, (1, 2), np.int8) for name in ("a", "b", "out")]
    builder.op("ADD", (tensors[0], tensors[1]), (tensors[2],))
    ones = np.ones((1, 2), np.int8)
    with pytest.raises(ModelFileError, match="tensor 'a' has no quantization"):
        Interpreter(builder.build((tensors[0], tensors[1]), (tensors[2],))).run([ones, ones])
