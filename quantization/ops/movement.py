"""Ops that move values and compute nothing: they are the same for every engine.

Arrays carry a leading axis of independent windows that is not part of the tensor's shape; axes given by an op count
without it.

Source of the index arithmetic: tflite-micro ``tensorflow/lite/kernels/internal/strided_slice_logic.h`` (the masks), which
follows TensorFlow's ``tf.strided_slice``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.c_fragments.op_source import Lowering
from quantization.ops.call import Call, FloatCall, Values
from quantization.ops.signature import Shape, Signature


def reshape(values: Values, shape: Sequence[int]) -> Values:
    """Give each window the shape ``shape``; one entry may be -1."""
    return values.reshape((values.shape[0], *(int(v) for v in shape)))


def transpose(values: Values, permutation: Sequence[int]) -> Values:
    """Reorder the axes of each window."""
    return values.transpose((0, *(int(axis) + 1 for axis in permutation)))


def concatenate(parts: Sequence[Values], axis: int) -> Values:
    """Join along ``axis``; parts with one window (constants) are repeated for the others."""
    count = max(len(part) for part in parts)
    axis = axis + 1 if axis >= 0 else axis
    return np.concatenate([np.broadcast_to(p, (count, *p.shape[1:])) for p in parts], axis=axis)


def strided_slice(
    values: Values,
    begin: Sequence[int],
    end: Sequence[int],
    strides: Sequence[int],
    *,
    begin_mask: int = 0,
    end_mask: int = 0,
    shrink_axis_mask: int = 0,
) -> Values:
    """``values[begin:end:strides]`` per axis; bit i of a mask leaves out begin or end i, or drops axis i."""
    index: list[slice | int] = [slice(None)]
    for axis in range(values.ndim - 1):
        bit = 1 << axis
        if shrink_axis_mask & bit:
            index.append(int(begin[axis]))
            continue
        start = None if begin_mask & bit else int(begin[axis])
        stop = None if end_mask & bit else int(end[axis])
        index.append(slice(start, stop, int(strides[axis])))
    return values[tuple(index)]


def slice_values(values: Values, begin: Sequence[int], size: Sequence[int]) -> Values:
    """``size`` entries from ``begin`` on each axis; a size of -1 is all that follow."""
    index: list[slice] = [slice(None)]
    for start, length in zip(begin, size):
        index.append(slice(int(start), None if int(length) < 0 else int(start) + int(length)))
    return values[tuple(index)]


def gather(values: Values, indices: NDArray[Any], axis: int) -> Values:
    """Take ``indices`` (of constant shape) along ``axis`` of each window."""
    return np.take(values, indices, axis=axis + 1 if axis >= 0 else axis)


def split(values: Values, count: int, axis: int) -> list[Values]:
    """``count`` equal parts along ``axis``."""
    return np.split(values, count, axis=axis + 1 if axis >= 0 else axis)


def check_reshape(op: Signature) -> list[Shape]:
    """As many values as before."""
    op.require_moved_types(0)
    shape, result = op.shape(0), op.result().shape
    if math.prod(shape) != math.prod(result):
        op.refuse(f"it makes shape {result} of {shape}, which has {math.prod(shape)} values")
    return [result]


def check_transpose(op: Signature) -> list[Shape]:
    """By a constant order of all axes."""
    op.require_moved_types(0)
    shape, order = op.shape(0), op.integers(1)
    if sorted(order) != list(range(len(shape))):
        op.refuse(f"its order of axes is {order}; it must name each of {len(shape)} once")
    return [tuple(shape[axis] for axis in order)]


def check_concatenation(op: Signature) -> list[Shape]:
    """Parts that are equal along all other axes."""
    places = range(len(op.op.inputs))
    op.require_moved_types(*places)
    op.require_activation("NONE")
    shapes = [op.shape(place) for place in places]
    axis = op.axis(op.options.get("axis", 0), len(shapes[0]))
    if len({(len(s), *s[:axis], None, *s[axis + 1 :]) for s in shapes}) != 1:
        op.refuse(
            f"it joins shapes {', '.join(map(str, shapes))} along axis {axis}; their other axes must be equal"
        )
    return [(*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])]


def check_strided_slice(op: Signature) -> list[Shape]:
    """Constant begins, ends and steps, one an axis."""
    op.require_moved_types(0)
    shape = op.shape(0)
    begin, end, strides = (op.integers(place) for place in (1, 2, 3))
    if any(len(each) != len(shape) for each in (begin, end, strides)) or 0 in strides:
        op.refuse(f"it needs a begin, an end and a step other than 0 for each of {len(shape)} axes")
    if any(op.options.get(mask, 0) for mask in ("ellipsis_mask", "new_axis_mask")):
        op.refuse("it has an ellipsis or a new axis; allowed: masks of begins, ends and dropped axes")
    masks = [int(op.options.get(name, 0)) for name in ("begin_mask", "end_mask", "shrink_axis_mask")]
    result = []
    for axis, count in enumerate(shape):
        first, last, shrink = (bool(mask >> axis & 1) for mask in masks)
        if shrink:
            op.axis(begin[axis], count)
            continue
        start, stop = None if first else begin[axis], None if last else end[axis]
        result.append(len(range(count)[slice(start, stop, strides[axis])]))
    return [tuple(result)]


def check_slice(op: Signature) -> list[Shape]:
    """Constant begins and sizes, one an axis, inside the input."""
    op.require_moved_types(0)
    shape, begin, size = op.shape(0), op.integers(1), op.integers(2)
    if len(begin) != len(shape) or len(size) != len(shape):
        op.refuse(f"it needs a begin and a size for each of {len(shape)} axes")
    counts = [n - first if count == -1 else count for n, first, count in zip(shape, begin, size)]
    if any(first < 0 or count < 0 or first + count > n for n, first, count in zip(shape, begin, counts)):
        op.refuse(f"it takes {size} from {begin} of shape {shape}, which ends before")
    return [tuple(counts)]


def check_gather(op: Signature) -> list[Shape]:
    """Constant indices along one axis."""
    op.require_moved_types(0)
    shape, indices = op.shape(0), op.tensor(1)
    axis = op.axis(op.options.get("axis", 0), len(shape))
    if op.options.get("batch_dims", 0):
        op.refuse("it has batch axes; allowed: 0")
    if any(not 0 <= index < shape[axis] for index in op.integers(1, most_axes=8)):
        op.refuse(f"it takes an index that is not below {shape[axis]}, the length of axis {axis}")
    return [(*shape[:axis], *indices.shape, *shape[axis + 1 :])]


def check_split(op: Signature) -> list[Shape]:
    """As many equal parts as outputs, along a constant axis."""
    op.require_moved_types(1)
    shape, count, axes = op.shape(1), len(op.op.outputs), op.integers(0)
    if len(axes) != 1:
        op.refuse(f"it splits along {len(axes)} axes; it must be one")
    axis = op.axis(axes[0], len(shape))
    if shape[axis] % count:
        op.refuse(f"it splits {shape[axis]} values into {count} parts")
    return [(*shape[:axis], shape[axis] // count, *shape[axis + 1 :])] * count


def check_pack(op: Signature) -> list[Shape]:
    """Equal parts along a new axis."""
    places = range(len(op.op.inputs))
    op.require_moved_types(*places)
    shapes = {op.shape(place) for place in places}
    if len(shapes) != 1:
        op.refuse(f"it packs shapes {', '.join(map(str, sorted(shapes)))}; they must be equal")
    (shape,) = shapes
    axis = op.axis(op.options.get("axis", 0), len(shape) + 1)
    return [(*shape[:axis], len(places), *shape[axis:])]


def check_unpack(op: Signature) -> list[Shape]:
    """One output for each entry of an axis."""
    op.require_moved_types(0)
    shape = op.shape(0)
    axis = op.axis(op.options.get("axis", 0), len(shape))
    if shape[axis] != len(op.op.outputs):
        op.refuse(f"it unpacks {shape[axis]} values into {len(op.op.outputs)} outputs")
    return [(*shape[:axis], *shape[axis + 1 :])] * shape[axis]


def run_reshape(call: Call) -> list[Values]:
    """RESHAPE."""
    return [reshape(call.operand(0).data, call.output.shape)]


def run_transpose(call: Call) -> list[Values]:
    """TRANSPOSE."""
    return [transpose(call.operand(0).data, call.operand(1).constant.tolist())]


def run_concatenation(call: Call) -> list[Values]:
    """CONCATENATION: the parts' integers are joined as they are, whatever their scales."""
    parts = [operand.data for operand in call.inputs if operand is not None]
    return [concatenate(parts, int(call.options.get("axis", 0)))]


