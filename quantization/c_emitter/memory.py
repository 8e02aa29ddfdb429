"""What of a graph is computed, and where each tensor lies: dead ops, views, memory by liveness."""

from __future__ import annotations

from dataclasses import dataclass

from quantization.graph.ir import ABSENT, Graph


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
