"""Ops that move values and compute nothing: they are the same for every engine.

Arrays carry a leading axis of independent windows that is not part of the tensor's shape; axes given by an op count
without it.

Source of the index arithmetic: tflite-micro ``tensorflow/lite/kernels/internal/strided_slice_logic.h`` (the masks), which
follows TensorFlow's ``tf.strided_slice``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]


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
