"""Carried state, and rings: memory of earlier rows whose rows need not move.

A ring is joined with a new row and all but its oldest row is carried on. Where nothing depends on the order of its rows, a new
row can take the place of the oldest one. That is so if rows only meet rows of their own place: elementwise ops, softmax (its
maximum and its integer sum do not depend on the order), and a matrix product that sums over them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quantization.c_emitter.live_graph import LiveGraph, producer
from quantization.c_emitter.views import Views
from quantization.c_fragments.context import Context
from quantization.c_fragments.view import size
from quantization.graph.ir import Graph, Op
from quantization.graph.state import CarriedTensor
from quantization.ops.table import Trait, has
from quantization.ops.views import view_results


@dataclass(frozen=True)
class Ring:
    """A carried tensor that is all but the first ``start`` elements of ``memory``, which joins it with new rows."""

    memory: int
    carried: CarriedTensor
    joining: Op
    start: int

    def axis(self, graph: Graph) -> int:
        """The axis of the rows."""
        return int(self.joining.options.get("axis", 0)) % len(graph.tensors[self.memory].shape)

    def rows(self, graph: Graph) -> int:
        """Rows of the memory."""
        return int(graph.tensors[self.memory].shape[self.axis(graph)])


@dataclass(frozen=True)
class Rings:
    """The rings of a stream graph by their memory. ``rows`` is how many rows all of them have if a new row takes the place of
    the oldest one, and 0 if rows are moved."""

    live: LiveGraph
    by_memory: dict[int, Ring]
    rows: int

    def lay(self, views: Views) -> None:
        """Old rows, new rows and what is kept all lie inside a ring's memory."""
        graph = self.live.graph
        for ring in self.by_memory.values():
            start = 0
            for part in ring.joining.inputs:
                computed = producer(graph, part)
                plain = computed is not None and view_results(graph, computed) is None
                if part == self.live.before(ring.carried) or plain:
                    views.inside(part, ring.memory, start)
                start += size(graph, part)
            views.inside(self.live.after(ring.carried), ring.memory, ring.start)

    def newest(self, root: int, offset: int, start: int) -> str | None:
        """C of an element's place in the arena if it is in the new row of a ring, which lies where the oldest one was; None for
        other views, which are of all rows, and where rows move. The ring lies from ``start``, the element ``offset`` on."""
        ring = self.by_memory.get(root)
        if not self.rows or ring is None:
            return None
        last = (self.rows - 1) * ring.start
        return f"{start + offset - last} + {ring.start} * place" if offset >= last > 0 else None

    def join(self, ring: Ring, views: Views, pointer: Callable[[int], str]) -> list[str]:
        """C that copies the new rows which are not computed in their place."""
        graph = self.live.graph
        lines = []
        start = 0
        unit = graph.tensors[ring.memory].dtype.itemsize
        for part in ring.joining.inputs:
            count = size(graph, part)
            if part not in views.found or views.root(part) != ring.memory:
                target = f"{pointer(ring.memory)} + {start}"
                if self.rows:
                    target = f"{pointer(ring.memory)} + {ring.start} * place"
                lines.append(f"memcpy({target}, {pointer(part)}, {count * unit});")
            start += count
        return lines

    def carry(self, context: Context, one: CarriedTensor, pointer: Callable[[int], str]) -> Carry:
        """C that hands a carried tensor to the next run: nothing for a ring, whose rows move when that begins, or stay."""
        graph = self.live.graph
        before, after = self.live.before(one), self.live.after(one)
        tensor, count = graph.tensors[before], size(graph, before)
        first, last = "", ""
        ring = next((ring for ring in self.by_memory.values() if ring.carried == one), None)
        if ring is not None and self.rows:
            target, count = pointer(ring.memory), size(graph, ring.memory)
        elif ring is None:
            target = pointer(before)
            last = f"memcpy({target}, {pointer(after)}, {tensor.size_bytes});"
        else:
            target = f"{pointer(ring.memory)} + {ring.start}"
            distance = ring.start * tensor.dtype.itemsize
            context.use("et_move_down.c", header="et_elementwise.h")
            first = f"et_move_down((int8_t *){pointer(ring.memory)}, {distance}, {tensor.size_bytes});"
        if tensor.dtype == np.int8:
            reset = f"memset({target}, {int(one.initial)}, {count});"
        else:
            reset = f"for (int32_t i = 0; i < {count}; ++i) {{ ({target})[i] = {int(one.initial)}; }}"
        return Carry(first, last, reset)


@dataclass(frozen=True)
class Carry:
    """C for a carried tensor: at the beginning of a run, at its end (empty for nothing), and at a reset."""

    first: str
    last: str
    reset: str


def find_rings(live: LiveGraph) -> Rings:
    """The rings among what a graph carries."""
    found = {ring.memory: ring for one in live.carried if (ring := _ring(live, one)) is not None}
    return Rings(live, found, _circular_rows(live, found))


def _ring(live: LiveGraph, one: CarriedTensor) -> Ring | None:
    """The memory of a carried tensor that is: join the old rows and new ones, keep all but the first."""
    graph, before, after = live.graph, live.before(one), live.after(one)
    last = producer(graph, after)
    results = None if last is None else view_results(graph, last)
    if last is None or results is None or last.kind == "SPLIT":
        return None
    memory = last.inputs[0]
    joining = producer(graph, memory)
    if joining is None or joining.kind != "CONCATENATION" or joining.inputs[0] != before:
        return None
    shape = graph.tensors[memory].shape
    axis = int(joining.options.get("axis", 0)) % len(shape)
    start = size(graph, memory) - size(graph, after)
    elements = results[0].reshape(-1)
    whole = np.arange(start, size(graph, memory))
    alone = live.readers(before) == [joining] and size(graph, before) == elements.size
    if any(count != 1 for count in shape[:axis]) or not alone or not np.array_equal(elements, whole):
        return None
    return Ring(memory, one, joining, start)


def _circular_rows(live: LiveGraph, rings: dict[int, Ring]) -> int:
    """The rows of all rings if each takes one new row a run and the order of rows does not matter; else 0."""
    graph = live.graph
    counts = {ring.rows(graph) for ring in rings.values()}
    if len(counts) != 1:
        return 0
    (rows,) = counts
    if any(ring.start * rows != size(graph, memory) for memory, ring in rings.items()):
        return 0
    ends = {live.after(ring.carried) for ring in rings.values()}
    axes: dict[int, int] = {}
    for op in live.ops:
        if op.outputs[0] in rings:
            axes[op.outputs[0]] = rings[op.outputs[0]].axis(graph)
            continue
        if not any(index in axes for index in op.inputs) or op.outputs[0] in ends:
            continue
        axis = _axis_of_result(graph, op, axes)
        if axis is None:
            return 0
        if axis >= 0:
            axes[op.outputs[0]] = axis
    return 0 if any(index in axes for index in live.outputs) else rows


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
