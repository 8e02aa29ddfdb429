"""One op being turned into C: its tensors, their quantization and where they lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.affine import Affine
from quantization.c_fragments.context import Context
from quantization.c_fragments.view import View
from quantization.graph.ir import Graph, Op
from toolkit.errors import ModelFileError

Axes = tuple[tuple[int, int], ...]


def affine(graph: Graph, index: int) -> Affine:
    """Quantization of a tensor; ModelFileError if it has none."""
    tensor = graph.tensors[index]
    if tensor.affine is None:
        raise ModelFileError(f"tensor {tensor.name!r} has no quantization; only int8 graphs become C")
    return tensor.affine


@dataclass
class Lowering:
    """One op being turned into C. ``pointer`` gives the C expression of a tensor's first element, ``view`` its layout.

    ``reset`` collects the lines that clear what the op keeps from call to call; None if every call begins anew.
    """

    context: Context
    graph: Graph
    op: Op
    pointer: Callable[[int], str]
    view: Callable[[int], View]
    reset: list[str] | None = None

    def affine(self, index: int) -> Affine:
        """Quantization of a tensor."""
        return affine(self.graph, index)

    def bits(self, index: int) -> int:
        """8 or 16."""
        tensor = self.graph.tensors[index]
        if tensor.dtype not in (np.dtype(np.int8), np.dtype(np.int16)):
            raise self.refuse(f"tensor {tensor.name!r} is {tensor.dtype}; only int8 and int16 become C")
        return 8 * tensor.dtype.itemsize

    def same_bits(self, *indices: int) -> int:
        """The one width of several tensors."""
        widths = {self.bits(index) for index in indices}
        if len(widths) != 1:
            raise self.refuse("its tensors mix int8 and int16")
        return widths.pop()

    def refuse(self, reason: str) -> ModelFileError:
        """The error for an op that has no C."""
        name = self.graph.tensors[self.op.outputs[0]].name
        return ModelFileError(f"{self.op.kind} {name!r} cannot become C: {reason}")

    def constant(self, index: int) -> NDArray[Any]:
        """Data of a constant tensor."""
        data = self.graph.tensors[index].data
        if data is None:
            raise self.refuse(f"tensor {self.graph.tensors[index].name!r} must be constant")
        return data

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self.graph.tensors[index].shape
