"""SOFTMAX over the last axis, int8 or int16.

int8 input (output int8 with scale 1/256 and zero point -128, or int16 with scale 1/65536 and zero point -32768):
exponentials of the differences from the maximum in gemmlowp's Q5.26, their sum in Q12.19, a Newton-Raphson reciprocal.

int16 input (output scale 1/32768, zero point 0): exponentials and the reciprocal come from two interpolated tables of 513
entries that the kernel computes in single precision when it is prepared.

Source: tflite-micro ``tensorflow/lite/kernels/internal/reference/softmax.h``, ``micro/kernels/softmax_common.cc`` and
``kernels/internal/common.h`` (``gen_lut``, ``LUTPopulate``, ``LUTLookup``). Desktop LiteRT's reference kernel is the same; its
default int8 kernel uses float32 exponentials instead (``optimized_ops::Softmax``).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.affine import Affine
from quantization.arithmetic.fixed_point import (
    Integers,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rounding_divide_by_power_of_two,
    saturating_rounding_doubling_high_multiply,
    wrap,
)
from quantization.arithmetic.gemmlowp import (
    exp_on_negative_values,
    leading_zeros_32,
    multiply_by_power_of_two,
    reciprocal,
)
from quantization.arithmetic.interpolation import interpolation_table, look_up
from quantization.c_fragments.op_source import Lowering
from quantization.c_fragments.text import scale
from quantization.c_fragments.view import size
from quantization.ops.call import Call, FloatCall, Values
from quantization.ops.signature import FLOAT, INT8, INT16, Shape, Signature
from toolkit.errors import ModelFileError

#: Integer bits of the scaled difference and of the sum of exponentials.
DIFFERENCE_BITS = 5
SUM_BITS = 12


def require_output(bits: int, output: Affine) -> None:
    """Raise ModelFileError unless ``output`` is the quantization that softmax of ``bits``-bit input must have."""
    if bits == 16:
        scale, zero_point = 1 / 32768, 0
    else:
        scale, zero_point = (1 / 65536, -32768) if output.bits == 16 else (1 / 256, -128)
    # The kernels allow a thousandth.
    if output.zero_point != zero_point or abs(float(output.single) - scale) > 0.001 * scale:
        raise ModelFileError(
            f"SOFTMAX of int{bits} has output scale {float(output.single):g} and zero point {output.zero_point}; the kernels "
            f"fix them at {scale:g} and {zero_point}"
        )


def softmax_8(values: Integers, quantization: Affine, output: Affine, beta: float) -> Integers:
    """Softmax of int8 values (..., depth); ``output.bits`` is 8 or 16."""
    real = min(
        float(np.float32(beta)) * float(quantization.single) * 2.0 ** (31 - DIFFERENCE_BITS), 2.0**31 - 1
    )
    multiplier, left_shift = quantize_multiplier(real)
    # Differences below this would exceed Q5.26; their exponential is taken as 0.
    least = -math.floor(((1 << DIFFERENCE_BITS) - 1) * 2.0 ** (31 - DIFFERENCE_BITS) / 2.0**left_shift)
    difference = values - values.max(axis=-1, keepdims=True)
    counted = difference >= least
    scaled = saturating_rounding_doubling_high_multiply(
        wrap(np.where(counted, difference, 0) << left_shift, 32), multiplier
    )
    exponential = exp_on_negative_values(scaled, DIFFERENCE_BITS, 32)
    terms = np.where(counted, multiply_by_power_of_two(exponential, -SUM_BITS, 32), 0)
    total = wrap(terms.sum(axis=-1, keepdims=True), 32)
    scale, bits_over_unit = reciprocal(total, SUM_BITS)
    product = saturating_rounding_doubling_high_multiply(scale, exponential)
    low, high = output.range
    quotient = rounding_divide_by_power_of_two(product, bits_over_unit + 31 - output.bits) + low
    return np.where(counted, np.clip(quotient, low, high), low)


@lru_cache(maxsize=1)
def exponential_table() -> Integers:
    """exp(x) in Q0.15 for x from -10 to 0."""
    # Rounded from double, which is what a correctly rounded expf gives.
    return interpolation_table(lambda x: np.exp(x.astype(np.float64)), (-10.0, 0.0), (-1.0, 1.0), np.float32)


@lru_cache(maxsize=2)
def reciprocal_table(semantics: str = "tflm") -> Integers:
    """1 / (1 + x) in Q0.15 for x from 0 to 1; desktop LiteRT's comes from double precision and differs in two entries."""
    precision = np.float32 if semantics == "tflm" else np.float64
    return interpolation_table(lambda x: 1 / (1 + x), (0.0, 1.0), (-1.0, 1.0), precision)


