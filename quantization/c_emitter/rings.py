"""Carried state, and rings: memory of earlier rows whose rows need not move.

A ring is joined with a new row and all but its oldest row is carried on. Where nothing depends on the order of its rows, a new
row can take the place of the oldest one. That is so if rows only meet rows of their own place: elementwise ops, softmax (its
maximum and its integer sum do not depend on the order), and a matrix product that sums over them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from quantization.graph.ir import Graph, Op
from quantization.ops.table import Trait, has


@dataclass(frozen=True)
class StateLink:
    """Carried state of a stream graph: what output ``after`` holds is input ``before`` of the next run."""

    before: int
    after: int
    start: int = 0


@dataclass(frozen=True)
class Ring:
    """A link whose state is all but the first ``start`` elements of ``memory``, which joins it with new rows."""

    memory: int
    link: StateLink
    joining: Op
    start: int

    def axis(self, graph: Graph) -> int:
        """The axis of the rows."""
        return int(self.joining.options.get("axis", 0)) % len(graph.tensors[self.memory].shape)

    def rows(self, graph: Graph) -> int:
        """Rows of the memory."""
        return int(graph.tensors[self.memory].shape[self.axis(graph)])


def circular_rows(
    graph: Graph, rings: Collection[Ring], order: Sequence[int], outputs: Collection[int]
) -> int:
    """The rows of all rings if each takes one new row a run and the order of rows does not matter; else 0.

    ``order`` are the places of the ops that are computed, ``outputs`` what the graph gives besides its state.
    """
    counts = {ring.rows(graph) for ring in rings}
    if len(counts) != 1:
        return 0
    (rows,) = counts
    for ring in rings:
        size = int(np.prod(graph.tensors[ring.memory].shape))
        if ring.start * rows != size:
            return 0
    joins = {ring.memory: ring for ring in rings}
    ends = {ring.link.after for ring in rings}
    axes: dict[int, int] = {}
    for place in order:
        op = graph.ops[place]
        if op.outputs[0] in joins:
            axes[op.outputs[0]] = joins[op.outputs[0]].axis(graph)
            continue
        if not any(index in axes for index in op.inputs) or op.outputs[0] in ends:
            continue
        axis = _axis_of_result(graph, op, axes)
        if axis is None:
            return 0
        if axis >= 0:
            axes[op.outputs[0]] = axis
    return 0 if any(index in axes for index in outputs) else rows


def _axis_of_result(graph: Graph, op: Op, axes: dict[int, int]) -> int | None:
    """The axis along which the result is in the rings' order, -1 if along none, None if the order would matter."""
    first = op.inputs[0]
    shapes = [graph.tensors[index].shape for index in op.inputs]
    result = graph.tensors[op.outputs[0]].shape
    if op.kind == "RESHAPE" and first in axes:
        return _reshaped(shapes[0], result, axes[first])
    if has(op, Trait.ELEMENTWISE):
        known = {axes[index] for index in op.inputs if index in axes}
        axis = known.pop()
        same = all(shape == result for shape in shapes)
        return axis if same and not known and all(index in axes for index in op.inputs) else None
    if op.kind == "SOFTMAX" and axes[first] == len(result) - 1:
        return axes[first]
    if op.kind == "BATCH_MATMUL":
        return _of_product(op, axes, [len(shape) for shape in shapes], len(result))
    return None


def _reshaped(source: tuple[int, ...], result: tuple[int, ...], axis: int) -> int | None:
    """The axis of the result that is ``axis`` of the source: as many elements, and as many behind it."""
    behind = int(np.prod(source[axis + 1 :], dtype=np.int64))
    for other, count in enumerate(result):
        if count == source[axis] and int(np.prod(result[other + 1 :], dtype=np.int64)) == behind:
            return other
    return None


def _of_product(op: Op, axes: dict[int, int], ranks: list[int], rank: int) -> int | None:
    """Rows as columns of the result, or summed over in both operands."""
    a, b = op.inputs[:2]
    inner = ranks[0] - (2 if op.options.get("adj_x") else 1)
    columns = ranks[1] - (2 if op.options.get("adj_y") else 1)
    depth = 2 * ranks[1] - 3 - columns
    if a not in axes and axes.get(b) == columns:
        return rank - 1
    return -1 if axes.get(a) == inner and axes.get(b) == depth else None
