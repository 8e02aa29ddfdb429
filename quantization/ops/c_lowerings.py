"""Each op of the integer reference as a call of its C kernel, with the numbers the reference would compute."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.affine import Affine, activation_range, ratio_multiplier
from quantization.arithmetic.fixed_point import (
    quantize_multiplier,
    saturating_rounding_doubling_high_multiply,
    wrap,
)
from quantization.arithmetic.gemmlowp import exp_on_negative_values
from quantization.c_fragments.op_source import Lowering
from quantization.c_fragments.text import ctype, scale
from quantization.c_fragments.view import View, size
from quantization.graph.ir import Graph
from quantization.ops import softmax
from quantization.ops.batch_matmul_source import batch_matmul
from quantization.ops.elementwise_source import fast_product, fast_sum
from quantization.ops.fully_connected_source import fully_connected
from quantization.ops.mean import mean_multiplier


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


def _add(low: Lowering) -> list[str]:
    a, b, output = (low.affine(i) for i in (*low.op.inputs[:2], low.op.outputs[0]))
    if (fast := fast_sum(low)) is not None:
        return fast
    left_shift = 15 if output.bits == 16 else 20
    twice = 2.0 * float(max(a.single, b.single))
    return _additive(low, "et_add", left_shift, twice, (1 << left_shift) * float(output.single))


def _squared_difference(low: Lowering) -> list[str]:
    a, b, output = (low.affine(i) for i in (*low.op.inputs[:2], low.op.outputs[0]))
    left_shift = 0 if output.bits == 16 else 7
    twice = 2.0 * float(max(a.single, b.single))
    denominator = float(np.float32(1 << (2 * left_shift)) * output.single)
    return _additive(low, "et_squared_difference", left_shift, twice * twice, denominator)


def _multiply(low: Lowering) -> list[str]:
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


def _minimum(low: Lowering) -> list[str]:
    op = low.op
    bits = low.same_bits(*op.inputs[:2], op.outputs[0])
    affines = [low.affine(index) for index in (*op.inputs[:2], op.outputs[0])]
    if len({(float(item.single), item.zero_point) for item in affines}) != 1:
        raise low.refuse("its tensors must share one quantization")
    axes = _broadcast_axes(low, op.inputs[0], op.inputs[1], low.shape(op.outputs[0]))
    low.context.use(f"et_minimum_s{bits}.c", header="et_elementwise.h")
    name = low.context.pool.struct("axes", "et_axes", [axes[1:-1]])
    return [f"et_minimum_s{bits}(&{name}, {', '.join(map(low.pointer, (*op.inputs[:2], op.outputs[0])))});"]


def _mean(low: Lowering) -> list[str]:
    op = low.op
    bits = low.same_bits(op.inputs[0], op.outputs[0])
    values, output = low.affine(op.inputs[0]), low.affine(op.outputs[0])
    shape = low.shape(op.inputs[0])
    axes = sorted({int(a) % len(shape) for a in low.constant(op.inputs[1]).reshape(-1)})
    if axes != list(range(axes[0], axes[-1] + 1)):
        raise low.refuse("it averages over axes that are not neighbours")
    count = int(np.prod(shape[axes[0] : axes[-1] + 1]))
    pair = ratio_multiplier(float(values.single), float(output.single))
    fields = [
        str(int(np.prod(shape[: axes[0]]))),
        str(count),
        str(int(np.prod(shape[axes[-1] + 1 :]))),
        str(values.zero_point * count),
        scale(mean_multiplier(*pair, count)),
        str(output.zero_point),
    ]
    low.context.use(f"et_mean_s{bits}.c", header="et_reduce.h")
    numbers = low.context.pool.struct("mean", "et_mean", fields)
    return [f"et_mean_s{bits}(&{numbers}, {low.pointer(op.inputs[0])}, {low.pointer(op.outputs[0])});"]


def _inverse_root(low: Lowering) -> list[str]:
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


def _rescale(low: Lowering) -> list[str]:
    op = low.op
    source, target = low.bits(op.inputs[0]), low.bits(op.outputs[0])
    values, output = low.affine(op.inputs[0]), low.affine(op.outputs[0])
    fields = [
        str(size(low.graph, op.inputs[0])),
        str(values.zero_point),
        scale(ratio_multiplier(float(values.single), float(output.single))),
        str(output.zero_point),
    ]
    kernel = f"et_rescale_s{source}_s{target}"
    low.context.use(f"{kernel}.c", header="et_reduce.h")
    numbers = low.context.pool.struct("rescale", "et_rescale", fields)
    return [f"{kernel}(&{numbers}, {low.pointer(op.inputs[0])}, {low.pointer(op.outputs[0])});"]


def exponentials(values: Affine, beta: float) -> NDArray[np.int32]:
    """exp of 0, -1, -2, ... input steps in Q0.31, up to the last one that TFLM's int8 SOFTMAX counts."""
    real = min(
        float(np.float32(beta)) * float(values.single) * 2.0 ** (31 - softmax.DIFFERENCE_BITS), 2.0**31 - 1
    )
    multiplier, left_shift = quantize_multiplier(real)
    least = ((1 << softmax.DIFFERENCE_BITS) - 1) * 2.0 ** (31 - softmax.DIFFERENCE_BITS) / 2.0**left_shift
    distance = np.arange(min(255, int(least)) + 1, dtype=np.int64)
    scaled = saturating_rounding_doubling_high_multiply(wrap(-distance << left_shift, 32), multiplier)
    return exp_on_negative_values(scaled, softmax.DIFFERENCE_BITS, 32).astype(np.int32)


