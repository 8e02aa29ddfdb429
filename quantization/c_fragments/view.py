"""Where a tensor's elements lie inside another one: an offset and one (count, stride) for each axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantization.graph.ir import Graph


@dataclass(frozen=True)
class View:
    """Elements of tensor ``root``: ``offset`` and one (count, stride) for each axis of the result, in elements."""

    root: int
    offset: int
    axes: tuple[tuple[int, int], ...]

    @property
    def contiguous(self) -> bool:
        """True if the elements follow each other in row-major order."""
        expected = 1
        for count, stride in reversed(self.axes):
            if count != 1 and stride != expected:
                return False
            expected *= count
        return True


def size(graph: Graph, index: int) -> int:
    """Number of elements of a tensor."""
    return int(np.prod(graph.tensors[index].shape, dtype=np.int64))


def affine_axes(elements: NDArray[np.int64]) -> tuple[int, tuple[tuple[int, int], ...]] | None:
    """Offset and (count, stride) of each axis if the element numbers are an affine function of the index."""
    offset = int(elements.reshape(-1)[0])
    axes: list[tuple[int, int]] = []
    for axis, count in enumerate(elements.shape):
        line = np.moveaxis(elements, axis, 0).reshape(count, -1)[:, 0]
        axes.append((count, int(line[1] - line[0]) if count > 1 else 0))
    grid = np.full(elements.shape, offset, np.int64)
    for axis, (count, stride) in enumerate(axes):
        shape = [1] * elements.ndim
        shape[axis] = count
        grid = grid + (np.arange(count, dtype=np.int64) * stride).reshape(shape)
    return (offset, tuple(axes)) if np.array_equal(grid, elements) else None


def copy_view(view: View, source: str, target: str, element: str) -> list[str]:
    """Loops that copy the elements of a view, in row-major order, to ``target``."""
    lines = ["{", f"    {element} *to = {target};"]
    names = "ijklmn"
    terms = []
    axes = [axis for axis in view.axes if axis[0] > 1]
    for name, (count, stride) in zip(names, axes):
        lines.append(f"    for (int32_t {name} = 0; {name} < {count}; ++{name})")
        terms.append(f"{name} * {stride}")
    index = " + ".join([str(view.offset), *terms])
    return [*lines, f"        *to++ = {source}[{index}];", "}"]
