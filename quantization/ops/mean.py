"""MEAN, the reduction of layer norm.

    y = clamp(zy + M' * sum (x - zx)),    M' ~ s_x / (s_y * n)

where the 31-bit multiplier of s_x / s_y, shifted left by floor(log2 n), is divided by n with truncation. Equal
quantization of input and output is no special case (in older versions of the kernel it was: they truncated the
plain average).

Source: tflite-micro ``tensorflow/lite/micro/kernels/reduce_common.cc`` (``EvalMean``) and
``tensorflow/lite/kernels/internal/reference/reduce.h`` (``QuantizedMeanOrSum``).
"""

from __future__ import annotations

import math

import numpy as np

from quantization.arithmetic.affine import Affine, ratio_multiplier
from quantization.arithmetic.fixed_point import (
    Integers,
    multiply_by_quantized_multiplier,
    multiply_by_quantized_multiplier_64,
    wrap,
)


def mean_multiplier(multiplier: int, shift: int, count: int) -> tuple[int, int]:
    """Fold 1 / count into a multiplier and shift, as ``QuantizedMeanOrSum`` does."""
    extra = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << extra) // count, shift - extra


def mean(
    values: Integers,
    quantization: Affine,
    output: Affine,
    axes: tuple[int, ...],
    *,
    keep_dimensions: bool,
    wide: bool = False,
) -> Integers:
    """Average over ``axes``. ``wide`` applies the multiplier to an int64 sum (desktop LiteRT on int16)."""
    total = values.sum(axis=axes, keepdims=keep_dimensions)
    count = math.prod(values.shape[axis] for axis in axes)
    multiplier, shift = mean_multiplier(
        *ratio_multiplier(float(quantization.single), float(output.single)), count
    )
    centred = total - quantization.zero_point * count
    if wide:
        scaled = multiply_by_quantized_multiplier_64(centred, multiplier, shift)
    else:
        scaled = multiply_by_quantized_multiplier(wrap(centred, 32), multiplier, shift)
    low, high = output.range
    return np.clip(scaled + output.zero_point, low, high)
