"""Means, pooling and padding, over time or any axis."""

from __future__ import annotations

import math

import numpy as np

from quantization.graph.ir import Role
from quantization.importers.elements import Ids
from quantization.importers.elementwise_ops import elementwise
from quantization.importers.evaluate import pooling_parts
from quantization.importers.making import Arguments, GraphMaking, UnsupportedError


def mean(low: GraphMaking, a: Arguments, name: str) -> Ids:
    value = a["self"]
    axes = sorted(axis % value.ndim for axis in a.get("dim") or range(value.ndim))
    kept = [axis for axis in range(value.ndim) if axis not in axes]
    moved = np.transpose(value, [*axes, *kept]).reshape(math.prod(value.shape[i] for i in axes), -1)
    x = low.elements.tensor(np.ascontiguousarray(moved))
    axis = low.builder.constant(low.elements.name(f"{name}/axis"), np.array([1], np.int32))
    out = low.op("MEAN", name, (x, axis), (1, moved.shape[1]), Role.HEAD, keep_dims=False)
    ids = low.elements.of_tensor(out)
    shape = [1 if i in axes else n for i, n in enumerate(value.shape)]
    return ids.reshape(shape if a.get("keepdim") else [value.shape[i] for i in kept])


def whole_mean(low: GraphMaking, a: Arguments, name: str) -> Ids:
    if list(a["output_size"]) != [1]:
        raise UnsupportedError("a pooling to more than one step")
    return mean(low, {"self": a["self"], "dim": [-1], "keepdim": True}, name)


def _taps(a: Arguments) -> list[Ids]:
    kernel, stride, padding, dilation = pooling_parts(a)
    if padding:
        raise UnsupportedError("padding of a pooling")
    x = a["self"]
    count = (x.shape[2] - dilation * (kernel - 1) - 1) // stride + 1
    return [x[:, :, k * dilation : k * dilation + stride * (count - 1) + 1 : stride] for k in range(kernel)]


def max_pool(low: GraphMaking, a: Arguments, name: str) -> Ids:
    """The larger of the first two taps, then of that and the third, and so on."""
    first, *others = (np.swapaxes(tap, 1, 2) for tap in _taps(a))
    for tap in others:
        first = elementwise(low, "MAXIMUM", first, tap, name, low.elements.role_of(tap) or Role.HEAD)
    return np.swapaxes(first, 1, 2)


def average_pool(low: GraphMaking, a: Arguments, name: str) -> Ids:
    stacked = np.stack([np.swapaxes(tap, 1, 2) for tap in _taps(a)])
    return np.swapaxes(mean(low, {"self": stacked, "dim": [0]}, name), 1, 2)


def pad(low: GraphMaking, a: Arguments, name: str) -> Ids:
    """Zeros around a value."""
    if a.get("value") or a.get("mode", "constant") != "constant":
        raise UnsupportedError("padding with other values than 0")
    value, pad = a["self"], list(a["pad"])
    for place in range(len(pad) // 2):
        axis = value.ndim - 1 - place
        for count, before in ((pad[2 * place], True), (pad[2 * place + 1], False)):
            if count < 0:
                raise UnsupportedError("padding below 0")
            if count:
                shape = [count if i == axis else n for i, n in enumerate(value.shape)]
                zeros = low.elements.of_zeros(1, math.prod(shape), low.elements.role_of(value))
                parts = [zeros.reshape(shape), value]
                value = np.concatenate(parts if before else parts[::-1], axis=axis)
    padded: Ids = value
    return padded
