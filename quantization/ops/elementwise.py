"""ADD, SUB, MUL, SQUARED_DIFFERENCE, MAXIMUM and MINIMUM.

Sources, per function, in tflite-micro; desktop LiteRT's reference kernels are the same unless said.
Arrays broadcast as in numpy, which is how the kernels broadcast.

As C, int16 without broadcasting but of one element has kernels with fewer instructions and the same results. The general
kernels of et_elementwise.h take any scales; these leave out what the scales of the op make needless. Where the conditions
do not hold there is no such form and the general kernel is used.
"""

from __future__ import annotations

import math

import numpy as np

from quantization.arithmetic.affine import Affine, activation_range
from quantization.arithmetic.fixed_point import (
    Integers,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    wrap,
)
from quantization.c_fragments.op_source import Lowering
from quantization.c_fragments.text import scale
from quantization.c_fragments.view import size
from quantization.ops.call import Call, FloatCall, Shapes, Values, aligned
from quantization.ops.signature import Shape, Signature
from toolkit.errors import ModelFileError

#: quantize_multiplier of 1/2: the operand with the larger scale.
_HALF = (2**30, 0)


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


def products(inputs: Shapes, outputs: Shapes) -> int:
    """Products of MUL: one an element."""
    return math.prod(outputs[0]) if outputs else 0


def _broadcast_result(op: Signature) -> list[Shape]:
    op.require_same_types(0, 1)
    op.require_activation()
    return [op.broadcast(op.shape(0), op.shape(1))]


def check_add(op: Signature) -> list[Shape]:
    """ADD and SUB: two values of one type that broadcast."""
    if not op.is_real:
        a, b, y = op.affine(0), op.affine(1), op.result_affine()
        left_shift = 15 if y.bits == 16 else 20
        quantize_multiplier(2.0 * float(max(a.single, b.single)) / ((1 << left_shift) * float(y.single)))
    return _broadcast_result(op)


def check_multiply(op: Signature) -> list[Shape]:
    """MUL: two values of one type that broadcast."""
    if not op.is_real:
        a, b, y = op.affine(0), op.affine(1), op.result_affine()
        quantize_multiplier(float(a.single) * float(b.single) / float(y.single))
    return _broadcast_result(op)


def check_squared_difference(op: Signature) -> list[Shape]:
    """SQUARED_DIFFERENCE: two values of one type that broadcast."""
    if not op.is_real:
        y = op.result_affine()
        twice = 2.0 * float(max(op.affine(0).single, op.affine(1).single))
        left_shift = 0 if y.bits == 16 else 7
        quantize_multiplier(twice * twice / float(np.float32(1 << (2 * left_shift)) * y.single))
    return _broadcast_result(op)


def check_maximum(op: Signature) -> list[Shape]:
    """MAXIMUM and MINIMUM: two values of one type, whichever, that broadcast."""
    op.require_moved_types(0, 1)
    return [op.broadcast(op.shape(0), op.shape(1))]


def check_unary(op: Signature) -> list[Shape]:
    """EXP and SQUARE: one value."""
    op.require_same_types(0)
    return [op.shape(0)]


def run_add(call: Call) -> list[Values]:
    """ADD and SUB."""
    first, second = aligned(call.operand(0), call.operand(1))
    return [
        add(
            first,
            call.operand(0).affine,
            second,
            call.operand(1).affine,
            call.output.affine,
            call.activation,
            subtract=call.kind == "SUB",
        )
    ]


def run_multiply(call: Call) -> list[Values]:
    """MUL."""
    first, second = aligned(call.operand(0), call.operand(1))
    return [
        multiply_elementwise(
            first,
            call.operand(0).affine,
            second,
            call.operand(1).affine,
            call.output.affine,
            call.activation,
            semantics=call.semantics,
        )
    ]


def run_squared_difference(call: Call) -> list[Values]:
    """SQUARED_DIFFERENCE."""
    first, second = aligned(call.operand(0), call.operand(1))
    return [
        squared_difference(first, call.operand(0).affine, second, call.operand(1).affine, call.output.affine)
    ]


def run_maximum(call: Call) -> list[Values]:
    """MAXIMUM and MINIMUM: of the integers, whatever their scales."""
    first, second = aligned(call.operand(0), call.operand(1))
    return [np.maximum(first, second) if call.kind == "MAXIMUM" else np.minimum(first, second)]


def real_add(call: FloatCall) -> list[Values]:
    """ADD."""
    return [call.activated(np.add(call.read(0), call.read(1)))]


def real_subtract(call: FloatCall) -> list[Values]:
    """SUB."""
    return [call.activated(np.subtract(call.read(0), call.read(1)))]