def run_strided_slice(call: Call) -> list[Values]:
    """STRIDED_SLICE."""
    begin, end, strides = (call.operand(k).constant.tolist() for k in (1, 2, 3))
    result = strided_slice(
        call.operand(0).data,
        begin,
        end,
        strides,
        begin_mask=int(call.options.get("begin_mask", 0)),
        end_mask=int(call.options.get("end_mask", 0)),
        shrink_axis_mask=int(call.options.get("shrink_axis_mask", 0)),
    )
    return [result]


def run_slice(call: Call) -> list[Values]:
    """SLICE."""
    begin, size = (call.operand(k).constant.tolist() for k in (1, 2))
    return [slice_values(call.operand(0).data, begin, size)]


def run_gather(call: Call) -> list[Values]:
    """GATHER with constant indices."""
    axis = int(call.options.get("axis", 0))
    return [gather(call.operand(0).data, call.operand(1).constant, axis)]


def run_split(call: Call) -> list[Values]:
    """SPLIT: the axis is the first input."""
    axis = int(call.operand(0).constant.reshape(-1)[0])
    return split(call.operand(1).data, len(call.outputs), axis)


def run_pack(call: Call) -> list[Values]:
    """PACK: a new axis from equal parts."""
    axis = int(call.options.get("axis", 0)) % len(call.output.shape)
    shape = (*call.output.shape[:axis], 1, *call.output.shape[axis + 1 :])
    parts = [reshape(operand.data, shape) for operand in call.inputs if operand is not None]
    return [concatenate(parts, axis)]


