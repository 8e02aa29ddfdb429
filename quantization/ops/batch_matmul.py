"""BATCH_MATMUL of two activations, int8 or int16.

    y = clamp(zy + M * sum_k (a[.., i, k] - za) * (b[.., k, j] - zb)),    M = s_a * s_b / s_y

int8: int32 sum, two roundings. int16: zero points are 0, int64 sum, 16-bit multiplier with one rounding. There is no
fused activation.

Source: tflite-micro ``tensorflow/lite/micro/kernels/batch_matmul.cc`` and
``tensorflow/lite/kernels/internal/reference/batch_matmul.h``. Desktop LiteRT's reference kernel is the
same but for s_a * s_b, which it multiplies in single precision.

As C: int8, int16, and int16 by int8 that was only widened, in assembly where the core has it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from quantization.arithmetic.affine import Affine, matmul_multiplier, matmul_multiplier_from_single
from quantization.arithmetic.fixed_point import Integers
from quantization.arithmetic.matrix import exact_matmul
from quantization.c_fragments.context import Context
from quantization.c_fragments.op_source import Axes, Lowering
from quantization.c_fragments.text import scale
from quantization.c_fragments.view import View
from quantization.ops.call import Call, FloatCall, Shapes, Values, aligned
from quantization.ops.fully_connected import requantize, upper_factor
from quantization.ops.signature import Shape, Signature

#: A tensor of int8 in the state, at a fixed place.
_BYTES = re.compile(r"&state->bytes\[(\d+)\]$")
#: Most columns that et_batch_matmul_rows of the DSP extension puts on the stack.
_MOST_WORDS = 256
#: Fewer columns than this are not filled up to a whole vector: the portable kernel is as fast.
_WORTH_FILLING = 8
Axis = tuple[int, int]


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


def products(inputs: Shapes, outputs: Shapes) -> int:
    """Multiply-accumulates: each element of the output is an inner product; 0 for shapes that do not fit."""
    if len(inputs) != 2 or not outputs or len(inputs[0]) < 2 or len(outputs[0]) < 2:
        return 0
    return math.prod(outputs[0]) * (math.prod(inputs[0][-2:]) // max(1, outputs[0][-2]))


def check_batch_matmul(op: Signature) -> list[Shape]:
    """(..., rows, depth) times (..., depth, columns), either turned; leading axes broadcast."""
    a, b = op.shape(0), op.shape(1)
    if len(a) < 2 or len(b) < 2:
        op.refuse(f"it multiplies shapes {a} and {b}; both must have at least two axes")
    rows, inner = a[-2:][:: -1 if op.options.get("adj_x") else 1]
    depth, columns = b[-2:][:: -1 if op.options.get("adj_y") else 1]
    if inner != depth:
        op.refuse(f"it multiplies shapes {a} and {b}: {inner} values per row meet {depth}")
    op.require_same_types(0, 1)
    if not op.is_real:
        output = float(op.result_affine().single)
        matmul_multiplier(op.affine(0), op.affine(1), output)
        matmul_multiplier_from_single(op.affine(0), op.affine(1), output)
    return [(*op.broadcast(a[:-2], b[:-2]), rows, columns)]


def run_batch_matmul(call: Call) -> list[Values]:
    """BATCH_MATMUL."""
    left, right = aligned(call.operand(0), call.operand(1))
    return [
        batch_matmul(
            left,
            call.operand(0).affine,
            right,
            call.operand(1).affine,
            call.output.affine,
            transpose_left=bool(call.options.get("adj_x", False)),
            transpose_right=bool(call.options.get("adj_y", False)),
            semantics=call.semantics,
        )
    ]


def real_batch_matmul(call: FloatCall) -> list[Values]:
    """BATCH_MATMUL."""
    left, right = call.read(0), call.read(1)
    left = np.swapaxes(left, -1, -2) if call.options.get("adj_x") else left
    right = np.swapaxes(right, -1, -2) if call.options.get("adj_y") else right
    return [left @ right]


@dataclass(frozen=True)
class Layout:
    """(count, stride) of the axes of one product: a is rows by inner, b is depth by columns."""

    rows: Axis
    inner: Axis
    depth: Axis
    columns: Axis


def _matrix_strides(view: View, transposed: bool) -> tuple[Axes, Axis, Axis]:
    """Leading axes, then (count, stride) of the last two as the product reads them."""
    axes = view.axes if len(view.axes) >= 2 else ((1, 0), *view.axes)
    rows, columns = axes[-2], axes[-1]
    return axes[:-2], *((columns, rows) if transposed else (rows, columns))


def _batch_offset(axes: Axes, index: tuple[int, ...]) -> int:
    own = index[len(index) - len(axes) :]
    return sum(i * stride for i, (count, stride) in zip(own, axes) if count > 1)


@dataclass(frozen=True)
class _Kernel:
    """A kernel of et_batch_matmul_arm.h and the whole vectors that it takes: ``depth`` and ``columns`` filled up."""

    name: str
    depth: int
    columns: int
    stride: int


def _filled(count: int, vector: int) -> int:
    return count + -count % vector


def _assembly(context: Context, layout: Layout) -> _Kernel | None:
    """The kernel for a layout, all of whose operands are aligned; None if there is none.

    x is filled up with zeros to whole vectors and y cut, so that what b holds behind its end does not count.
    """
    (depth, step), (columns, column) = layout.depth, layout.columns
    if not (layout.inner[1] == 1 or depth == 1) or not (context.dsp or context.helium):
        return None
    # One column or one row has no stride of its own.
    by_columns = column == 1 and (columns > 1 or step != 1)
    unit = 16 if context.helium else 4
    if by_columns and columns % unit and columns < _WORTH_FILLING:
        return None
    if by_columns and context.helium:
        return _Kernel("et_batch_matmul_columns", depth, _filled(columns, unit), step)
    if by_columns and step % 4 == 0:
        return _Kernel("et_batch_matmul_columns", _filled(depth, 4), _filled(columns, unit), step)
    if step == 1 and context.helium:
        return _Kernel("et_batch_matmul_rows", depth, _filled(columns, 4), column)
    if step == 1 and column % 4 == 0 and depth >= _WORTH_FILLING and _filled(depth, 8) <= _MOST_WORDS:
        return _Kernel("et_batch_matmul_rows", _filled(depth, 8), _filled(columns, 2), column)
    return None


def lower_batch_matmul(low: Lowering) -> list[str]:
    """The calls of the kernel for a BATCH_MATMUL: one for each of its leading axes' elements."""
    op = low.op
    bits = low.same_bits(*op.inputs[:2], op.outputs[0])
    a, b, output = (low.affine(i) for i in (*op.inputs[:2], op.outputs[0]))
    left, rows, inner = _matrix_strides(low.view(op.inputs[0]), bool(op.options.get("adj_x")))
    right, depth, columns = _matrix_strides(low.view(op.inputs[1]), bool(op.options.get("adj_y")))
    layout = Layout(rows, inner, depth, columns)
    multiplier, shift = (int(v) for v in matmul_multiplier(a, b, float(output.single)))
    if bits == 16 and (a.zero_point or b.zero_point or output.zero_point):
        raise low.refuse("int16 tensors must have zero point 0")
    batch = np.broadcast_shapes(tuple(c for c, _ in left), tuple(c for c, _ in right))
    offsets = [
        (_batch_offset(left, index), _batch_offset(right, index), place * rows[0] * columns[0])
        for place, index in enumerate(np.ndindex(batch))
    ]
    narrow = low.graph.tensors[low.view(op.inputs[1]).root].dtype == np.int8
    if bits == 16 and narrow:
        return _mixed(low, layout, (multiplier, shift), offsets)
    counts = [str(axis[0]) for axis in (rows, inner, columns)]
    strides = [str(axis[1]) for axis in (rows, inner, depth, columns)]
    zeros = [str(item.zero_point) for item in (a, b)]
    fields = [*counts, *strides, *zeros, scale((multiplier, shift)), str(output.zero_point)]
    kernel = f"et_batch_matmul_s{bits}"
    low.context.use(f"{kernel}.c", header="et_batch_matmul.h")
    product = low.context.pool.struct("product", "et_batch_matmul", fields)
    return [f"{kernel}(&{product}, {_pointers(low, places)});" for places in offsets]


