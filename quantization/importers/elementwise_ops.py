"""Ops on each element, with broadcasting, and layer norm made of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from quantization.graph.ir import Role
from quantization.importers.elements import Floats, Ids
from quantization.importers.making import Arguments, GraphMaking, UnsupportedError, Value, is_constant

_OPTIONS: dict[str, dict[str, Any]] = {
    "ADD": {"fused_activation_function": "NONE", "pot_scale_int16": False},
    "SUB": {"fused_activation_function": "NONE", "pot_scale_int16": False},
    "MUL": {"fused_activation_function": "NONE"},
}


def scaled(low: GraphMaking, value: Value, factor: float, name: str) -> Ids:
    """``value`` times a number: into the dense layer that gives it, or that a matrix product begins with."""
    factor = float(np.float32(factor))  # as torch multiplies
    base = low.elements.base_of(value)
    if base is not None and base.dense is not None and base.dense.activation == "NONE":
        dense = base.dense
        weight, bias = (values.astype(np.float64) * factor for values in (dense.weight, dense.bias))
        scaled = replace(dense, name=name, weight=weight, bias=bias)
        moved: Ids = low.elements.of_dense(scaled).reshape(-1)[value - base.first]
        return moved
    found = low.elements.covered(value) if value.dtype == np.int64 else None
    if found is not None and all(one.tensor in low.products for one in found):
        result = value.copy()
        for one in found:
            assert one.tensor is not None
            again = low.products[one.tensor](factor).reshape(-1)
            inside = (value >= one.first) & (value < one.first + again.size)
            result[inside] = again[value[inside] - one.first]
        return result
    return elementwise(low, "MUL", value, np.array([factor]), name, Role.HEAD)


def binary(kind: str) -> Callable[[GraphMaking, Arguments, str], Ids]:
    def lower(low: GraphMaking, a: Arguments, name: str) -> Ids:
        left, right = a["self"], a["other"]
        alpha = a.get("alpha", 1)
        left, right = (v if isinstance(v, np.ndarray) else np.asarray(v, np.float64) for v in (left, right))
        if alpha != 1:
            right = right * alpha if is_constant(right) else scaled(low, right, alpha, f"{name}/scaled")
        if kind == "DIV":
            if not is_constant(right):
                raise UnsupportedError("it divides by what depends on the input")
            right = 1.0 / np.float64(right)
        if kind in ("DIV", "MUL"):
            for one, other in ((left, right), (right, left)):
                if is_constant(other) and other.size == 1 and not is_constant(one):
                    return scaled(low, one, float(other.reshape(())), name)
        return elementwise(low, "MUL" if kind == "DIV" else kind, left, right, name, Role.HEAD)

    return lower


def elementwise(low: GraphMaking, kind: str, left: Value, right: Value, name: str, role: Role) -> Ids:
    """ADD, SUB, MUL or MAXIMUM of two values that broadcast, in the layout of the larger one's own tensor."""
    shape = np.broadcast_shapes(left.shape, right.shape)
    sides = [np.broadcast_to(side, shape) for side in (left, right)]
    order = _layout(low, [side for side in (left, right) if not is_constant(side)], shape)
    grids = [side.reshape(-1)[order] for side in sides]
    inputs = tuple(_operand(low, grid, name) for grid in grids)
    rows, width = order.shape
    own = (1, width) if rows == 1 else (1, rows, width)
    out = low.op(kind, name, inputs, own, role, **_OPTIONS.get(kind, {}))
    result = np.empty(order.size, np.int64)
    result[order.reshape(-1)] = low.elements.of_tensor(out).reshape(-1)
    return result.reshape(shape)


