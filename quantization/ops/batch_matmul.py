"""BATCH_MATMUL of two activations, int8 or int16.

    y = clamp(zy + M * sum_k (a[.., i, k] - za) * (b[.., k, j] - zb)),    M = s_a * s_b / s_y

int8: int32 sum, two roundings. int16: zero points are 0, int64 sum, 16-bit multiplier with one rounding. There is no
fused activation.

Source: tflite-micro ``tensorflow/lite/micro/kernels/batch_matmul.cc`` and
``tensorflow/lite/kernels/internal/reference/batch_matmul.h``. Desktop LiteRT's reference kernel is the
same but for s_a * s_b, which it multiplies in single precision.
"""

from __future__ import annotations

import numpy as np

from quantization.arithmetic.affine import Affine, matmul_multiplier, matmul_multiplier_from_single
from quantization.arithmetic.fixed_point import Integers
from quantization.arithmetic.matrix import exact_matmul
from quantization.ops.fully_connected import requantize


def batch_matmul(
    left: Integers,
    left_quantization: Affine,
    right: Integers,
    right_quantization: Affine,
    output: Affine,
    *,
    transpose_left: bool = False,
    transpose_right: bool = False,
    semantics: str = "tflm",
) -> Integers:
    """left (..., rows, depth) times right (..., depth, columns) -> (..., rows, columns); leading axes broadcast.

    ``transpose_left`` and ``transpose_right`` (the op's adj_x, adj_y) swap the last two axes first.
    """
    a = np.swapaxes(left, -1, -2) if transpose_left else left
    b = np.swapaxes(right, -1, -2) if transpose_right else right
    multiplier: Integers | int
    shift: Integers | int
    if semantics == "litert":
        multiplier, shift = matmul_multiplier_from_single(
            left_quantization, right_quantization, float(output.single)
        )
    else:
        multiplier, shift = matmul_multiplier(left_quantization, right_quantization, float(output.single))
    total = exact_matmul(a - left_quantization.zero_point, b - right_quantization.zero_point)
    low, high = output.range
    scaled = requantize(total, multiplier, shift, wide=left_quantization.bits == 16) + output.zero_point
    return np.clip(scaled, low, high)
