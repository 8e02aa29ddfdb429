"""ADD, SUB and MUL of int16 without broadcasting but of one element: kernels with fewer instructions, the same results.

The general kernels of et_elementwise.h take any scales. These leave out what the scales of the op make needless; where
the conditions do not hold there is no such form and the general kernel is used.
"""

from __future__ import annotations

from quantization.arithmetic.affine import activation_range
from quantization.arithmetic.fixed_point import quantize_multiplier
from quantization.c_fragments.op_source import Lowering
from quantization.c_fragments.view import size

#: quantize_multiplier of 1/2: the operand with the larger scale.
_HALF = (2**30, 0)


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
    """The call of ``et_sum_s16``, or None."""
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
    low.context.use("et_sum_s16.c", header="et_elementwise.h")
    numbers = low.context.pool.struct("sum", "et_sum", fields)
    return [f"et_sum_s16(&{numbers}, {', '.join(map(low.pointer, (major, minor, output)))});"]


def fast_product(low: Lowering) -> list[str] | None:
    """The call of ``et_product_s16``, or None."""
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
    low.context.use("et_product_s16.c", header="et_elementwise.h")
    numbers = low.context.pool.struct(
        "factor", "et_product", [str(size(low.graph, output)), str(step), *final]
    )
    return [f"et_product_s16(&{numbers}, {', '.join(map(low.pointer, (first, second, output)))});"]
