"""ADD, SUB, MUL, SQUARED_DIFFERENCE, RSQRT and the conversions QUANTIZE and DEQUANTIZE.

Sources, per function, in tflite-micro; desktop LiteRT's reference kernels are the same unless said.
Arrays broadcast as in numpy, which is how the kernels broadcast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.affine import Affine, activation_range, ratio_multiplier
from quantization.arithmetic.fixed_point import (
    INT32_MAX,
    Integers,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    wrap,
)
from quantization.arithmetic.gemmlowp import leading_zeros_32, multiply, multiply_by_power_of_two
from quantization.arithmetic.interpolation import interpolation_table, look_up
from toolkit.errors import InputError, ModelFileError


def multiply_elementwise(
    a: Integers,
    a_quantization: Affine,
    b: Integers,
    b_quantization: Affine,
    output: Affine,
    activation: str = "NONE",
    *,
    semantics: str = "tflm",
) -> Integers:
    """MUL: y = clamp(zy + M * (a - za) * (b - zb)), M = s_a * s_b / s_y, two roundings, int8 and int16.

    M is computed in double precision by TFLM and in single precision by LiteRT.
    Source: ``tensorflow/lite/kernels/internal/reference/integer_ops/mul.h`` (``MulElementwise``),
    ``tensorflow/lite/micro/kernels/mul_common.cc`` and ``tensorflow/lite/kernels/mul.cc``.
    """
    if semantics == "litert":
        real = float(np.float32(a_quantization.single * b_quantization.single) / output.single)
    else:
        real = float(a_quantization.single) * float(b_quantization.single) / float(output.single)
    multiplier, shift = quantize_multiplier(real)
    product = (a - a_quantization.zero_point) * (b - b_quantization.zero_point)
    low, high = activation_range(activation, output)
    scaled = multiply_by_quantized_multiplier(product, multiplier, shift) + output.zero_point
    return np.clip(scaled, low, high)


def _common_scale(
    a: Integers, a_quantization: Affine, b: Integers, b_quantization: Affine, left_shift: int
) -> tuple[Integers, Integers, float]:
    """Both operands on the scale 2 * max(s_a, s_b) / 2**left_shift, and that scale's numerator in double."""
    twice_largest = 2.0 * float(max(a_quantization.single, b_quantization.single))
    scaled = []
    for values, quantization in ((a, a_quantization), (b, b_quantization)):
        multiplier, shift = quantize_multiplier(float(quantization.single) / twice_largest)
        raised = wrap((values - quantization.zero_point) << left_shift, 32)
        scaled.append(multiply_by_quantized_multiplier(raised, multiplier, shift))
    return scaled[0], scaled[1], twice_largest


def add(
    a: Integers,
    a_quantization: Affine,
    b: Integers,
    b_quantization: Affine,
    output: Affine,
    activation: str = "NONE",
    *,
    subtract: bool = False,
) -> Integers:
    """ADD and SUB: both operands go to a common scale with 20 (int8) or 15 (int16) extra bits, then to the output's.

    Each of the three scalings is rounded twice. An output scale so small that the last factor is 1 or more raises
    ModelFileError: the kernels abort (``QuantizeMultiplierSmallerThanOneExp``).
    Source: ``integer_ops/add.h`` (``AddFunc``), ``reference/sub.h`` and
    ``tensorflow/lite/micro/kernels/add_common.cc``, ``sub_common.cc``.
    """
    left_shift = 15 if output.bits == 16 else 20
    first, second, twice_largest = _common_scale(a, a_quantization, b, b_quantization, left_shift)
    total = wrap(first - second if subtract else first + second, 32)
    real = twice_largest / ((1 << left_shift) * float(output.single))
    multiplier, shift = quantize_multiplier(real)
    if shift > 0:
        raise ModelFileError(
            f"{'SUB' if subtract else 'ADD'} has an output scale of {float(output.single):g} beside input scales up to "
            f"{twice_largest / 2:g}: the kernels stop the program below {twice_largest / (1 << left_shift):g}; widen the "
            "output's range"
        )
    low, high = activation_range(activation, output)
    return np.clip(multiply_by_quantized_multiplier(total, multiplier, shift) + output.zero_point, low, high)


def squared_difference(
    a: Integers, a_quantization: Affine, b: Integers, b_quantization: Affine, output: Affine
) -> Integers:
    """SQUARED_DIFFERENCE: the difference at a common scale with 7 (int8) or 0 (int16) extra bits, squared in int32.

    Source: ``tensorflow/lite/micro/kernels/squared_difference.cc``.
    """
    left_shift = 0 if output.bits == 16 else 7
    first, second, twice_largest = _common_scale(a, a_quantization, b, b_quantization, left_shift)
    difference = first - second
    # The kernel multiplies 2**(2 * left_shift) with the output scale in single precision.
    denominator = float(np.float32(1 << (2 * left_shift)) * output.single)
    multiplier, shift = quantize_multiplier(twice_largest * twice_largest / denominator)
    low, high = output.range
    squared = wrap(difference * difference, 32)
    return np.clip(
        multiply_by_quantized_multiplier(squared, multiplier, shift) + output.zero_point, low, high
    )