def _softmax(low: Lowering) -> list[str]:
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
            pool.array("exponential", softmax.exponential_table().astype(np.int16)),
            pool.array("reciprocal", softmax.reciprocal_table().astype(np.int16)),
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


def _concatenation(low: Lowering) -> list[str]:
    """Parts into their places: one memcpy a part where the leading axes are 1, else a loop over them."""
    op = low.op
    result = low.shape(op.outputs[0])
    axis = int(op.options.get("axis", 0)) % len(result)
    outer = int(np.prod(result[:axis], dtype=np.int64))
    inner = int(np.prod(result[axis + 1 :], dtype=np.int64))
    width = result[axis] * inner
    unit = low.bits(op.outputs[0]) // 8
    lines, start = [], 0
    for index in op.inputs:
        part = low.shape(index)[axis] * inner
        to, source = low.pointer(op.outputs[0]), low.pointer(index)
        if outer == 1:
            lines.append(f"memcpy({to} + {start}, {source}, {part * unit});")
        else:
            lines.append(
                f"for (int32_t i = 0; i < {outer}; ++i) {{ memcpy({to} + {start} + i * {width}, "
                f"{source} + i * {part}, {part * unit}); }}"
            )
        start += part
    return lines


def copy_view(view: View, source: str, target: str, element: str) -> list[str]:
    """Loops that copy the elements of a view, in row-major order, to ``target``."""
    lines = ["{", f"    {element} *to = {target};"]
    names = "ijklmn"
    terms = []
    axes = [axis for axis in view.axes if axis[0] > 1]
    for name, (count, stride) in zip(names, axes):
        lines.append(f"    for (int32_t {name} = 0; {name} < {count}; ++{name})")
        terms.append(f"{name} * {stride}")
    index = " + ".join([str(view.offset), *terms])
    return [*lines, f"        *to++ = {source}[{index}];", "}"]


def _lstm(low: Lowering) -> list[str]:
    raise AssertionError("the LSTM is lowered with its state by the graph's function")


LOWERINGS: dict[str, Callable[[Lowering], list[str]]] = {
    "ADD": _add,
    "BATCH_MATMUL": batch_matmul,
    "CONCATENATION": _concatenation,
    "FULLY_CONNECTED": fully_connected,
    "MEAN": _mean,
    "MINIMUM": _minimum,
    "MUL": _multiply,
    "QUANTIZE": _rescale,
    "RSQRT": _inverse_root,
    "SOFTMAX": _softmax,
    "SQUARED_DIFFERENCE": _squared_difference,
    "SUB": _add,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
}


def element_type(graph: Graph, index: int) -> str:
    """C type of a tensor's elements."""
    return ctype(graph.tensors[index].dtype)
