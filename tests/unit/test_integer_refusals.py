"""Graphs on which the kernels stop the program: the reference names what is wrong instead."""

from __future__ import annotations

import numpy as np
import pytest

from quantization.integer_reference import Interpreter
from quantization.ir import Graph, GraphBuilder, Quantization
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
