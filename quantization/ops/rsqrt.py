"""RSQRT, 1 / sqrt(x), int8 and int16; desktop LiteRT computes int16 by a table, which has a function of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.affine import Affine
from quantization.arithmetic.fixed_point import (
    INT32_MAX,
    Integers,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    wrap,
)
from quantization.arithmetic.gemmlowp import leading_zeros_32, multiply, multiply_by_power_of_two
from quantization.arithmetic.interpolation import interpolation_table, look_up
from quantization.c_fragments.op_source import Lowering
from quantization.c_fragments.text import scale
from quantization.c_fragments.view import size
from quantization.ops.call import Call, FloatCall, Values
from quantization.ops.signature import Shape, Signature
from toolkit.errors import InputError


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


def check_rsqrt(op: Signature) -> list[Shape]:
    """One value. The root has 20 extra bits, which the kernels take off again with a shift of at most 31."""
    op.require_same_types(0)
    if not op.is_real:
        x, y = op.affine(0), op.result_affine()
        multiplier, shift = quantize_multiplier(
            1.0 / (float(np.sqrt(np.float64(x.single))) * float(y.single))
        )
        if multiplier and shift < -11:
            op.refuse(
                f"its output has scale {float(y.single):.3g} beside an input of scale {float(x.single):.3g}: too large"
            )
    return [op.shape(0)]


def run_rsqrt(call: Call) -> list[Values]:
    """RSQRT."""
    quantization, output = call.operand(0).affine, call.output.affine
    if call.semantics == "litert" and quantization.bits == 16:
        return [reciprocal_square_root_by_table(call.integers(0), quantization, output)]
    return [reciprocal_square_root(call.integers(0), quantization, output)]


def real_rsqrt(call: FloatCall) -> list[Values]:
    """RSQRT."""
    return [1.0 / np.sqrt(call.read(0))]


def lower_rsqrt(low: Lowering) -> list[str]:
    op = low.op
    bits = low.same_bits(op.inputs[0], op.outputs[0])
    values, output = low.affine(op.inputs[0]), low.affine(op.outputs[0])
    real = 1.0 / (float(np.sqrt(np.float64(values.single))) * float(output.single))
    fields = [
        str(size(low.graph, op.inputs[0])),
        str(values.zero_point),
        scale(quantize_multiplier(real)),
        str(output.zero_point),
    ]
    low.context.use(f"et_inverse_root_s{bits}.c", "et_inverse_root.c", header="et_reduce.h")
    numbers = low.context.pool.struct("root", "et_inverse_root", fields)
    return [
        f"et_inverse_root_s{bits}(&{numbers}, {low.pointer(op.inputs[0])}, {low.pointer(op.outputs[0])});"
    ]
