"""What a stream graph is put together from: rings of earlier rows, the mask of rows that have been written, and ops of one row.

A *signal* is a tensor that holds one row, that of now. A *ring* remembers ``depth`` earlier rows of it: it comes in as an
input, is joined with the new row to a *memory* of ``depth`` + 1 rows, oldest first, and goes out moved on by one. It begins as
zeros, so that a row of before the first step is what zero padding is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.graph.ir import ABSENT, Graph, Op, Role, Tensor
from quantization.graph.state import MASK_ABSENT, MASK_PRESENT

#: The mask's name, and its place among the depths of the rings: the most older rows that it must know of.
MASK, MASK_KEY = "present", -1


@dataclass(frozen=True, eq=False)
class Signal:
    """One row of now, ``tensor`` of the stream graph. ``key`` is the window's tensor whose rows it gives, ``name`` that of its
    ring, ``memory`` that of the memory, ``role`` theirs.

    ``is_padded``: rows of before the first step are read, and are zero.
    """

    tensor: int
    key: int
    name: str
    memory: str
    role: Role | None
    is_padded: bool = False


@dataclass(frozen=True)
class Span:
    """Rows of a memory: ``count`` of them, the newest of which is ``delay`` steps old."""

    count: int
    delay: int = 0


@dataclass(eq=False)
class StreamParts:
    """A stream graph in the making beside its ``window`` graph. ``depths``: older rows by ring, as an earlier run has found
    them; ``found``: those of this run."""

    window: Graph
    depths: Mapping[int, int]
    found: dict[int, int] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    _order: list[tuple[int, int]] = field(default_factory=list)
    _copies: dict[int, int] = field(default_factory=dict)
    _memories: dict[int, int] = field(default_factory=dict)
    _carried: list[tuple[int, int, float]] = field(default_factory=list)
    _made: dict[str, int] = field(default_factory=dict)
    _latest: int = -1

    # -- tensors and ops --------------------------------------------------------------------------------------------

    def add(self, tensor: Tensor, origin: int | None = None) -> int:
        """A tensor in the place of the window's ``origin``, or behind the latest that has one."""
        if origin is not None:
            self._latest = max(self._latest, origin)
        self._order.append((self._latest if origin is None else origin, len(self._order)))
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def copy(self, index: int) -> int:
        """The tensor of the window graph as it is there."""
        if index == ABSENT:
            return ABSENT
        if index not in self._copies:
            self._copies[index] = self.add(self.window.tensors[index], index)
        return self._copies[index]

    def result(self, index: int, shape: tuple[int, ...]) -> int:
        """What is computed for the window's tensor ``index``, in another shape."""
        return self.add(replace(self.window.tensors[index], shape=shape), index)

    def values(self, name: str, data: NDArray[Any], origin: int | None = None) -> int:
        """A constant."""
        return self.add(Tensor(name, data.shape, data.dtype, None, data), origin)

    def one(self, name: str, shape: tuple[int, ...], role: Role | None) -> int:
        """A float tensor that the window graph does not have."""
        return self.add(Tensor(name, shape, np.dtype(np.float32), role=role))

    def op(self, kind: str, inputs: tuple[int, ...], out: int, **options: Any) -> int:
        """An op of one output, which is returned."""
        self.ops.append(Op(kind, inputs, (out,), options))
        return out

    def rows(self, name: str, source: int, first: int, count: int) -> int:
        """``count`` rows of [1, n, width] from ``first`` on; the tensor itself if those are all."""
        tensor = self.tensors[source]
        if (first, count) == (0, tensor.shape[1]):
            return source
        if name not in self._made:
            out = self.one(name, (1, count, tensor.shape[2]), tensor.role)
            bounds = {"begin": [0, first, 0], "end": [0, first + count, 0], "strides": [1, 1, 1]}
            constants = [self.values(f"{name}/{key}", np.array(v, np.int32)) for key, v in bounds.items()]
            self._made[name] = self.op(
                "STRIDED_SLICE",
                (source, *constants),
                out,
                begin_mask=0b101,
                end_mask=0b101,
                shrink_axis_mask=0,
            )
        return self._made[name]

    # -- rings ------------------------------------------------------------------------------------------------------

    def memory(self, signal: Signal, depth: int) -> int:
        """The memory [1, depth + 1 or more, width] of a signal."""
        key = signal.key
        self.found[key] = max(depth, self.found.get(key, 0))
        if key not in self._memories:
            self._memories[key] = self._join(signal, max(depth, self.depths.get(key, 0)), 0.0)
            if set(self.depths) - {MASK_KEY} == set(self._memories) and MASK_KEY in self.depths:
                self._present(self.depths[MASK_KEY])
        return self._memories[key]

    def is_pending(self, signal: Signal) -> bool:
        """True for a ring that is needed and not yet joined."""
        return signal.key in self.depths and signal.key not in self._memories

    def _join(self, signal: Signal, depth: int, start: float) -> int:
        width = self.tensors[signal.tensor].shape[2]
        kind = np.dtype(np.float32)
        last_input = max(self.window.inputs)
        ring = self.add(Tensor(signal.name, (1, depth, width), kind, role=signal.role), last_input)
        joined = self.one(signal.memory, (1, depth + 1, width), signal.role)
        self.op("CONCATENATION", (ring, signal.tensor), joined, axis=1, fused_activation_function="NONE")
        self._carried.append((ring, self.rows(f"{signal.name}.next", joined, 1, depth), start))
        return joined

    def span(self, signal: Signal, span: Span) -> int:
        """Rows of a signal's memory, [1, count, width]; of one row that is not old the signal itself."""
        if span == Span(1) and not signal.is_padded:
            return signal.tensor
        memory = self.memory(signal, span.count - 1 + span.delay)
        return self._cut(memory, signal.memory, span)

    def _cut(self, memory: int, name: str, span: Span) -> int:
        whole = self.tensors[memory].shape[1]
        first = max(whole - span.delay - span.count, 0)
        return self.rows(f"{name}/{span.count}/{span.delay}", memory, first, span.count)

    # -- the mask ---------------------------------------------------------------------------------------------------

    def capped(self, scores: int, span: Span) -> int:
        """Scores [1, 1, count] with those of rows that have not been written far below all others."""
        self.found[MASK_KEY] = max(span.count - 1 + span.delay, self.found.get(MASK_KEY, 0))
        tensor = self.tensors[scores]
        out = self.one(f"{tensor.name.removesuffix('/scores')}/capped", tensor.shape, Role.SCORES)
        return self.op("MINIMUM", (scores, self._cap(span)), out)

    def _present(self, depth: int) -> int:
        if MASK not in self._made:
            mark = self.values(f"{MASK}/mark", np.full((1, 1, 1), MASK_PRESENT, np.float32))
            signal = Signal(mark, MASK_KEY, MASK, f"{MASK}/all", Role.MASK)
            self._made[MASK] = self._join(signal, depth, MASK_ABSENT)
            self._cap(Span(depth + 1))
        return self._made[MASK]

    def _cap(self, span: Span) -> int:
        whole = self._present(max(span.count - 1 + span.delay, self.depths.get(MASK_KEY, 0)))
        depth = self.tensors[whole].shape[1] - 1
        name = f"{MASK}/cap" if span == Span(depth + 1) else f"{MASK}/cap/{span.count}/{span.delay}"
        if name not in self._made:
            rows = self._cut(whole, f"{MASK}/all", span)
            shape = (1, 1, span.count)
            out = self.one(name, shape, Role.MASK)
            wanted = self.values(f"{name}/shape", np.array(shape, np.int32))
            self._made[name] = self.op("RESHAPE", (rows, wanted), out, new_shape=shape)
        return self._made[name]

    # -- the end ----------------------------------------------------------------------------------------------------

    def build(self, inputs: tuple[int, ...], output: int) -> Graph:
        """The graph: inputs and then rings; the output and then the rings moved on. The mask is the last of them."""
        masks = [one for one in self._carried if self.tensors[one[0]].role == Role.MASK]
        carried = [one for one in self._carried if one not in masks] + masks
        order = sorted(range(len(self.tensors)), key=lambda index: self._order[index])
        place = {old: new for new, old in enumerate(order)} | {ABSENT: ABSENT}

        def moved(indices: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(place[index] for index in indices)

        ops = tuple(replace(op, inputs=moved(op.inputs), outputs=moved(op.outputs)) for op in self.ops)
        graph = Graph(
            "stream",
            tuple(self.tensors[index] for index in order),
            ops,
            moved((*inputs, *(one[0] for one in carried))),
            moved((output, *(one[1] for one in carried))),
        )
        return graph.with_state(
            (len(inputs) + number, 1 + number, start) for number, (_, _, start) in enumerate(carried)
        )
