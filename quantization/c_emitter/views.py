"""Ops that only move values become views: where an op's result lies inside the tensor that it takes values from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from quantization.c_emitter.live_graph import LiveGraph
from quantization.c_fragments.view import View, affine_axes
from quantization.graph.ir import Graph, Op
from quantization.graph.ring_form import only_widens
from quantization.ops.table import Trait, has
from quantization.ops.views import view_results
from toolkit.errors import ModelFileError

#: ET_DOT_WIDE_MOST of et_dot.h.
MOST_WIDE_DEPTH = 508


@dataclass
class Views:
    """Where tensors lie: ``found`` inside others; ``copies`` are views that are copied to a place of their own; ``narrow``
    are tensors that only widen an int8 one, whose values are read where that lies."""

    graph: Graph
    found: dict[int, View] = field(default_factory=dict)
    copies: dict[int, View] = field(default_factory=dict)
    narrow: frozenset[int] = frozenset()

    def view(self, index: int) -> View:
        """Where the elements of a tensor are."""
        return self.found.get(index) or plain_view(self.graph, index)

    def root(self, index: int) -> int:
        """The tensor in whose memory they are."""
        return self.view(index).root

    def inside(self, part: int, root: int, offset: int) -> None:
        """Lay ``part`` whole into ``root``, its first element at ``offset``."""
        self.found[part] = View(root, offset, plain_view(self.graph, part).axes)


def no_views(live: LiveGraph) -> Views:
    """Every tensor in a place of its own, but for those that are read in int8."""
    return Views(live.graph, narrow=_narrow(live))


def plain_view(graph: Graph, index: int) -> View:
    """A tensor in memory of its own, row-major."""
    axes, stride = [], 1
    for count in reversed(graph.tensors[index].shape):
        axes.append((int(count), stride))
        stride *= int(count)
    return View(index, 0, tuple(axes[::-1]))


def resolve_views(live: LiveGraph, views: Views) -> None:
    """Adds the views of all ops, in order, to those of the rings; ModelFileError for elements without a pattern."""
    for op in live.ops:
        if op.outputs[0] in views.narrow:
            views.found[op.outputs[0]] = views.view(op.inputs[0])
            continue
        results = view_results(live.graph, op)
        if results is not None and op.outputs[0] not in views.found:
            _look_at(live, views, op, results)


def _look_at(live: LiveGraph, views: Views, op: Op, results: list[NDArray[np.int64]]) -> None:
    """A view, or a copy of one, for each result of an op that moves values."""
    source = views.view(op.inputs[1] if op.kind == "SPLIT" else op.inputs[0])
    flat = _elements(source)
    for index, elements in zip(op.outputs, results):
        readers = live.readers(index)
        if not readers and not live.leaves(index):
            continue
        found = affine_axes(flat[elements])
        if found is None:
            raise ModelFileError(
                f"{op.kind} {live.graph.tensors[index].name!r} cannot become C: it takes elements without a pattern"
            )
        view = View(source.root, *found)
        strided = bool(readers) and all(has(reader, Trait.READS_STRIDES) for reader in readers)
        if live.leaves(index) or not (view.contiguous or strided):
            views.copies[index] = view
        else:
            views.found[index] = view


def _elements(view: View) -> NDArray[np.int64]:
    grid = np.array([view.offset], np.int64)
    for count, stride in view.axes:
        grid = (grid[:, None] + np.arange(count, dtype=np.int64)[None, :] * stride).reshape(-1)
    return grid


def _narrow(live: LiveGraph) -> frozenset[int]:
    """Tensors that only widen an int8 one for the second operand of matrix products, which read it as it is."""
    found = set()
    for op in live.ops:
        if only_widens(live.graph, op) and all(
            reader.kind == "BATCH_MATMUL"
            and reader.inputs[0] != op.outputs[0]
            and _depth(live.graph, reader) <= MOST_WIDE_DEPTH
            for reader in live.readers(op.outputs[0])
        ):
            found.add(op.outputs[0])
    return frozenset(found)


def _depth(graph: Graph, op: Op) -> int:
    shape = graph.tensors[op.inputs[0]].shape
    return int(shape[-2] if op.options.get("adj_x") else shape[-1])
