"""The intermediate form: tensors with shape, type and quantization, ops in the order they run, one graph.

Small on purpose: what the Cross-LSTM needs, in TensorFlow Lite's words, so that a graph is read from and written to a
.tflite without loss (:mod:`quantization.tflite.file`), run by the integer reference and turned into C.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.affine import Affine
from quantization.graph.state import CarriedTensor, StateVariable, StreamState
from toolkit.errors import ModelFileError

#: An optional input that an op does not have.
ABSENT = -1


@dataclass(frozen=True)
class Quantization:
    """``real = scale * (stored - zero_point)``; one scale a tensor, or one a slice along ``axis`` with zero points 0."""

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int = 0

    @classmethod
    def per_tensor(cls, scale: float, zero_point: int = 0) -> Quantization:
        """One scale and zero point for the whole tensor."""
        return cls(np.array([scale], np.float32), np.array([zero_point], np.int64))


class Role(Enum):
    """What a computed or fed tensor is to the model: set where the model is lowered, asked for where it is quantized."""

    INPUT = auto()
    #: Hidden states of an LSTM layer, and what only holds such: rings, memories, the newest row.
    HIDDEN = auto()
    #: Cell state of an LSTM layer.
    CELL = auto()
    #: Attention scores, capped or not.
    SCORES = auto()
    #: Which rows of the rings have been written; it caps the scores.
    MASK = auto()
    ATTENTION_WEIGHTS = auto()
    #: Results of a sigmoid or tanh, whose scale the engines fix.
    SQUASHED = auto()
    #: All else inside the attention: query, keys, values, context.
    ATTENTION = auto()
    #: Results of an op that engines have in int8 only.
    NARROW = auto()
    #: Residual and layer norm.
    NORM = auto()
    #: Between the norms and the output.
    HEAD = auto()
    OUTPUT = auto()


@dataclass(frozen=True, eq=False)
class Tensor:
    """``data`` is None for what is computed or fed; ``is_variable`` marks state that an engine keeps between runs.

    ``role`` is None for constants, and in a graph that was read from a file. Tensors of one ``family`` get one quantization:
    the steps of a layer that is written out step by step.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    quantization: Quantization | None = None
    data: NDArray[Any] | None = None
    is_variable: bool = False
    role: Role | None = None
    family: str | None = None

    def __post_init__(self) -> None:
        if self.data is not None and (self.data.shape != self.shape or self.data.dtype != self.dtype):
            raise ModelFileError(
                f"tensor {self.name!r} is {self.dtype} {self.shape} and its data {self.data.dtype} {self.data.shape}"
            )

    @property
    def affine(self) -> Affine | None:
        """Its quantization in the form that the arithmetic takes; None if it has none."""
        quantization = self.quantization
        if quantization is None or np.size(quantization.scale) == 0:
            return None
        zero_points = np.atleast_1d(np.asarray(quantization.zero_point, np.int64))
        scales = np.atleast_1d(np.asarray(quantization.scale, np.float32))
        return Affine(scales, int(zero_points[0]) if zero_points.size else 0, 8 * self.dtype.itemsize)

    @property
    def size_bytes(self) -> int:
        """Bytes of its values."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True)
class Op:
    """``kind`` is TensorFlow Lite's builtin name; tensors are indices into ``Graph.tensors``, ABSENT for a missing input.

    ``options`` are the schema's fields in snake_case; enumerations by name (``fused_activation_function: "RELU"``).
    ``intermediates`` only carry quantization (of an LSTM's gates and hidden state).
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    intermediates: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Graph:
    """Ops in running order over ``tensors``; ``inputs`` and ``outputs`` are tensor indices. ``metadata``: name -> bytes.

    ``state`` is what a stream graph carries; a .tflite does not hold it, and whoever reads one adds it.
    """

    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    state: StreamState | None = None

    def __post_init__(self) -> None:
        count = len(self.tensors)
        for place, op in enumerate(self.ops):
            for index in (*op.inputs, *op.outputs, *op.intermediates):
                if not ABSENT <= index < count:
                    raise ModelFileError(
                        f"op {place} ({op.kind}) names tensor {index}; the graph has {count}"
                    )
        for index in (*self.inputs, *self.outputs):
            if not 0 <= index < count:
                raise ModelFileError(f"an input or output is tensor {index}; the graph has {count}")

    def index(self, name: str) -> int:
        """Index of the tensor called ``name``; ModelFileError if there is none."""
        for index, tensor in enumerate(self.tensors):
            if tensor.name == name:
                return index
        raise ModelFileError(f"tensor {name!r} is not in graph {self.name!r}")

    def tensor(self, name: str) -> Tensor:
        """The tensor called ``name``; ModelFileError if there is none."""
        return self.tensors[self.index(name)]

    def constants(self) -> Iterator[tuple[int, Tensor]]:
        """Tensors with data, with their indices."""
        return ((index, tensor) for index, tensor in enumerate(self.tensors) if tensor.data is not None)

    def with_metadata(self, **entries: bytes) -> Graph:
        """The same graph with more metadata; dots in names are written as they are: pass a dict with ``**``."""
        return replace(self, metadata={**self.metadata, **entries})

    def with_state(self, carried: Iterable[tuple[int, int, float]]) -> Graph:
        """The same graph as a stream's: (place of an input, place of the output that follows it, stored value at a reset)."""
        state = StreamState(
            tuple(self._carried(*one) for one in carried),
            tuple(StateVariable(t.name, t.shape, t.dtype.name) for t in self.tensors if t.is_variable),
        )
        return replace(self, state=state)

    def _carried(self, source: int, target: int, initial: float) -> CarriedTensor:
        tensor, following = self.tensors[self.inputs[source]], self.tensors[self.outputs[target]]
        start = initial if np.issubdtype(tensor.dtype, np.floating) else int(initial)
        return CarriedTensor(
            tensor.name, following.name, source, target, tensor.shape, tensor.dtype.name, start
        )

    def carrying(self, state: StreamState | None) -> Graph:
        """The same graph with the ``state`` that a manifest describes; ModelFileError if that is not of this graph."""
        for one in () if state is None else state.carried:
            if not (0 <= one.input_place < len(self.inputs) and 0 <= one.output_place < len(self.outputs)):
                raise ModelFileError(
                    f"graph {self.name!r} carries {one.input!r} from place {one.output_place} to place {one.input_place}, and "
                    f"has {len(self.inputs)} inputs and {len(self.outputs)} outputs: convert again"
                )
            ends = self.tensors[self.inputs[one.input_place]], self.tensors[self.outputs[one.output_place]]
            for name, tensor in zip((one.input, one.output), ends):
                if (tensor.name, tensor.shape, tensor.dtype.name) != (name, one.shape, one.dtype):
                    raise ModelFileError(
                        f"graph {self.name!r} carries {name!r}, {one.dtype} {one.shape}, and has {tensor.name!r}, "
                        f"{tensor.dtype} {tensor.shape}, in its place: convert again"
                    )
        return replace(self, state=state)

    def with_same_state(self, other: Graph) -> Graph:
        """The same graph carrying what ``other`` carries, at the same places and from the same stored values."""
        if other.state is None:
            return replace(self, state=None)
        return self.with_state((c.input_place, c.output_place, c.initial) for c in other.state.carried)


class GraphBuilder:
    """Collects tensors and ops; ``build`` gives the graph. Names are unique: adding one twice is an error of ours."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self._names: set[str] = set()
        self._role: Role | None = None

    @contextmanager
    def part(self, role: Role) -> Iterator[None]:
        """Tensors added in this block have ``role``, unless another is given."""
        before, self._role = self._role, role
        yield
        self._role = before

    def add(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: Any = np.float32,
        quantization: Quantization | None = None,
        *,
        is_variable: bool = False,
        role: Role | None = None,
    ) -> int:
        """A tensor without data; returns its index."""
        tensor = Tensor(name, shape, np.dtype(dtype), quantization, None, is_variable, role or self._role)
        return self._append(tensor)

    def constant(self, name: str, data: NDArray[Any], quantization: Quantization | None = None) -> int:
        """A tensor with data; returns its index."""
        return self._append(
            Tensor(name, tuple(data.shape), data.dtype, quantization, np.ascontiguousarray(data))
        )

    def op(
        self,
        kind: str,
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        intermediates: tuple[int, ...] = (),
        **options: Any,
    ) -> None:
        """Append an op."""
        self.ops.append(Op(kind, inputs, outputs, options, intermediates))

    def build(self, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> Graph:
        """The graph."""
        return Graph(self.name, tuple(self.tensors), tuple(self.ops), inputs, outputs)

    def _append(self, tensor: Tensor) -> int:
        assert tensor.name not in self._names, f"tensor {tensor.name} was added twice"
        self._names.add(tensor.name)
        self.tensors.append(tensor)
        return len(self.tensors) - 1
