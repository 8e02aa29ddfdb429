"""Sigmoid and tanh on 16-bit values, in the two forms that engines use.

* ``tflm``: linear interpolation in a table of 256 entries of sigmoid(i / 24) in unsigned 0.16 format;
  tanh(x) = 2 sigmoid(2x) - 1 uses the same table. Source: tflite-micro
  ``tensorflow/lite/kernels/internal/reference/integer_ops/logistic.h`` and ``tanh.h``; called from
  ``tensorflow/lite/micro/kernels/lstm_eval.cc`` (``Sigmoid``, ``Tanh``). CMSIS-NN computes the same.
* ``litert``: gemmlowp's fixed-point exponential and Newton-Raphson division on int16. Source: TensorFlow
  ``tensorflow/lite/kernels/internal/reference/portable_tensor_utils.cc`` (``PortableApplySigmoid``,
  ``PortableApplyTanh``).

Output is Q0.15: an integer q stands for q / 32768.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic import gemmlowp
from quantization.arithmetic.fixed_point import Integers


@lru_cache(maxsize=1)
def sigmoid_table() -> Integers:
    """The 256 entries of ``sigmoid_table_uint16``, int64 (256,).

    Entry i is 65536 * sigmoid(i / 24) plus half of what a straight line from entry to entry would miss
    at the midpoint, rounded; the last one is 65535. This formula gives the published table exactly.
    """
    index = np.arange(256, dtype=np.float64)

    def scaled_sigmoid(position: NDArray[np.float64]) -> NDArray[np.float64]:
        return 65536.0 / (1.0 + np.exp(-position / 24.0))

    missed = scaled_sigmoid(index + 0.5) - (scaled_sigmoid(index) + scaled_sigmoid(index + 1.0)) / 2.0
    table: Integers = np.floor(scaled_sigmoid(index) + missed / 2.0 + 0.5).astype(np.int64)
    table[255] = 65535
    return table


def _interpolate(magnitude: Integers, fraction_bits: int) -> Integers:
    """Table value of ``magnitude / 2**fraction_bits`` in 0.(16 + fraction_bits) format; index 255 is not used here."""
    table = sigmoid_table()
    index = np.minimum(magnitude >> fraction_bits, 254)
    fraction = magnitude & ((1 << fraction_bits) - 1)
    low, high = table[index], table[index + 1]
    result: Integers = (low << fraction_bits) + fraction * (high - low)
    return result


def _scale_input(values: Integers, multiplier: int, left_shift: int) -> Integers:
    """Bring int16 input onto the table's axis: times multiplier / 2**left_shift with rounding half up.

    A multiplier of 0 says that the input scale is a power of two: then it is 3 << left_shift, exactly.
    """
    if multiplier == 0:
        multiplier, left_shift = 3 << left_shift, 0
    rounding = 1 << (left_shift - 1) if left_shift > 0 else 0
    result: Integers = (values * multiplier + rounding) >> left_shift
    return result


def sigmoid_from_table(values: Integers, multiplier: int = 0, left_shift: int = 0) -> Integers:
    """``reference_integer_ops::Logistic`` for int16. With the defaults the input is Q3.12, as in an LSTM gate."""
    x = _scale_input(values, multiplier, left_shift)
    magnitude = np.abs(x)
    result = np.where(magnitude >> 9 >= 255, 0x7FFF << 10, _interpolate(magnitude, 9))
    result = np.where(x >= 0, result + (1 << 9), (1 << 25) - result + (1 << 9) - 1)
    shifted: Integers = result >> 10
    return shifted


def tanh_from_table(values: Integers, multiplier: int = 0, left_shift: int = 0) -> Integers:
    """``reference_integer_ops::Tanh`` for int16. With the defaults the input is Q3.12."""
    x = _scale_input(values, multiplier, left_shift)
    magnitude = np.abs(x)
    result = np.where(magnitude >> 8 >= 255, 0xFFFF << 8, _interpolate(magnitude, 8))
    offset, rounding = 1 << 23, 1 << 7
    result = np.where(x >= 0, result - offset + rounding, -result + offset + rounding - 1)
    shifted: Integers = result >> 8
    return shifted


def tanh_of_cell_from_table(values: Integers, scale_exponent: int) -> Integers:
    """tanh of a cell state of scale 2**scale_exponent (``lstm_internal::Tanh`` of tflite-micro lstm_eval.cc)."""
    left_shift = 15 + scale_exponent - 3
    if left_shift < 0:
        return tanh_from_table(values, 3, -left_shift)
    return tanh_from_table(values, 0, left_shift)


def sigmoid_fixed_point(values: Integers) -> Integers:
    """Sigmoid of Q3.12 by gemmlowp's int16 arithmetic (desktop LiteRT)."""
    return gemmlowp.logistic(values, 3, 16)


def tanh_fixed_point(values: Integers, integer_bits: int = 3) -> Integers:
    """tanh by gemmlowp's int16 arithmetic (desktop LiteRT); ``integer_bits`` 0 to 6, more leave the buffer as it is."""
    if not 0 <= integer_bits <= 6:
        raise ValueError(f"integer_bits is {integer_bits}; the kernel computes 0 to 6 only")
    return gemmlowp.tanh(values, integer_bits, 16)


def _all_int16() -> Integers:
    return np.arange(-32768, 32768, dtype=np.int64)


@lru_cache(maxsize=64)
def gate_table(function: str, semantics: str, scale_exponent: int = -12) -> Integers:
    """All 65,536 outputs of a gate activation, index 0 for input -32768; makes a large batch fast.

    ``function`` is ``sigmoid`` or ``tanh``, ``semantics`` ``tflm`` or ``litert``; the input scale is 2**scale_exponent
    (always -12 for sigmoid).
    """
    values = _all_int16()
    if function == "sigmoid":
        return sigmoid_from_table(values) if semantics == "tflm" else sigmoid_fixed_point(values)
    if semantics == "tflm":
        return tanh_of_cell_from_table(values, scale_exponent)
    return tanh_fixed_point(values, 15 + scale_exponent)
