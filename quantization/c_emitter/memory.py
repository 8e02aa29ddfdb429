"""Where each tensor of a graph lies in the caller's state: memory by liveness, in one arena for each type."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quantization.c_emitter.live_graph import LiveGraph
from quantization.c_emitter.rings import Rings
from quantization.c_emitter.views import Views
from quantization.c_fragments.view import size
from quantization.graph.ir import ABSENT, Graph
from toolkit.errors import ModelFileError

#: The arena of each type of what is computed: a member of the state.
ARENAS: dict[np.dtype[Any], str] = {np.dtype(np.int8): "bytes", np.dtype(np.int16): "shorts"}


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


@dataclass(frozen=True)
class Arenas:
    """Elements of each arena: what lasts from call to call (at the start of the arena), and in all."""

    kept_bytes: int = 0
    kept_shorts: int = 0
    bytes: int = 0
    shorts: int = 0


@dataclass
class Memory:
    """Elements' offsets in their arena: of what lasts between calls, and of what lives for a part of one."""

    arenas: Arenas = field(default_factory=Arenas)
    kept: dict[int, int] = field(default_factory=dict)
    blocks: dict[int, Block] = field(default_factory=dict)

    def offset(self, root: int) -> int:
        """Of a tensor with a place of its own."""
        return self.kept[root] if root in self.kept else self.blocks[root].offset


def stored_dtype(graph: Graph, index: int) -> np.dtype[Any]:
    """The type of a tensor; ModelFileError if there is no arena for it."""
    dtype = graph.tensors[index].dtype
    if dtype not in ARENAS:
        raise ModelFileError(
            f"tensor {graph.tensors[index].name!r} is {dtype}; only int8 and int16 are computed in C"
        )
    return dtype


def place(live: LiveGraph, views: Views, rings: Rings) -> Memory:
    """Offsets of everything that is neither constant nor a parameter; in a stream, ops keep their states between calls."""
    memory = Memory()
    starts = {dtype: _keep(memory, live, rings, dtype) for dtype in ARENAS}
    blocks = _blocks(live, views, memory)
    if not live.is_stream:
        # A window's states live for the time of the op.
        blocks += [Block(index, time, time, size(live.graph, index)) for index, time in live.states]
    memory.blocks = {block.tensor: block for block in blocks}
    ends = {}
    for dtype, arena in ARENAS.items():
        mine = [b for b in blocks if stored_dtype(live.graph, b.tensor) == dtype]
        ends[arena] = (starts[dtype], place_blocks(mine, starts[dtype]))
    memory.arenas = Arenas(ends["bytes"][0], ends["shorts"][0], ends["bytes"][1], ends["shorts"][1])
    return memory


def _keep(memory: Memory, live: LiveGraph, rings: Rings, dtype: np.dtype[Any]) -> int:
    """Places what lasts between calls: carried tensors, and the states of ops in a stream; returns where that ends."""
    offset = 0
    ringed = {live.before(ring.carried): ring.memory for ring in rings.by_memory.values()}
    kept = [ringed.get(live.before(one), live.before(one)) for one in live.carried]
    if live.is_stream:
        kept += [index for index, _ in live.states]
    for index in dict.fromkeys(kept):
        if live.graph.tensors[index].dtype == dtype:
            memory.kept[index] = offset
            offset += size(live.graph, index)
            offset += -offset % 4
    return offset


def _blocks(live: LiveGraph, views: Views, memory: Memory) -> list[Block]:
    """Tensors with a place of their own, from the op that makes them to the last one that reads them or a view of them."""
    last: dict[int, int] = {}
    for time, op in enumerate(live.ops):
        for index in (*op.inputs, *op.outputs):
            if index != ABSENT:
                last[views.root(index)] = time
    for one in live.carried:
        last[views.root(live.after(one))] = len(live.order)
    first = dict.fromkeys(live.inputs, -1)
    for time, op in enumerate(live.ops):
        for index in op.outputs:
            if views.root(index) == index:
                first.setdefault(index, time)
    blocks = []
    for index, time in first.items():
        free = index not in live.outputs and index not in memory.kept
        if index in last and free and live.graph.tensors[index].data is None:
            blocks.append(Block(index, time, last[index], size(live.graph, index)))
    return blocks
