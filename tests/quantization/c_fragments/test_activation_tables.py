"""The tables of the C kernels are what their generator writes, and its lines are the reference's functions."""

from __future__ import annotations

import numpy as np
import pytest

from quantization.arithmetic.activations import sigmoid_from_table, tanh_from_table
from quantization.c_fragments.activation_tables import (
    SIGMOID_ZERO,
    TANH_ZERO,
    Line,
    sigmoid_lines,
    tables,
    tanh_lines,
)
from quantization.kernels import kernel_text


@pytest.mark.parametrize("name", tables())
def test_committed_tables_are_the_generators(name: str) -> None:
    assert kernel_text(name) == tables()[name]


def value_of(lines: list[Line], zero: int, steps: np.ndarray, bits: int) -> np.ndarray:
    """As C reads a line: the upper half of base + slope * steps, modulo 2^32."""
    base, slope = np.array(lines, np.int64)[zero + (steps >> bits)].T
    return (base + slope * steps).astype(np.int32) >> 16


def test_every_line_is_the_reference_for_every_argument() -> None:
    values = np.arange(-32768, 32768, dtype=np.int64)
    found = value_of(sigmoid_lines(), SIGMOID_ZERO, 3 * values, 9)
    np.testing.assert_array_equal(found, sigmoid_from_table(values))
    steps = np.clip(3 * values, -65536, 65535)
    np.testing.assert_array_equal(value_of(tanh_lines(), TANH_ZERO, steps, 8), tanh_from_table(values))