def _layout(low: GraphMaking, sides: list[Ids], shape: tuple[int, ...]) -> Ids:
    """Places (rows, width) of a value's flat elements in the order in which one of ``sides`` lies in memory."""
    count = math.prod(shape)
    for side in sides:
        base = low.elements.base_of(side) if side.shape == shape else None
        if base is not None and count == base.rows * base.width:
            order = np.argsort(side.reshape(-1), kind="stable")
            if (np.diff(side.reshape(-1)[order]) == 1).all():
                return order.reshape(base.rows, base.width)
    return np.arange(count).reshape(-1, shape[-1] if shape else 1)


def _operand(low: GraphMaking, grid: Value, name: str) -> int:
    """The tensor of one side (rows, width): of one row, or of one column, where all are the same."""
    rank = 2 if len(grid) == 1 else 3
    if (grid == grid[:1]).all():
        grid = grid[:1]
    if (grid == grid[:, :1]).all():
        grid = grid[:, :1]
    if is_constant(grid):
        values = grid.astype(np.float32).reshape((1,) * (rank - 2) + grid.shape)
        return low.builder.constant(low.elements.name(f"{name}/constant"), values)
    index = low.elements.tensor(np.ascontiguousarray(grid), row_form=rank == 2)
    return low.elements.reshaped(index, (1, *grid.shape)) if rank == 3 else index


def unary(kind: str) -> Callable[[GraphMaking, Arguments, str], Ids]:
    """TANH or LOGISTIC of each element."""

    def lower(low: GraphMaking, a: Arguments, name: str) -> Ids:
        def make(index: int, called: str) -> int:
            return low.op(kind, called, (index,), low.builder.tensors[index].shape, Role.SQUASHED)

        return low.alike(a["self"], name, make)

    return lower


def gelu(low: GraphMaking, a: Arguments, name: str) -> Ids:
    if a.get("approximate", "none") != "none":
        raise UnsupportedError("its approximation by tanh; the exact form has one")

    def make(index: int, called: str) -> int:
        shape = low.builder.tensors[index].shape
        return low.op("GELU", called, (index,), shape, Role.NARROW, approximate=False)

    return low.alike(a["self"], name, make)


def layer_norm(low: GraphMaking, a: Arguments, name: str) -> Ids:
    """norm(x), each step an op, as the lowering of our own network writes it."""
    value = a["input"]
    if len(a["normalized_shape"]) != 1:
        raise UnsupportedError("it normalises over more than the last axis")
    ids = low.rows(value)
    with low.builder.part(Role.NORM):
        x = low.elements.tensor(ids, row_form=True)
        shape = low.builder.tensors[x].shape
        one = (*shape[:-1], 1)

        def mean(part: str, index: int) -> int:
            axis = low.builder.constant(
                low.elements.name(f"{name}/{part}/axis"), np.array([len(shape) - 1], np.int32)
            )
            return low.op("MEAN", f"{name}/{part}", (index, axis), one, Role.NORM, keep_dims=True)

        def step(kind: str, part: str, left: int, right: int, own: tuple[int, ...]) -> int:
            return low.op(kind, f"{name}/{part}", (left, right), own, Role.NORM, **_OPTIONS[kind])

        def constant(part: str, values: Floats) -> int:
            data = values.astype(np.float32).reshape((1,) * (len(shape) - 1) + (-1,))
            return low.builder.constant(low.elements.name(f"{name}/{part}"), data)

        centred = step("SUB", "centred", x, mean("mean", x), shape)
        variance = mean("variance", step("MUL", "squared", centred, centred, shape))
        epsilon = constant("epsilon", np.array([a.get("eps", 1e-5)]))
        guarded = step("ADD", "guarded", variance, epsilon, one)
        inverse = low.op("RSQRT", f"{name}/inverse", (guarded,), one, Role.NORM)
        result = step("MUL", "normal", centred, inverse, shape)
        if a.get("weight") is not None:
            result = step("MUL", "scaled", result, constant("gain", a["weight"]), shape)
        if a.get("bias") is not None:
            result = step("ADD", "shifted", result, constant("offset", a["bias"]), shape)
    return low.elements.of_tensor(result).reshape(value.shape)
