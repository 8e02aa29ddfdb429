"""Functions of int16 values by tables of 513 entries with linear interpolation.

Source: tflite-micro ``tensorflow/lite/kernels/internal/common.h`` (``gen_lut``, ``LUTPopulate``, ``LUTLookup``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.fixed_point import Integers

Reals = NDArray[Any]


def _round(values: Reals) -> Reals:
    """Half away from zero, in the precision of the values."""
    rounded: Reals = np.copysign(np.floor(np.abs(values) + values.dtype.type(0.5)), values)
    return rounded


def interpolation_table(
    function: Callable[[Reals], Reals],
    input_range: tuple[float, float],
    output_range: tuple[float, float],
    precision: Any = np.float32,
) -> Integers:
    """513 entries of ``function``, each with half of the interpolation error at the following midpoint taken off.

    The integers -32768 to 32767 span ``input_range`` and ``output_range``; all arithmetic is in ``precision``, as the kernel
    does it when it is prepared.
    """
    one = precision(1)
    low, high = one * precision(input_range[0]), one * precision(input_range[1])
    step = precision((high - low) / precision(512))
    half = precision(step / precision(2))
    to_integer = precision(precision(65536) / precision(output_range[1] - output_range[0]))

    def evaluate(x: Reals) -> Reals:
        return np.asarray(function(x)).astype(precision)

    index: Reals = np.arange(512, dtype=precision)
    value = evaluate(low + index * step)
    middle = evaluate(low + index * step + half)
    following = evaluate(low + (index + one) * step)
    sample = _round(value * to_integer)
    interpolated = _round((following * to_integer + sample) / precision(2))
    bias = _round((interpolated - _round(middle * to_integer)) / precision(2))
    last = _round(evaluate(np.array([high], precision)) * to_integer)
    table: Integers = np.clip(np.concatenate([sample - bias, last]), -32768, 32767).astype(np.int64)
    return table


def look_up(values: Integers, table: Integers) -> Integers:
    """``LUTLookup``: int16 input, 7 fraction bits, the interpolation rounded half up."""
    index = 256 + (values >> 7)
    offset = values & 0x7F
    base = table[index]
    result: Integers = base + (((table[index + 1] - base) * offset + 64) >> 7)
    return result