def _pointers(low: Lowering, offsets: tuple[int, ...]) -> str:
    return ", ".join(_each_pointer(low, offsets))


def _each_pointer(low: Lowering, offsets: tuple[int, ...]) -> list[str]:
    operands = (*low.op.inputs[:2], low.op.outputs[0])
    return [low.pointer(i) + (f" + {o}" if o else "") for i, o in zip(operands, offsets)]


def _arm_call(
    low: Lowering, kernel: _Kernel, layout: Layout, product: str, places: tuple[int, ...]
) -> list[str]:
    """One row of the product: x filled up with zeros where the kernel takes more, and y cut to what there is."""
    x, b, y = _each_pointer(low, places)
    depth, columns = layout.depth[0], layout.columns[0]
    before, behind = [], []
    if kernel.depth > depth:
        before = [
            f"int32_t filled[{kernel.depth // 2}];",
            f"memcpy(filled, {x}, {2 * depth});",
            f"memset((int16_t *)filled + {depth}, 0, {2 * (kernel.depth - depth)});",
        ]
        x = "(const int16_t *)filled"
    if kernel.columns > columns:
        before.append(f"int16_t whole[{kernel.columns}];")
        behind = [f"memcpy({y}, whole, {2 * columns});"]
        y = "whole"
    call = f"{kernel.name}(&{product}, {x}, {b}, {y});"
    if not before:
        return [call]
    return ["{", *(f"    {line}" for line in (*before, call, *behind)), "}"]