def softmax_16(values: Integers, quantization: Affine, beta: float, semantics: str = "tflm") -> Integers:
    """Softmax of int16 values (..., depth) to int16 with scale 1/32768."""
    multiplier, shift = quantize_multiplier(
        float(quantization.single) * float(np.float32(beta)) / (10.0 / 65535.0)
    )
    difference = values - values.max(axis=-1, keepdims=True)
    scaled = multiply_by_quantized_multiplier(difference, multiplier, shift)
    exponential = look_up(np.clip(scaled + 32767, -32768, 32767), exponential_table())
    total = exponential.sum(axis=-1, keepdims=True)
    headroom_plus_one = leading_zeros_32(total)
    shifted = ((total << (headroom_plus_one - 1)) + (1 << 13)) >> 14
    centred = np.clip(shifted - ((1 << 15) + (1 << 16)), -32768, 32767)
    inverse = look_up(centred, reciprocal_table(semantics))
    right_shift = 31 - headroom_plus_one
    result = (exponential * inverse + (np.int64(1) << (right_shift - 1))) >> right_shift
    clipped: Integers = np.clip(result, 0, 32767)
    return clipped


def check_softmax(op: Signature) -> list[Shape]:
    """Over the last axis; the output's quantization is fixed, and the input's scale has a least value."""
    op.require_types((0,), (FLOAT, FLOAT), (INT8, INT8), (INT8, INT16), (INT16, INT16))
    beta = float(op.options.get("beta", 1.0))
    if not 0.0 < beta < math.inf or not op.shape(0):
        op.refuse(
            f"it has beta {beta} and shape {op.shape(0)}; beta must be above 0, and the shape have an axis"
        )
    if not op.is_real:
        values = op.affine(0)
        require_output(values.bits, op.result_affine())
        real = float(values.single) * float(np.float32(beta))
        if values.bits == 16:
            quantize_multiplier(real / (10.0 / 65535.0))
        elif real < 2.0 ** (DIFFERENCE_BITS - 31):
            op.refuse(
                f"its input has scale {float(values.single):.3g}; with beta {beta:g} that is below 2^-26"
            )
    return [op.shape(0)]


def run_softmax(call: Call) -> list[Values]:
    """SOFTMAX."""
    quantization = call.operand(0).affine
    beta = float(call.options.get("beta", 1.0))
    require_output(quantization.bits, call.output.affine)
    if quantization.bits == 16:
        return [softmax_16(call.integers(0), quantization, beta, call.semantics)]
    return [softmax_8(call.integers(0), quantization, call.output.affine, beta)]


def real_softmax(call: FloatCall) -> list[Values]:
    """SOFTMAX over the last axis."""
    x = call.read(0) * call.options.get("beta", 1.0)
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    return [weights / weights.sum(axis=-1, keepdims=True)]


def exponentials(values: Affine, beta: float) -> NDArray[np.int32]:
    """exp of 0, -1, -2, ... input steps in Q0.31, up to the last one that TFLM's int8 SOFTMAX counts."""
    real = min(float(np.float32(beta)) * float(values.single) * 2.0 ** (31 - DIFFERENCE_BITS), 2.0**31 - 1)
    multiplier, left_shift = quantize_multiplier(real)
    least = ((1 << DIFFERENCE_BITS) - 1) * 2.0 ** (31 - DIFFERENCE_BITS) / 2.0**left_shift
    distance = np.arange(min(255, int(least)) + 1, dtype=np.int64)
    scaled = saturating_rounding_doubling_high_multiply(wrap(-distance << left_shift, 32), multiplier)
    return exp_on_negative_values(scaled, DIFFERENCE_BITS, 32).astype(np.int32)


def lower_softmax(low: Lowering) -> list[str]:
    op, pool = low.op, low.context.pool
    values = low.affine(op.inputs[0])
    beta = float(op.options.get("beta", 1.0))
    depth = low.shape(op.inputs[0])[-1]
    rows = str(size(low.graph, op.inputs[0]) // depth)
    source, target = low.bits(op.inputs[0]), low.bits(op.outputs[0])
    if source == 16:
        real = float(values.single) * float(np.float32(beta)) / (10.0 / 65535.0)
        fields = [
            rows,
            str(depth),
            scale(quantize_multiplier(real)),
            pool.array("exponential", exponential_table().astype(np.int16)),
            pool.array("reciprocal", reciprocal_table().astype(np.int16)),
        ]
        kernel, type_name = "et_softmax_s16", "et_softmax_wide"
        low.context.use("et_softmax_s16.c", header="et_softmax.h")
    else:
        table = exponentials(values, beta)
        fields = [rows, str(depth), pool.array("exponentials", table), str(table.size)]
        kernel, type_name = ("et_softmax_s8" if target == 8 else "et_softmax_s8_s16"), "et_softmax"
        low.context.use(f"{kernel}.c", "et_reciprocal.c", header="et_softmax.h")
    numbers = pool.struct("softmax", type_name, fields)
    return [f"{kernel}(&{numbers}, {low.pointer(op.inputs[0])}, {low.pointer(op.outputs[0])});"]
