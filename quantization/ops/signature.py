"""An op's tensors without their values: what the rules of each op look at to tell whether a graph can be computed at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from quantization.arithmetic.affine import Affine, activation_range
from quantization.graph.ir import Graph, Op, Tensor
from toolkit.errors import ModelFileError

Shape = tuple[int, ...]
FLOAT, INT8, INT16, INT32, INT64 = (np.dtype(t) for t in (np.float32, np.int8, np.int16, np.int32, np.int64))
#: Fused activations that the kernels have.
ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")


@dataclass(frozen=True)
class Signature:
    """One op of a graph. What it lacks or contradicts is said by :meth:`refuse`, a ModelFileError without the op's name."""

    graph: Graph
    op: Op

    def refuse(self, reason: str) -> NoReturn:
        """The op cannot be computed."""
        raise ModelFileError(reason)

    def has(self, place: int) -> bool:
        """True if the op has an input at ``place``."""
        return place < len(self.op.inputs) and self.op.inputs[place] >= 0

    def tensor(self, place: int) -> Tensor:
        """The input at ``place``, which the op must have."""
        if not self.has(place):
            self.refuse(f"it has no input {place}")
        return self.graph.tensors[self.op.inputs[place]]

    def shape(self, place: int) -> Shape:
        """Shape of an input."""
        return self.tensor(place).shape

    def result(self, place: int = 0) -> Tensor:
        """An output."""
        return self.graph.tensors[self.op.outputs[place]]

    @property
    def options(self) -> Mapping[str, Any]:
        """The op's options."""
        return self.op.options

    @property
    def is_real(self) -> bool:
        """True if the op's output, or what it reads, is float32."""
        used = (*self.op.inputs, *self.op.outputs)
        return any(self.graph.tensors[index].dtype == FLOAT for index in used if index >= 0)

    def affine(self, place: int) -> Affine:
        """Quantization of an input."""
        return self._affine(self.tensor(place))

    def result_affine(self) -> Affine:
        """Quantization of the first output."""
        return self._affine(self.result())

    def _affine(self, tensor: Tensor) -> Affine:
        found = tensor.affine
        if found is None:
            self.refuse(f"tensor {tensor.name!r} has no quantization")
        return found

    def integers(self, place: int, *, most_axes: int = 1) -> list[int]:
        """The values of a constant about shapes: one integer or a row of them, unless it may have more axes."""
        tensor = self.tensor(place)
        if tensor.data is None or tensor.dtype not in (INT32, INT64) or len(tensor.shape) > most_axes:
            self.refuse(
                f"input {place}, {tensor.name!r}, must be constant integers with at most {most_axes} axes"
            )
        return [int(value) for value in tensor.data.reshape(-1)]

    def axis(self, value: Any, rank: int) -> int:
        """An axis of a shape of ``rank`` axes, counted from the front."""
        axis = int(value)
        if not -rank <= axis < rank:
            self.refuse(f"it names axis {axis} of {rank}")
        return axis % rank

    def broadcast(self, *shapes: Shape) -> Shape:
        """The shape that ``shapes`` broadcast to."""
        try:
            return tuple(int(n) for n in np.broadcast_shapes(*shapes))
        except ValueError:
            self.refuse(f"its shapes {' and '.join(map(str, shapes))} do not broadcast")

    def require_activation(self, *allowed: str) -> None:
        """The fused activation must be one of ``allowed`` (all that the kernels have, if none are named)."""
        kind = str(self.options.get("fused_activation_function", "NONE"))
        if kind not in (allowed or ACTIVATIONS):
            self.refuse(f"its activation is {kind}; allowed: {', '.join(allowed or ACTIVATIONS)}")
        if not self.is_real and not allowed:
            activation_range(kind, self.result_affine())

    def require_same_types(self, *places: int) -> None:
        """The inputs at ``places`` and the outputs are all float32, all int8 or all int16."""
        types = self._types(places)
        if len(types) > 1 or not types <= {FLOAT, INT8, INT16}:
            self.refuse(f"its tensors are {_listed(types)}; all must be float32, all int8 or all int16")

    def require_moved_types(self, *places: int) -> None:
        """The inputs at ``places`` and the outputs have one type, whichever."""
        types = self._types(places)
        if len(types) > 1:
            self.refuse(f"its tensors are {_listed(types)}; an op that moves values keeps their type")

    def _types(self, places: tuple[int, ...]) -> set[np.dtype[Any]]:
        found = {self.tensor(place).dtype for place in places}
        return found | {self.result(k).dtype for k in range(len(self.op.outputs))}

    def require_types(self, places: tuple[int, ...], *allowed: tuple[np.dtype[Any], ...]) -> None:
        """The types of the inputs at ``places``, then of the output, are one of ``allowed``."""
        found = (*(self.tensor(place).dtype for place in places), self.result().dtype)
        if found not in allowed:
            choices = "; ".join(", ".join(t.name for t in types) for types in allowed)
            self.refuse(f"its tensors are {', '.join(t.name for t in found)}; allowed: {choices}")

    def require_shape(self, place: int, *allowed: Shape) -> None:
        """The input at ``place`` has one of the shapes ``allowed``."""
        if self.shape(place) not in allowed:
            wanted = " or ".join(map(str, allowed))
            self.refuse(
                f"input {place}, {self.tensor(place).name!r}, has shape {self.shape(place)}; it must be {wanted}"
            )


def _listed(types: set[np.dtype[Any]]) -> str:
    return ", ".join(sorted(t.name for t in types))
