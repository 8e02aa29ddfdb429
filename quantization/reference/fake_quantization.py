"""The float replica of an integer graph, in which each tensor and each op's weights can be rounded or left alone.

The replica has the integer graph's ops with float tensors and the float weights; QUANTIZE and DEQUANTIZE copy.
Rounding one tensor to its quantization ("fake quantization", Jacob et al. 2018, arXiv:1712.05877, section 3) shows
what that tensor costs at the output; rounding it to 16 bits over the same range shows what 16 bits there would
give back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.affine import Affine
from quantization.graph.ir import Graph, Op, Tensor
from quantization.ops.lstm import CELL_STATE
from quantization.ops.table import OpKind, Trait, has
from quantization.reference import float_graph as float_interpreter

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Source:
    """Something that quantization rounds: a tensor, an LSTM's cell state (``NAME/cell``), or an op's constants.

    ``tensor`` is the tensor's name, for weights the op's output; ``bits`` is 8 or 16; ``stage`` is ``lstm`` up to the last
    LSTM and ``tail`` behind it.
    """

    name: str
    kind: Literal["tensor", "cell", "weights"]
    tensor: str
    op: str
    bits: int
    stage: Literal["lstm", "tail"]


def rounded(values: Values, quantization: Affine, *, wide: bool = False) -> Values:
    """Values on the grid of ``quantization``; ``wide`` divides the same range into 65,536 steps."""
    low, high = quantization.range
    scale = float(quantization.single)
    if wide and quantization.bits == 8:
        start = scale * (low - quantization.zero_point)
        step = scale * (high - low) / 65535.0
        on_grid: Values = np.clip(np.rint((values - start) / step), 0, 65535) * step + start
        return on_grid
    stored = np.clip(np.rint(values / scale) + quantization.zero_point, low, high)
    result: Values = (stored - quantization.zero_point) * scale
    return result


def _matched_constants(integer: Graph, real: Graph | None) -> dict[int, NDArray[Any]]:
    """Float values of the integer graph's constants: from the op of the same kind and output name, where shapes agree."""
    if real is None:
        return {}
    producers = {(op.kind, real.tensors[op.outputs[0]].name): op for op in real.ops}
    found: dict[int, NDArray[Any]] = {}
    for op in integer.ops:
        source = producers.get((op.kind, integer.tensors[op.outputs[0]].name))
        if source is None or len(source.inputs) != len(op.inputs):
            continue
        for mine, other in zip(op.inputs, source.inputs):
            if mine < 0 or other < 0:
                continue
            data, values = integer.tensors[mine].data, real.tensors[other].data
            if data is None or values is None or integer.tensors[mine].quantization is None:
                continue
            if data.shape == values.shape:
                found[mine] = values
    return found


def _dequantized(tensor: Tensor) -> NDArray[np.float64]:
    """Real values of a quantized constant."""
    assert tensor.data is not None and tensor.quantization is not None
    scale = tensor.quantization.scale.astype(np.float64)
    if scale.size > 1:
        shape = [1] * len(tensor.shape)
        shape[tensor.quantization.axis] = scale.size
        values: NDArray[np.float64] = tensor.data * scale.reshape(shape)
        return values
    values = tensor.data.astype(np.float64) - tensor.quantization.zero_point[0]
    return values * scale


