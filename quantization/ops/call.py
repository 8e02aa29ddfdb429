"""One op about to run: its options, its tensors' values and quantization."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.affine import Affine
from quantization.arithmetic.fixed_point import Integers
from toolkit.errors import ModelFileError

Semantics = Literal["tflm", "litert"]
Values = NDArray[Any]
#: Shapes of an op's inputs or outputs, in its order; () for one that is left out.
Shapes = Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class Operand:
    """A tensor of the graph as an op sees it; ModelFileError for what a foreign graph's tensor lacks.

    ``values`` has the windows on its first axis and the tensor's shape behind it; int64 for an integer tensor, float32
    for a real one; None for an output. ``quantization`` is None for float32 and for plain integers (axes, indices).
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    quantization: Affine | None
    values: Values | None = None

    @property
    def data(self) -> Values:
        """The values; only inputs have them."""
        if self.values is None:
            raise ModelFileError(f"tensor {self.name!r} has no value yet")
        return self.values

    @property
    def affine(self) -> Affine:
        """The quantization; the op needs one."""
        if self.quantization is None:
            raise ModelFileError(f"tensor {self.name!r} has no quantization")
        return self.quantization

    @property
    def constant(self) -> Values:
        """The values without the axis of windows, for weights and shapes, which are the same for all."""
        values = self.data
        if len(values) != 1:
            raise ModelFileError(f"tensor {self.name!r} must be constant")
        single: Values = values[0]
        return single


@dataclass(frozen=True)
class Call:
    """An op with everything it reads. A missing optional input is None."""

    kind: str
    options: Mapping[str, Any]
    inputs: tuple[Operand | None, ...]
    outputs: tuple[Operand, ...]
    intermediates: tuple[Operand, ...]
    semantics: Semantics
    keep_gates: bool = False
    traces: dict[str, Any] = field(default_factory=dict)

    def operand(self, place: int) -> Operand:
        """The input at ``place``, which the op must have."""
        operand = self.inputs[place]
        if operand is None:
            raise ModelFileError(f"{self.kind} has no input {place}")
        return operand

    def integers(self, place: int) -> Integers:
        """Values of a quantized input."""
        return self.operand(place).data

    @property
    def output(self) -> Operand:
        """The first output."""
        return self.outputs[0]

    @property
    def activation(self) -> str:
        """The fused activation, NONE if there is none."""
        return str(self.options.get("fused_activation_function", "NONE"))

    @property
    def is_real(self) -> bool:
        """True if the first input is float32."""
        return self.operand(0).dtype == np.float32


def aligned(first: Operand, second: Operand) -> tuple[Integers, Integers]:
    """Values of two operands with their ranks made equal behind the axis of windows, so that they broadcast."""
    rank = max(len(first.shape), len(second.shape))

    def padded(operand: Operand) -> Integers:
        shape = (len(operand.data), *((1,) * (rank - len(operand.shape))), *operand.shape)
        return operand.data.reshape(shape)

    return padded(first), padded(second)


@dataclass(frozen=True)
class FloatCall:
    """An op on real numbers. ``inputs`` have the windows in place of the tensor's own first axis, which is 1; None for a
    missing one; integers (axes, shapes) as stored. ``shape`` is that of the output's tensor, ``count`` the windows.

    ``seen`` is called with "" for the op's output, or the name of something inside it, and its values; what it returns is used
    instead. ``traces`` collect what else the op shows.
    """

    kind: str
    options: Mapping[str, Any]
    inputs: tuple[Values | None, ...]
    shape: tuple[int, ...]
    count: int
    seen: Callable[[str, Values], Values]
    traces: dict[str, Values] = field(default_factory=dict)

    def has(self, place: int) -> bool:
        """True if the op has an input at ``place``."""
        return place < len(self.inputs) and self.inputs[place] is not None

    def read(self, place: int) -> Values:
        """The input at ``place``, which the op must have."""
        values = self.inputs[place] if place < len(self.inputs) else None
        if values is None:
            raise ModelFileError(f"{self.kind} has no input {place}")
        return values

    def activated(self, values: Values) -> Values:
        """``values`` after the op's fused activation; ModelFileError for others than NONE and RELU."""
        kind = self.options.get("fused_activation_function", "NONE")
        if kind == "RELU":
            return np.maximum(values, 0)
        if kind != "NONE":
            raise ModelFileError(f"op {self.kind} has activation {kind}; supported: NONE, RELU")
        return values
