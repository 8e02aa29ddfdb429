"""FULLY_CONNECTED: a dense layer on int8 or int16 activations with int8 weights.

    y[j] = clamp(zy + M_j * (sum_k (x[k] - zx) * (w[j, k] - zw) + b[j]))

M_j = s_x * s_w[j] / s_y.

``tflm``: int8 has an int32 sum and M_j is applied with two roundings. int16 with an int64 bias (or none) has an int64
sum, and M_j has 16 bits and one rounding.
Source: tflite-micro ``tensorflow/lite/kernels/internal/reference/integer_ops/fully_connected.h``
(``FullyConnected``, ``FullyConnectedPerChannel``) and ``tensorflow/lite/micro/kernels/fully_connected_common.cc``.

``litert``: M_j has 31 bits and one rounding, for int8 and int16.
Source: TensorFlow ``tensorflow/lite/kernels/fully_connected.cc``, which calls ruy.
"""

from __future__ import annotations

import numpy as np

from quantization.arithmetic.affine import Affine, activation_range, matmul_multiplier
from quantization.arithmetic.fixed_point import (
    Integers,
    multiply_by_quantized_multiplier,
    multiply_by_quantized_multiplier_64,
    multiply_with_single_rounding,
    wrap,
)
from quantization.arithmetic.matrix import exact_matmul


def accumulate(
    values: Integers, zero_point: int, weights: Integers, weight_zero_point: int, bias: Integers | None
) -> Integers:
    """sum_k (x[..., k] - zx) * (w[j, k] - zw) + b[j]: values (..., depth), weights (units, depth)."""
    total = exact_matmul(values - zero_point, np.ascontiguousarray((weights - weight_zero_point).T))
    return total if bias is None else total + bias


def requantize(total: Integers, multiplier: Integers | int, shift: Integers | int, *, wide: bool) -> Integers:
    """Scale an accumulator: ``wide`` is the int64 accumulator of 16-bit activations, else an int32 one."""
    if wide:
        return multiply_by_quantized_multiplier_64(total, multiplier, shift)
    return multiply_by_quantized_multiplier(wrap(total, 32), multiplier, shift)


def fully_connected(
    values: Integers,
    values_quantization: Affine,
    weights: Integers,
    weights_quantization: Affine,
    bias: Integers | None,
    output: Affine,
    activation: str = "NONE",
    *,
    semantics: str = "tflm",
) -> Integers:
    """Dense layer: values (..., depth), weights (units, depth), bias (units,) -> (..., units)."""
    total = accumulate(values, values_quantization.zero_point, weights, weights_quantization.zero_point, bias)
    low, high = activation_range(activation, output)
    multiplier, shift = matmul_multiplier(values_quantization, weights_quantization, float(output.single))
    if semantics == "litert":
        scaled = multiply_with_single_rounding(total, multiplier, shift)
    else:
        scaled = requantize(total, multiplier, shift, wide=values_quantization.bits == 16)
    return np.clip(scaled + output.zero_point, low, high)
