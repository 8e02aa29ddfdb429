"""What of a graph is computed, and where each tensor lies: dead ops, views, memory by liveness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.c_fragments.view import size
from quantization.graph.ir import ABSENT, Graph, Op
from quantization.ops import movement as shape_ops
from toolkit.errors import ModelFileError

#: Places of the state tensors among the inputs of an LSTM.
LSTM_STATES = (18, 19)
#: Ops that only look at another tensor's values when the result is contiguous there.
_VIEWS = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE", "STRIDED_SLICE", "SLICE", "SPLIT", "GATHER", "TRANSPOSE")


def live_ops(graph: Graph, outputs: tuple[int, ...]) -> list[int]:
    """Places of the ops that ``outputs`` need, in running order."""
    needed = set(outputs)
    keep: list[int] = []
    for place in range(len(graph.ops) - 1, -1, -1):
        op = graph.ops[place]
        if needed.intersection(op.outputs):
            keep.append(place)
            needed.update(index for index in op.inputs if index != ABSENT)
    return keep[::-1]


def _constant(graph: Graph, index: int) -> NDArray[Any]:
    data = graph.tensors[index].data
    if data is None:
        raise ModelFileError(f"tensor {graph.tensors[index].name!r} must be constant to be turned into C")
    return data


def view_results(graph: Graph, op: Op) -> list[NDArray[np.int64]] | None:
    """For an op that moves values of one tensor: the elements of it that make each output; None for other ops."""
    if op.kind not in _VIEWS:
        return None
    source = op.inputs[1] if op.kind == "SPLIT" else op.inputs[0]
    shape = graph.tensors[source].shape
    elements = np.arange(size(graph, source), dtype=np.int64).reshape(1, *shape)
    if op.kind == "STRIDED_SLICE":
        begin, end, strides = (_constant(graph, i).tolist() for i in op.inputs[1:4])
        masks = {k: int(op.options.get(k, 0)) for k in ("begin_mask", "end_mask", "shrink_axis_mask")}
        moved = [shape_ops.strided_slice(elements, begin, end, strides, **masks)]
    elif op.kind == "SLICE":
        begin, count = (_constant(graph, i).tolist() for i in op.inputs[1:3])
        moved = [shape_ops.slice_values(elements, begin, count)]
    elif op.kind == "TRANSPOSE":
        moved = [shape_ops.transpose(elements, _constant(graph, op.inputs[1]).tolist())]
    elif op.kind == "SPLIT":
        axis = int(_constant(graph, op.inputs[0]).reshape(-1)[0])
        moved = shape_ops.split(elements, len(op.outputs), axis)
    elif op.kind == "GATHER":
        axis = int(op.options.get("axis", 0))
        moved = [shape_ops.gather(elements, _constant(graph, op.inputs[1]), axis)]
    else:
        moved = [elements]
    return [
        part.reshape(graph.tensors[index].shape) if part.size else part
        for part, index in zip(moved, op.outputs)
    ]


@dataclass
class Block:
    """A tensor that needs memory: from op place ``first`` to ``last``, ``count`` elements; ``offset`` when placed."""

    tensor: int
    first: int
    last: int
    count: int
    offset: int = -1


def place_blocks(blocks: list[Block], start: int = 0) -> int:
    """Give blocks of one arena their offsets (even ones), largest first, lowest free place; returns the end.

    Source of the strategy: "Greedy by size", Pisarchyk and Lee 2020, arXiv:2001.03288.
    """
    placed: list[Block] = []
    end = start
    for block in sorted(blocks, key=lambda b: (-b.count, b.first, b.tensor)):
        others = sorted(
            (b for b in placed if b.first <= block.last and block.first <= b.last), key=lambda b: b.offset
        )
        offset = start
        for other in others:
            if offset + block.count <= other.offset:
                break
            offset = max(offset, other.offset + other.count)
            offset += offset % 4 and 4 - offset % 4
        block.offset = offset
        placed.append(block)
        end = max(end, offset + block.count)
    return end