def run_unpack(call: Call) -> list[Values]:
    """UNPACK: one output for each entry of an axis."""
    values = call.operand(0).data
    axis = int(call.options.get("axis", 0)) % (values.ndim - 1)
    return [np.take(values, k, axis=axis + 1) for k in range(len(call.outputs))]


def real_reshape(call: FloatCall) -> list[Values]:
    """RESHAPE."""
    x = call.read(0)
    return [x.reshape(len(x), *call.shape[1:])]


def real_transpose(call: FloatCall) -> list[Values]:
    """TRANSPOSE of all axes but the first, which is that of windows."""
    return [call.read(0).transpose([int(axis) for axis in call.read(1)])]


def real_strided_slice(call: FloatCall) -> list[Values]:
    """STRIDED_SLICE along any axis but the first, which is that of windows."""
    x = call.read(0)
    begin, end, strides = (call.read(place) for place in (1, 2, 3))
    masks = [int(call.options.get(name, 0)) for name in ("begin_mask", "end_mask", "shrink_axis_mask")]
    index: list[slice | int] = [slice(None)]
    for axis in range(1, x.ndim):
        first, last, shrink = (bool(mask >> axis & 1) for mask in masks)
        if shrink:
            index.append(int(begin[axis]))
        else:
            start, stop = None if first else int(begin[axis]), None if last else int(end[axis])
            index.append(slice(start, stop, int(strides[axis])))
    return [x[tuple(index)]]


def real_concatenation(call: FloatCall) -> list[Values]:
    """CONCATENATION; constants are repeated for every window."""
    parts = [call.read(place) for place in range(len(call.inputs))]
    parts = [np.broadcast_to(part, (call.count, *part.shape[1:])) for part in parts]
    return [np.concatenate(parts, axis=call.options["axis"])]


def lower_concatenation(low: Lowering) -> list[str]:
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