def real_multiply(call: FloatCall) -> list[Values]:
    """MUL."""
    return [call.activated(np.multiply(call.read(0), call.read(1)))]


def real_minimum(call: FloatCall) -> list[Values]:
    """MINIMUM."""
    return [call.activated(np.minimum(call.read(0), call.read(1)))]


def real_maximum(call: FloatCall) -> list[Values]:
    """MAXIMUM."""
    return [call.activated(np.maximum(call.read(0), call.read(1)))]


def _broadcast_axes(low: Lowering, first: int, second: int, result: tuple[int, ...]) -> str:
    """``et_axes`` of two operands broadcast to ``result``: neighbouring axes merged down to three."""
    rank = len(result)
    padded = [((1, 0),) * (rank - len(low.view(i).axes)) + low.view(i).axes for i in (first, second)]
    merged: list[list[int]] = []
    for count, (a_count, a_stride), (b_count, b_stride) in reversed(list(zip(result, *padded))):
        a = a_stride if a_count > 1 else 0
        b = b_stride if b_count > 1 else 0
        if count == 1:
            continue
        if merged and a == merged[-1][1] * merged[-1][0] and b == merged[-1][2] * merged[-1][0]:
            merged[-1][0] *= count
        else:
            merged.append([count, a, b])
    if len(merged) > 3:
        raise low.refuse(f"it broadcasts over {len(merged)} separate axes; the kernel has 3")
    axes = [[1, 0, 0]] * (3 - len(merged)) + merged[::-1]
    columns = ["{" + ", ".join(str(axis[k]) for axis in axes) + "}" for k in range(3)]
    return "{" + ", ".join(columns) + "}"


def _additive(low: Lowering, kernel: str, left_shift: int, numerator: float, denominator: float) -> list[str]:
    """ADD, SUB and SQUARED_DIFFERENCE, which bring both operands to a common scale first."""
    op = low.op
    bits = low.same_bits(*op.inputs[:2], op.outputs[0])
    a, b, output = (low.affine(i) for i in (*op.inputs[:2], op.outputs[0]))
    twice = 2.0 * float(max(a.single, b.single))
    least, most = activation_range(str(op.options.get("fused_activation_function", "NONE")), output)
    fields = [
        _broadcast_axes(low, op.inputs[0], op.inputs[1], low.shape(op.outputs[0])),
        *(str(item.zero_point) for item in (a, b, output)),
        *(scale(quantize_multiplier(float(item.single) / twice)) for item in (a, b)),
        scale(quantize_multiplier(numerator / denominator)),
        str(left_shift),
        "-1" if op.kind == "SUB" else "1",
        str(least),
        str(most),
    ]
    low.context.use(f"{kernel}_s{bits}.c", header="et_elementwise.h")
    numbers = low.context.pool.struct("sum", "et_add", fields)
    return [f"{kernel}_s{bits}(&{numbers}, {', '.join(map(low.pointer, (*op.inputs[:2], op.outputs[0])))});"]


def lower_add(low: Lowering) -> list[str]:
    a, b, output = (low.affine(i) for i in (*low.op.inputs[:2], low.op.outputs[0]))
    if (fast := fast_sum(low)) is not None:
        return fast
    left_shift = 15 if output.bits == 16 else 20
    twice = 2.0 * float(max(a.single, b.single))
    return _additive(low, "et_add", left_shift, twice, (1 << left_shift) * float(output.single))


def lower_squared_difference(low: Lowering) -> list[str]:
    a, b, output = (low.affine(i) for i in (*low.op.inputs[:2], low.op.outputs[0]))
    left_shift = 0 if output.bits == 16 else 7
    twice = 2.0 * float(max(a.single, b.single))
    denominator = float(np.float32(1 << (2 * left_shift)) * output.single)
    return _additive(low, "et_squared_difference", left_shift, twice * twice, denominator)


def lower_multiply(low: Lowering) -> list[str]:
    op = low.op
    bits = low.same_bits(*op.inputs[:2], op.outputs[0])
    a, b, output = (low.affine(i) for i in (*op.inputs[:2], op.outputs[0]))
    if (fast := fast_product(low)) is not None:
        return fast
    least, most = activation_range(str(op.options.get("fused_activation_function", "NONE")), output)
    fields = [
        _broadcast_axes(low, op.inputs[0], op.inputs[1], low.shape(op.outputs[0])),
        *(str(item.zero_point) for item in (a, b, output)),
        scale(quantize_multiplier(float(a.single) * float(b.single) / float(output.single))),
        str(least),
        str(most),
    ]
    low.context.use(f"et_multiply_s{bits}.c", header="et_elementwise.h")
    numbers = low.context.pool.struct("factor", "et_multiply", fields)
    return [
        f"et_multiply_s{bits}(&{numbers}, {', '.join(map(low.pointer, (*op.inputs[:2], op.outputs[0])))});"
    ]