def inverse_square_root(values: Integers) -> tuple[Integers, Integers]:
    """``GetInvSqrtQuantizedMultiplierExp``: multiplier and left shift of 1 / sqrt(x) for positive int32 x.

    Newton-Raphson, five steps from 1, on x scaled by a power of four into [2**27, 2**29).
    Source: ``tensorflow/lite/kernels/internal/common.h``.
    """
    x = np.maximum(values, 1)
    right_shift = np.full_like(x, 11)
    for _ in range(2):
        large = x >= 1 << 29
        x = np.where(large, x // 4, x)
        right_shift = right_shift + large
    pairs = (leading_zeros_32(x) - 1) // 2 - 1
    right_shift = right_shift - pairs
    x = x << (2 * pairs)
    scaled = x >> 1
    half = multiply_by_power_of_two(scaled, -1, 32)
    estimate = np.full_like(x, 1 << 28)
    for _ in range(5):
        cube = multiply_by_power_of_two(multiply(multiply(estimate, estimate, 32), estimate, 32), 6, 32)
        three_halves = multiply(estimate, (1 << 28) + (1 << 27), 32)
        estimate = multiply_by_power_of_two(wrap(three_halves - multiply(half, cube, 32), 32), 3, 32)
    root = multiply(estimate, 1518500250, 32)
    root = np.where(right_shift < 0, wrap(root << np.maximum(-right_shift, 0), 32), root)
    left_shift = -np.maximum(right_shift, 0)
    return np.where(values <= 1, INT32_MAX, root), np.where(values <= 1, 0, left_shift)


def reciprocal_square_root(values: Integers, quantization: Affine, output: Affine) -> Integers:
    """RSQRT: y = clamp(zy + 1 / (sqrt(s_x * (x - zx)) * s_y)); x = zx gives the largest output.

    1 / sqrt is computed in fixed point with 20 extra bits, then scaled by 1 / (sqrt(s_x) * s_y). x below zx raises
    InputError, as the kernel fails there.
    Source: ``tensorflow/lite/micro/kernels/elementwise.cc`` (``RsqrtEvalQuantized``).
    """
    low, high = output.range
    difference = values - quantization.zero_point
    if np.any(difference < 0):
        raise InputError(
            f"RSQRT got {int(values.min())}, which is below its zero point {quantization.zero_point}: a negative number has "
            "no square root; quantize its input with the least integer as zero point"
        )
    root_multiplier, root_shift = inverse_square_root(difference)
    one = np.ones_like(difference)
    data = multiply_by_quantized_multiplier(one, root_multiplier, root_shift + 20)
    multiplier, shift = quantize_multiplier(
        1.0 / (float(np.sqrt(np.float64(quantization.single))) * float(output.single))
    )
    scaled = multiply_by_quantized_multiplier(data, multiplier, shift - 20) + output.zero_point
    return np.where(difference == 0, high, np.clip(scaled, low, high))


def reciprocal_square_root_by_table(values: Integers, quantization: Affine, output: Affine) -> Integers:
    """RSQRT of int16 in desktop LiteRT: a table of 513 entries over the whole int16 range, interpolated linearly.

    Between entry 0 (the largest output, for x <= 0) and the first positive one, 128 steps further, the result is far from
    1 / sqrt(x). Source: ``tensorflow/lite/kernels/elementwise.cc`` and ``internal/common.h`` (``LUTPopulate``).
    """
    scale, output_scale = quantization.single, output.single

    def function(x: NDArray[np.float32]) -> NDArray[np.float32]:
        with np.errstate(divide="ignore", invalid="ignore"):
            root: NDArray[np.float32] = np.where(
                x > 0, np.float32(1) / np.sqrt(x), output_scale * np.float32(32767)
            )
        return root

    ends = np.array([-32768, 32767], np.float32)
    low, high = (float(v) for v in scale * ends)
    least, largest = (float(v) for v in output_scale * ends)
    return look_up(values, interpolation_table(function, (low, high), (least, largest)))


def quantize(values: NDArray[np.float32], output: Affine) -> Integers:
    """QUANTIZE of float32: clamp(round(x / scale) + zero point), divided in single precision, halves away from zero.

    Source: ``tensorflow/lite/kernels/internal/reference/quantize.h`` (``AffineQuantize``).
    """
    scaled = (values.astype(np.float32) / output.single).astype(np.float64)
    rounded = np.sign(scaled) * np.floor(np.abs(scaled) + 0.5)
    low, high = output.range
    clipped: Integers = np.clip(rounded + output.zero_point, low, high).astype(np.int64)
    return clipped


def dequantize(values: Integers, quantization: Affine) -> NDArray[np.float32]:
    """DEQUANTIZE: scale * (q - zero point) in double precision, stored as float32.

    Source: ``tensorflow/lite/kernels/internal/reference/dequantize.h``.
    """
    real: NDArray[np.float32] = (
        float(quantization.single) * (values - quantization.zero_point).astype(np.float64)
    ).astype(np.float32)
    return real


def rescale(values: Integers, quantization: Affine, output: Affine) -> Integers:
    """QUANTIZE from one integer type to another: clamp(zy + M * (x - zx)), M = s_x / s_y in double, two roundings.

    Source: ``tensorflow/lite/kernels/internal/reference/requantize.h`` (``Requantize``).
    """
    multiplier, shift = ratio_multiplier(float(quantization.single), float(output.single))
    scaled = multiply_by_quantized_multiplier(values - quantization.zero_point, multiplier, shift)
    low, high = output.range
    return np.clip(scaled + output.zero_point, low, high)