class FloatReplica:
    """The float replica of ``integer``, its weights from ``real`` (the float graph of the same model) where they match.

    Without ``real``, or where an op has no partner in it, weights are those that the integers stand for; then
    ``exact_weights`` is False and rounding of weights shows no loss.
    """

    def __init__(self, integer: Graph, real: Graph | None = None) -> None:
        self.integer = integer
        self._float = _matched_constants(integer, real)
        self._constants = {
            index: _dequantized(tensor)
            for index, tensor in integer.constants()
            if tensor.quantization is not None
        }
        self.exact_weights = set(self._constants) <= set(self._float)
        self._affine = {
            tensor.name: found
            for tensor in integer.tensors
            if tensor.data is None and (found := tensor.affine) is not None
        }
        self._owner = self._owners()
        self._head, self._border = self._split()
        self.sources = tuple(self._find_sources())

    def _owners(self) -> dict[int, str]:
        """Constant -> name of the weights source of the first op that reads it."""
        owner: dict[int, str] = {}
        for op in self.integer.ops:
            for index in op.inputs:
                if index in self._constants:
                    owner.setdefault(index, f"{self.integer.tensors[op.outputs[0]].name} weights")
        return owner

    def _split(self) -> tuple[tuple[Op, ...], tuple[int, ...]]:
        """The LSTMs with all they depend on, and the tensors that the ops behind them read from there."""
        producer = {index: op for op in self.integer.ops for index in op.outputs}
        needed: list[Op] = []
        waiting = [op for op in self.integer.ops if op.kind == OpKind.UNIDIRECTIONAL_SEQUENCE_LSTM]
        while waiting:
            op = waiting.pop()
            if op not in needed:
                needed.append(op)
                waiting.extend(producer[index] for index in op.inputs if index in producer)
        head = tuple(op for op in self.integer.ops if op in needed)
        made = {index for op in head for index in op.outputs} | set(self.integer.inputs)
        tail = [op for op in self.integer.ops if op not in needed]
        border = {index for op in tail for index in op.inputs if index in made}
        return head, tuple(sorted(border))

    def _find_sources(self) -> list[Source]:
        tensors = self.integer.tensors
        found = [
            Source(
                tensors[i].name,
                "tensor",
                tensors[i].name,
                "input",
                self._affine[tensors[i].name].bits,
                "lstm",
            )
            for i in self.integer.inputs
            if tensors[i].name in self._affine
        ]
        for op in self.integer.ops:
            out = tensors[op.outputs[0]]
            stage: Literal["lstm", "tail"] = "lstm" if op in self._head else "tail"
            owned = [i for i, owner in self._owner.items() if owner == f"{out.name} weights"]
            if owned:
                bits = min(8 * tensors[i].dtype.itemsize for i in owned)
                found.append(Source(f"{out.name} weights", "weights", out.name, op.kind, bits, stage))
            if op.kind == OpKind.UNIDIRECTIONAL_SEQUENCE_LSTM:
                bits = 8 * tensors[op.inputs[CELL_STATE]].dtype.itemsize
                found.append(Source(f"{out.name}/cell", "cell", out.name, op.kind, bits, stage))
            if out.name in self._affine and not self._copies(op):
                bits = self._affine[out.name].bits
                found.append(Source(out.name, "tensor", out.name, op.kind, bits, stage))
        return found

    def _copies(self, op: Op) -> bool:
        """True if the op's output holds integers of its inputs."""
        if not has(op, Trait.MOVES, Trait.CONVERTS):
            return False
        out = self._affine[self.integer.tensors[op.outputs[0]].name]
        for index in op.inputs:
            before = self._affine.get(self.integer.tensors[index].name) if index >= 0 else None
            if before is not None and (before.single, before.zero_point) != (out.single, out.zero_point):
                return False
        return True

    def quantization_of(self, name: str) -> Affine:
        """Quantization of a computed tensor, or of an LSTM's cell state by ``NAME/cell``."""
        if name in self._affine:
            return self._affine[name]
        lstm = next(
            op
            for op in self.integer.ops
            if op.kind == OpKind.UNIDIRECTIONAL_SEQUENCE_LSTM
            and f"{self.integer.tensors[op.outputs[0]].name}/cell" == name
        )
        return self._affine[self.integer.tensors[lstm.inputs[CELL_STATE]].name]

    def _graph(self, active: Collection[str], wide: Collection[str]) -> Graph:
        """The replica with the constants of the ``active`` weights sources rounded."""
        tensors = []
        for index, tensor in enumerate(self.integer.tensors):
            data = tensor.data
            if index in self._constants:
                data = self._weights(index, active, wide)
            elif data is not None:
                data = np.atleast_1d(data)  # an axis may be a scalar in a foreign file
            dtype = np.dtype(np.float64) if data is None else data.dtype
            shape = tensor.shape if data is None else data.shape
            tensors.append(replace(tensor, shape=shape, dtype=dtype, data=data, quantization=None))
        ops = tuple(
            replace(op, kind=OpKind.RESHAPE, options={}) if has(op, Trait.CONVERTS) else op
            for op in self.integer.ops
        )
        return replace(self.integer, tensors=tuple(tensors), ops=ops)

    def _weights(self, index: int, active: Collection[str], wide: Collection[str]) -> NDArray[np.float64]:
        stored = self._constants[index]
        real = self._float.get(index)
        exact = stored if real is None else real.astype(np.float64)
        owner = self._owner.get(index)
        if owner in wide:
            step = self._scale_of(index) / 256.0
            on_grid: NDArray[np.float64] = np.rint(exact / step) * step
            return on_grid
        return stored if owner in active else exact

    def _scale_of(self, index: int) -> NDArray[np.float64]:
        tensor = self.integer.tensors[index]
        assert tensor.quantization is not None
        scale = tensor.quantization.scale.astype(np.float64)
        shape = [1] * len(tensor.shape)
        if scale.size > 1:
            shape[tensor.quantization.axis] = scale.size
        return scale.reshape(shape)

    def _hook(self, active: Collection[str], wide: Collection[str]) -> float_interpreter.Hook:
        def hook(name: str, values: Values) -> Values:
            if name not in active and name not in wide:
                return values
            return rounded(values, self.quantization_of(name), wide=name in wide)

        return hook

    def run(
        self, inputs: Mapping[str, Values], active: Collection[str] = (), wide: Collection[str] = ()
    ) -> dict[str, Values]:
        """Every tensor by name, (N, *shape without its first axis).

        The sources named in ``active`` are rounded to their quantization, those in ``wide`` to 16 bits.
        """
        graph = self._graph(active, wide)
        return float_interpreter.run(graph, inputs, hook=self._hook(active, wide))

    def run_tail(
        self, before: Mapping[str, Values], active: Collection[str] = (), wide: Collection[str] = ()
    ) -> dict[str, Values]:
        """The ops behind the LSTMs alone, on the tensors of an earlier :meth:`run`."""
        graph = self._graph(active, wide)
        tail = tuple(op for op, mine in zip(graph.ops, self.integer.ops) if mine not in self._head)
        tail_graph = replace(graph, ops=tail, inputs=self._border)
        names = [self.integer.tensors[index].name for index in self._border]
        return float_interpreter.run(
            tail_graph, {name: before[name] for name in names}, hook=self._only_behind(active, wide, names)
        )

    def _only_behind(
        self, active: Collection[str], wide: Collection[str], border: Collection[str]
    ) -> float_interpreter.Hook:
        hook = self._hook(active, wide)
        return lambda name, values: values if name in border else hook(name, values)