def lower_minimum(low: Lowering) -> list[str]:
    """MINIMUM and MAXIMUM."""
    op = low.op
    bits = low.same_bits(*op.inputs[:2], op.outputs[0])
    affines = [low.affine(index) for index in (*op.inputs[:2], op.outputs[0])]
    if len({(float(item.single), item.zero_point) for item in affines}) != 1:
        raise low.refuse("its tensors must share one quantization")
    axes = _broadcast_axes(low, op.inputs[0], op.inputs[1], low.shape(op.outputs[0]))
    kernel = f"et_{op.kind.lower()}_s{bits}"
    source = f"{kernel}.c" if op.kind == "MINIMUM" else "et_maximum.c"
    low.context.use(source, header="et_elementwise.h")
    name = low.context.pool.struct("axes", "et_axes", [axes[1:-1]])
    return [f"{kernel}(&{name}, {', '.join(map(low.pointer, (*op.inputs[:2], op.outputs[0])))});"]


def _plain(low: Lowering) -> bool:
    """True for int16 on an Arm core, one shape for all but one-element operands, in order, limited only by int16."""
    op = low.op
    first, second, output = (*op.inputs[:2], op.outputs[0])
    if not (low.context.dsp or low.context.helium) or {low.bits(i) for i in (first, second, output)} != {16}:
        return False
    limits = activation_range(str(op.options.get("fused_activation_function", "NONE")), low.affine(output))
    shape = low.shape(output)
    whole = [low.shape(i) == shape and low.view(i).contiguous for i in (first, second)]
    alone = [size(low.graph, i) == 1 for i in (first, second)]
    return limits == (-32768, 32767) and all(a or b for a, b in zip(whole, alone))


def _rounding(scale: tuple[int, int]) -> list[str] | None:
    """Multiplier, half and shift of a factor below one half; None for others."""
    multiplier, shift = scale
    return [str(multiplier), str(1 << (-shift - 1)), str(-shift)] if -30 <= shift <= -1 else None


def fast_sum(low: Lowering) -> list[str] | None:
    """The call of ``et_add_flat_s16``, or None."""
    if not _plain(low):
        return None
    op = low.op
    first, second, output = (*op.inputs[:2], op.outputs[0])
    a, b, y = (float(low.affine(i).single) for i in (first, second, output))
    twice = 2.0 * max(a, b)
    scales = {index: quantize_multiplier(value / twice) for index, value in ((first, a), (second, b))}
    subtract = op.kind == "SUB"
    major, minor = (first, second) if scales[first] == _HALF else (second, first)
    final = _rounding(quantize_multiplier(twice / ((1 << 15) * y)))
    if size(low.graph, major) != size(low.graph, output) or (subtract and major != first) or final is None:
        return None
    sign = -1 if subtract else 1
    if scales[minor] == _HALF:
        part, sign = ["INT32_MIN", "1", "1"], -sign
    else:
        found = _rounding(scales[minor])
        if found is None:
            return None
        part = found
    step = int(size(low.graph, minor) > 1)
    fields = [str(size(low.graph, output)), str(step), *part, str(2 * sign), *final]
    low.context.use("et_add_flat_s16.c", header="et_elementwise.h")
    numbers = low.context.pool.struct("sum", "et_add_flat", fields)
    return [f"et_add_flat_s16(&{numbers}, {', '.join(map(low.pointer, (major, minor, output)))});"]


def fast_product(low: Lowering) -> list[str] | None:
    """The call of ``et_multiply_flat_s16``, or None."""
    if not _plain(low):
        return None
    op = low.op
    first, second, output = (*op.inputs[:2], op.outputs[0])
    a, b, y = (float(low.affine(i).single) for i in (first, second, output))
    factor = quantize_multiplier(a * b / y)
    final = _rounding(factor)
    if size(low.graph, first) != size(low.graph, output):
        first, second = second, first
    if final is None or size(low.graph, first) != size(low.graph, output):
        return None
    # Twice -32768 * -32768 is limited to 2^31 - 1, which may round to another value.
    multiplier, half, shift = map(int, final)
    ends = [((full * multiplier + 2**31 >> 32) + half) >> shift for full in (2**31, 2**31 - 1)]
    if min(ends[0], 32767) != min(ends[1], 32767):
        return None
    step = int(size(low.graph, second) > 1)
    low.context.use("et_multiply_flat_s16.c", header="et_elementwise.h")
    numbers = low.context.pool.struct(
        "factor", "et_multiply_flat", [str(size(low.graph, output)), str(step), *final]
    )
    return [f"et_multiply_flat_s16(&{numbers}, {', '.join(map(low.pointer, (first, second, output)))});"]
