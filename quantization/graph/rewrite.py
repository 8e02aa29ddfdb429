"""What the passes share: looking at a graph by producers and consumers, and putting a changed one together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.graph.ir import Graph, Op, Tensor


@dataclass
class Rewriter:
    """A graph taken apart: tensors may be added, ops replaced. :meth:`build` drops what no output needs."""

    graph: Graph
    tensors: list[Tensor] = field(init=False)
    ops: list[Op] = field(init=False)

    def __post_init__(self) -> None:
        self.tensors, self.ops = list(self.graph.tensors), list(self.graph.ops)

    def producer(self, index: int) -> Op | None:
        """The op that computes a tensor; None for inputs and constants."""
        return next((op for op in self.ops if index in op.outputs), None)

    def consumers(self, index: int) -> list[Op]:
        """The ops that read a tensor."""
        return [op for op in self.ops if index in op.inputs]

    def only_reader(self, index: int, op: Op) -> bool:
        """True if ``op`` alone reads the tensor and no output of the graph is it."""
        return self.consumers(index) == [op] and index not in self.graph.outputs

    def data(self, index: int) -> NDArray[Any] | None:
        """A constant's values; None if the tensor is computed or absent."""
        return self.tensors[index].data if index >= 0 else None

    def add(self, tensor: Tensor) -> int:
        """A new tensor; its index."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, name: str, data: NDArray[Any]) -> int:
        """A new float32 constant; its index."""
        values = np.ascontiguousarray(data, np.float32)
        return self.add(Tensor(name, tuple(values.shape), values.dtype, None, values))

    def swap(self, old: Op, new: Sequence[Op]) -> None:
        """Put ``new`` where ``old`` was."""
        place = next(i for i, op in enumerate(self.ops) if op is old)
        self.ops[place : place + 1] = new

    def build(self) -> Graph:
        """The graph with dead ops and tensors dropped and indices closed up; inputs and outputs stay."""
        ops = _live(self.ops, self.graph.outputs)
        used = {i for op in ops for i in (*op.inputs, *op.outputs, *op.intermediates) if i >= 0}
        used |= {*self.graph.inputs, *self.graph.outputs}
        kept = sorted(used)
        place = {old: new for new, old in enumerate(kept)} | {-1: -1}

        def moved(indices: Sequence[int]) -> tuple[int, ...]:
            return tuple(place[i] for i in indices)

        return replace(
            self.graph,
            tensors=tuple(self.tensors[i] for i in kept),
            ops=tuple(
                replace(
                    op,
                    inputs=moved(op.inputs),
                    outputs=moved(op.outputs),
                    intermediates=moved(op.intermediates),
                )
                for op in ops
            ),
            inputs=moved(self.graph.inputs),
            outputs=moved(self.graph.outputs),
        )


def _live(ops: Sequence[Op], outputs: Sequence[int]) -> list[Op]:
    needed = set(outputs)
    kept: list[Op] = []
    for op in reversed(ops):
        if needed & set(op.outputs):
            kept.append(op)
            needed.update(op.inputs)
    return kept[::-1]