def _reach(low: Lowering, kernel: _Kernel, places: list[tuple[int, int, int]]) -> None:
    """Let the state hold what the kernel reads of b, past its end too."""
    rows, columns = kernel.depth, kernel.columns
    if kernel.name == "et_batch_matmul_rows":
        rows, columns = columns, rows
    found = _BYTES.match(low.pointer(low.op.inputs[1]))
    if found is not None:
        last = int(found[1]) + max(b for _, b, _ in places) + (rows - 1) * kernel.stride + columns
        low.context.reach_bytes = max(low.context.reach_bytes, last)


def _mixed(
    low: Lowering, layout: Layout, factor_of: tuple[int, int], offsets: list[tuple[int, int, int]]
) -> list[str]:
    """int16 by int8: a call for each row in assembly, which needs words aligned to 4 bytes, as tensors in the state are."""
    rows, inner, depth, columns = layout.rows, layout.inner, layout.depth, layout.columns
    factor = upper_factor(factor_of) or 0
    kernel = _assembly(low.context, layout) if factor else None
    pool = low.context.pool
    if kernel is not None and _words_aligned(low, layout, offsets):
        fields = [kernel.depth, kernel.columns, kernel.stride, factor]
        low.context.use(
            "et_batch_matmul_mve.S" if low.context.helium else "et_batch_matmul_dsp.S",
            header="et_batch_matmul_arm.h",
        )
        product = pool.struct("product", "et_batch_matmul_arm", [str(field) for field in fields])
        every = [
            (x + i * rows[1], b, y + i * columns[0]) for x, b, y in offsets for i in range(layout.rows[0])
        ]
        _reach(low, kernel, every)
        return [line for places in every for line in _arm_call(low, kernel, layout, product, places)]
    if low.context.dsp or low.context.helium:
        name, why = low.graph.tensors[low.op.outputs[0]].name, _reason(low, layout, factor)
        low.context.notes.append(f"BATCH_MATMUL {name!r} is portable C: {why} (docs/KERNELS.md)")
    counts = [str(axis[0]) for axis in (rows, inner, columns)]
    strides = [str(axis[1]) for axis in (rows, inner, depth, columns)]
    fields_c = [*counts, *strides, str(factor), scale(factor_of)]
    low.context.use("et_batch_matmul_mixed_s16.c", header="et_batch_matmul.h")
    product = pool.struct("product", "et_batch_matmul_mixed", fields_c)
    return [f"et_batch_matmul_mixed_s16(&{product}, {_pointers(low, places)});" for places in offsets]


def _reason(low: Lowering, layout: Layout, factor: int) -> str:
    """Why no assembly of the core computes it."""
    if not factor:
        return "its scales give a factor beyond 2^-1"
    stride = layout.depth[1] if layout.columns[1] == 1 else layout.columns[1]
    if low.context.dsp and stride % 4:
        return f"the DSP kernels need rows that begin at a word, and units are {stride}, no multiple of 4"
    if low.context.dsp and layout.depth[1] == 1 and layout.depth[0] > _MOST_WORDS:
        return f"it sums over {layout.depth[0]} values and the DSP kernel over {_MOST_WORDS} at most"
    if _assembly(low.context, layout) is not None:
        return "its operands do not begin at a word of the state"
    return f"{layout.depth[0]} by {layout.columns[0]} values are too few for the assembly of the core"


def _words_aligned(low: Lowering, layout: Layout, offsets: list[tuple[int, int, int]]) -> bool:
    """True if every row of a and the matrix b begin at a word, or the core is Helium, which needs no words."""
    if low.context.helium:
        return True
    a, b = low.op.inputs[:2]
    pointers = [low.pointer(index) for index in (a, b)]
    own = all(pointer.startswith("&state->") and "place" not in pointer for pointer in pointers)
    places = [
        low.view(a).offset + x + i * layout.rows[1] for x, _, _ in offsets for i in range(layout.rows[0])
    ]
    starts = [low.view(b).offset + offset for _, offset, _ in offsets]
    return own and not any(place % 2 for place in places) and not any(start % 4 for start in starts)
