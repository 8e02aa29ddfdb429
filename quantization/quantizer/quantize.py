"""From a float graph, its calibration and a recipe to an integer graph that LiteRT and TensorFlow Lite Micro both run.

Types: inputs, LSTM weights and hidden states int8, cell int16 with a power-of-two scale; behind the LSTMs int16 activations
with int8 weights (16x8) where the recipe says wide; the output int16 always, because an int8 output tensor alone
costs half of the whole error (its step would be 0.035 of a target with standard deviation 1.3), and float would
need a float op on targets without an FPU. Hidden states have zero point 0, so that widening them to int16 keeps their scale
and values.

The window graph and the stream graph of a checkpoint get the same scales by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.graph.ir import (
    ABSENT,
    Graph,
    Op,
    Quantization,
    Role,
    Tensor,
)
from quantization.ops.table import OpKind, Trait, has, row_of
from quantization.quantizer.calibration import (
    Calibration,
    ObservedRange,
    int8_affine,
    int8_range,
)
from quantization.quantizer.recipe import Recipe
from quantization.quantizer.weight_rounding import round_weights, symmetric_scale
from toolkit.errors import ModelFileError, UsageError

INT8, INT16, INT32, INT64 = (np.dtype(t) for t in (np.int8, np.int16, np.int32, np.int64))

#: LiteRT and TFLM demand a cell scale of 2^-k with k >= 9: 6 integer bits, so |cell| < 64.
_MOST_CELL_BITS = 6
#: The engines' int16 softmax tables end at exp(-10): an absent row's score must lie that far below every other.
_ABSENT_BELOW = 10.5


#: Roles whose type does not give way to that of what they are joined with: a QUANTIZE goes between.
_OWN_SCALE = frozenset({Role.INPUT, Role.HIDDEN, Role.NARROW, Role.ATTENTION_WEIGHTS, Role.SQUASHED})


@dataclass(frozen=True)
class _Type:
    dtype: np.dtype[Any]
    quantization: Quantization


def quantize(graph: Graph, calibration: Calibration, recipe: Recipe, window: Graph | None = None) -> Graph:
    """The integer graph. ``graph`` is float after the recipe's passes; ``calibration`` is of the window graph. Tensors
    of a stream graph get the types that those of the same names have in the integer graph of the float ``window``.

    Raises UsageError if a cell state exceeds what a power-of-two int16 scale can hold, ModelFileError if a bias does not
    fit 32 bits beside its weights.
    """
    return _Quantizer(graph, calibration, recipe, window).run()


class _Quantizer:
    def __init__(
        self, graph: Graph, calibration: Calibration, recipe: Recipe, window: Graph | None = None
    ) -> None:
        self.graph, self.calibration, self.recipe = graph, calibration, recipe
        self.groups = _groups(graph)
        self.types: dict[int, _Type] = {}
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self.place: dict[int, int] = {}
        self.casts: dict[tuple[int, str], int] = {}
        self.layers: dict[tuple[int, int, float, str], tuple[int, int]] = {}
        self.scores = _scores_limit(graph, calibration.ranges, recipe.headroom)
        self.window = {} if window is None else _members_by_name(window)

    def run(self) -> Graph:
        for index in self.graph.inputs:
            self._emit(index)
        for op in self.graph.ops:
            if op.kind == OpKind.UNIDIRECTIONAL_SEQUENCE_LSTM:
                self._lstm(op)
            else:
                self._op(op)
        graph = Graph(
            self.graph.name,
            tuple(self.tensors),
            tuple(self.ops),
            tuple(self.place[i] for i in self.graph.inputs),
            tuple(self.place[i] for i in self.graph.outputs),
            self.graph.metadata,
        )
        if self.graph.state is None:
            return graph
        return graph.with_state(
            (c.input_place, c.output_place, self._stored(self.graph.inputs[c.input_place], c.initial))
            for c in self.graph.state.carried
        )

    def _stored(self, index: int, real: float) -> int:
        """The integer that stands for ``real`` in a computed or fed tensor, saturated."""
        kind = self.type_of(index)
        limits = np.iinfo(kind.dtype)
        stored = np.rint(real / float(kind.quantization.scale[0])) + int(kind.quantization.zero_point[0])
        return int(np.clip(stored, limits.min, limits.max))

    # -- types ------------------------------------------------------------------------------------------------------

    def type_of(self, index: int) -> _Type:
        """Type of a computed or fed tensor: that of its group of equal quantization."""
        if index not in self.types:
            members = self.groups[index]
            chosen = self._choose(_members(self.graph, self.groups[index], self.window))
            # What the window has in one type may be in groups of its own here: the same type still needs no cast.
            same = (one for one in self.types.values() if self.window and _alike(one, chosen))
            chosen = next(same, chosen)
            self.types.update(dict.fromkeys(members, chosen))
        return self.types[index]

    def _choose(self, members: list[Tensor]) -> _Type:
        roles = {tensor.role for tensor in members}
        if roles & {Role.SCORES, Role.MASK}:
            return _Type(INT16, Quantization.per_tensor(float(np.float32(self.scores / 32767))))
        if roles & {Role.ATTENTION_WEIGHTS, Role.SQUASHED}:
            return _Type(INT16, Quantization.per_tensor(1 / 32768))
        observed = self._observed(members)
        if any(_is_wide(role, self.recipe) for role in roles):
            limit = observed.largest * self.recipe.headroom or 1.0
            return _Type(INT16, Quantization.per_tensor(float(np.float32(limit / 32767))))
        symmetric = Role.HIDDEN in roles
        low, high = int8_range(observed, self.recipe.calibration, self.recipe.percentile, symmetric=symmetric)
        return _Type(INT8, Quantization.per_tensor(*int8_affine(low, high, symmetric=symmetric)))

    def _observed(self, members: list[Tensor]) -> ObservedRange:
        ranges = self.calibration.ranges
        return _joined([ranges[tensor.name] for tensor in members if tensor.name in ranges])

    # -- tensors ----------------------------------------------------------------------------------------------------

    def _append(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _emit(self, index: int) -> int:
        """The integer form of a computed or fed tensor."""
        if index not in self.place:
            tensor, kind = self.graph.tensors[index], self.type_of(index)
            self.place[index] = self._append(
                replace(tensor, dtype=kind.dtype, quantization=kind.quantization)
            )
        return self.place[index]

    def _plain(self, index: int) -> int:
        """A constant of axes or shape, as it is."""
        if index not in self.place:
            self.place[index] = self._append(self.graph.tensors[index])
        return self.place[index]

    def _constant(self, name: str, data: NDArray[Any], scale: float) -> int:
        return self._append(Tensor(name, data.shape, data.dtype, Quantization.per_tensor(scale), data))

    def _as(self, index: int, wanted: np.dtype[Any]) -> int:
        """The tensor in type ``wanted``, through a QUANTIZE op where it has another."""
        here = self.place[index]
        kind = self.type_of(index)
        if kind.dtype == wanted:
            return here
        key = (index, wanted.name)
        if key not in self.casts:
            name = self.graph.tensors[index].name
            cast = self._append(
                Tensor(
                    f"{name}/{wanted.name}",
                    self.graph.tensors[index].shape,
                    wanted,
                    self._cast_scale(index, wanted),
                )
            )
            self.ops.append(Op(OpKind.QUANTIZE, (here,), (cast,)))
            self.casts[key] = cast
        return self.casts[key]

    def _matched(self, index: int, wanted: _Type) -> int:
        """The tensor in ``wanted`` type and scale, through a QUANTIZE op where it has others."""
        here, kind = self.place[index], self.type_of(index)
        if kind is wanted:
            return here
        name = self.graph.tensors[index].name
        count = sum(key[0] == index for key in self.casts)
        out = self._append(
            Tensor(
                f"{name}/matched/{count}", self.graph.tensors[index].shape, wanted.dtype, wanted.quantization
            )
        )
        self.casts[index, f"matched/{count}"] = out
        self.ops.append(Op(OpKind.QUANTIZE, (here,), (out,)))
        return out

    def _cast_scale(self, index: int, wanted: np.dtype[Any]) -> Quantization:
        kind = self.type_of(index)
        scale, zero_point = float(kind.quantization.scale[0]), int(kind.quantization.zero_point[0])
        if wanted == INT16:
            if zero_point == 0:
                return Quantization.per_tensor(scale)  # the same values in more bits
            limit = scale * max(127 - zero_point, 128 + zero_point)
            return Quantization.per_tensor(float(np.float32(limit / 32767)))
        observed = self._observed(_members(self.graph, self.groups[index], self.window))
        low, high = int8_range(observed, self.recipe.calibration, self.recipe.percentile, symmetric=False)
        return Quantization.per_tensor(*int8_affine(low, high, symmetric=False))

    # -- ops --------------------------------------------------------------------------------------------------------

    def _op(self, op: Op) -> None:
        dtype = self.type_of(op.outputs[0]).dtype
        if op.kind == OpKind.FULLY_CONNECTED:
            self._dense(op, dtype)
            return
        inputs = []
        for place, index in enumerate(op.inputs):
            if place in row_of(op.kind).plain:
                inputs.append(self._plain(index))
            elif self.graph.tensors[index].data is not None:
                inputs.append(self._value(index, op, dtype))
            elif op.kind == OpKind.CONCATENATION:
                inputs.append(self._matched(index, self.type_of(op.outputs[0])))
            else:
                inputs.append(self._as(index, dtype))
        self.ops.append(Op(op.kind, tuple(inputs), (self._emit(op.outputs[0]),), op.options))

    def _value(self, index: int, op: Op, dtype: np.dtype[Any]) -> int:
        """A constant that takes part in arithmetic: in the output's quantization where the op copies, else in its own."""
        data = self.graph.tensors[index].data
        assert data is not None
        limits = np.iinfo(dtype)
        if has(op, Trait.MOVES):
            quantization = self.type_of(op.outputs[0]).quantization
            scale, zero_point = float(quantization.scale[0]), int(quantization.zero_point[0])
        else:
            scale = float(np.float32(float(np.abs(data).max(initial=0.0)) / limits.max)) or 1.0
            zero_point = 0
        stored = np.clip(np.rint(data.astype(np.float64) / scale) + zero_point, limits.min, limits.max)
        name = self.graph.tensors[index].name
        return self._append(
            Tensor(name, data.shape, dtype, Quantization.per_tensor(scale, zero_point), stored.astype(dtype))
        )

    def _dense(self, op: Op, dtype: np.dtype[Any]) -> None:
        x = self._as(op.inputs[0], dtype)
        source = self.tensors[x].quantization
        assert source is not None
        # A layer that runs at every step is stored once.
        key = (op.inputs[1], op.inputs[2], float(source.scale[0]), dtype.name)
        if key not in self.layers:
            self.layers[key] = self._weights(op, float(source.scale[0]), dtype)
        self.ops.append(Op(op.kind, (x, *self.layers[key]), (self._emit(op.outputs[0]),), op.options))

    def _weights(self, op: Op, input_scale: float, dtype: np.dtype[Any]) -> tuple[int, int]:
        """Weight and bias of a FULLY_CONNECTED as integers."""
        weight, bias = (self.graph.tensors[i] for i in op.inputs[1:3])
        assert weight.data is not None and bias.data is not None
        scale = symmetric_scale(weight.data)
        stored, corrected = round_weights(
            weight.data.astype(np.float64),
            bias.data.astype(np.float64),
            np.full(weight.shape[1], scale),
            self.calibration.moments.get(weight.name),
            self.recipe.weight_rounding,
        )
        bias_scale = input_scale * scale
        bias_type = INT32 if dtype == INT8 else INT64
        return (
            self._constant(weight.name, stored, scale),
            self._constant(bias.name, _bias(bias.name, corrected, bias_scale, bias_type), bias_scale),
        )

    def _lstm(self, op: Op) -> None:
        x = self._as(op.inputs[0], INT8)
        out = self._emit(op.outputs[0])
        name = self.graph.tensors[op.outputs[0]].name
        source, hidden = self.tensors[x].quantization, self.tensors[out].quantization
        assert source is not None and hidden is not None
        inputs = [x, *[ABSENT] * 23]
        for gate in range(4):
            self._gate(op, gate, float(source.scale[0]), inputs)
        cell_bits = self._cell_bits(name)
        state, cell = (self.graph.tensors[i] for i in op.inputs[18:20])
        cell_scale = Quantization.per_tensor(2.0 ** (cell_bits - 15))
        inputs[18] = self._append(Tensor(state.name, state.shape, INT8, hidden, None, True))
        inputs[19] = self._append(Tensor(cell.name, cell.shape, INT16, cell_scale, None, True))
        intermediates = [
            self._append(Tensor(f"{name}/intermediate/{i}", (0,), np.dtype(np.float32))) for i in range(4)
        ]
        intermediates.append(self._append(Tensor(f"{name}/intermediate/hidden", (0,), INT8, hidden)))
        # The clip is what int16 saturates at anyway: said, so that no engine puts a clip of its own.
        options = {**op.options, "cell_clip": 2.0**cell_bits}
        self.ops.append(Op(op.kind, tuple(inputs), (out,), options, tuple(intermediates)))

    def _gate(self, op: Op, gate: int, input_scale: float, inputs: list[int]) -> None:
        """Input weights, recurrent weights and bias of one gate, rounded together: they act on one sum."""
        driven, recurrent, bias = (self.graph.tensors[op.inputs[first + gate]] for first in (1, 5, 12))
        assert driven.data is not None and recurrent.data is not None and bias.data is not None
        scales = symmetric_scale(driven.data), symmetric_scale(recurrent.data)
        widths = driven.shape[1], recurrent.shape[1]
        stored, corrected = round_weights(
            np.concatenate([driven.data, recurrent.data], axis=1).astype(np.float64),
            bias.data.astype(np.float64),
            np.repeat(scales, widths),
            self.calibration.moments.get(self.graph.tensors[op.inputs[1]].name),
            self.recipe.weight_rounding,
        )
        bias_scale = input_scale * scales[0]
        inputs[1 + gate] = self._constant(
            driven.name, np.ascontiguousarray(stored[:, : widths[0]]), scales[0]
        )
        inputs[5 + gate] = self._constant(
            recurrent.name, np.ascontiguousarray(stored[:, widths[0] :]), scales[1]
        )
        inputs[12 + gate] = self._constant(
            bias.name, _bias(bias.name, corrected, bias_scale, INT32), bias_scale
        )

    def _cell_bits(self, name: str) -> int:
        """Integer bits of the cell's int16: the power of two at or above its largest magnitude, with an eighth to spare."""
        largest = self.calibration.ranges[f"{name}/cell"].largest
        bits = max(0, math.ceil(math.log2(max(largest * 1.125, 2.0**-6))))
        if bits > _MOST_CELL_BITS:
            raise UsageError(
                f"the cell state of {name} reaches {largest:.1f}; an int16 with a power-of-two scale holds less than "
                f"{2**_MOST_CELL_BITS} on LiteRT and TensorFlow Lite Micro: train with weight decay, or check the normaliser"
            )
        return bits


def _members(graph: Graph, group: list[int], window: Mapping[str, list[Tensor]]) -> list[Tensor]:
    """The tensors that decide a type: those of a group, or of the window's groups with the same names."""
    own = [graph.tensors[i] for i in group]
    theirs = {id(t): t for one in own for t in window.get(one.name, ())}
    return list(theirs.values()) or own


def _members_by_name(graph: Graph) -> dict[str, list[Tensor]]:
    """The tensors of each tensor's group, by its name."""
    members = ([graph.tensors[i] for i in group] for group in _groups(graph))
    return {tensor.name: group for tensor, group in zip(graph.tensors, members)}


def _alike(a: _Type, b: _Type) -> bool:
    scales = np.array_equal(a.quantization.scale, b.quantization.scale)
    return (
        a.dtype == b.dtype and scales and np.array_equal(a.quantization.zero_point, b.quantization.zero_point)
    )


def _is_wide(role: Role | None, recipe: Recipe) -> bool:
    if role == Role.NORM:
        return "norm" in recipe.wide
    if role == Role.HEAD:
        return "head" in recipe.wide
    return role in (Role.ATTENTION, Role.OUTPUT)


def _bias(name: str, values: NDArray[np.floating[Any]], scale: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    limits = np.iinfo(dtype if dtype == INT32 else np.dtype(np.int32))
    stored = np.rint(values / scale)
    if dtype == INT32 and np.abs(stored).max(initial=0) > limits.max:
        raise ModelFileError(
            f"{name} reaches {np.abs(values).max():.3g}, {np.abs(stored).max():.2g} steps of its weights' scale; int32 "
            "holds 2.1e+09: its weights are almost zero; set them to zero, or train without whatever drives them there"
        )
    result: NDArray[Any] = stored.astype(dtype)
    return result


def _groups(graph: Graph) -> list[list[int]]:
    """For every tensor, the tensors that must share its quantization (itself among them)."""
    parent = list(range(len(graph.tensors)))

    def root(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    for left, right in _pairs(graph):
        parent[root(left)] = root(right)
    members: dict[int, list[int]] = {}
    for index in range(len(graph.tensors)):
        members.setdefault(root(index), []).append(index)
    return [members[root(index)] for index in range(len(graph.tensors))]


def _pairs(graph: Graph) -> Iterator[tuple[int, int]]:
    for op in graph.ops:
        if has(op, Trait.MOVES):
            plain = row_of(op.kind).plain
            for place, index in enumerate(op.inputs):
                if place in plain or graph.tensors[index].data is not None:
                    continue
                role = graph.tensors[index].role
                joins_others = op.kind == OpKind.CONCATENATION and role != graph.tensors[op.outputs[0]].role
                if not (joins_others and role in _OWN_SCALE):
                    yield index, op.outputs[0]
    for one in () if graph.state is None else graph.state.carried:
        yield graph.outputs[one.output_place], graph.inputs[one.input_place]
    families: dict[str, int] = {}
    for index, tensor in enumerate(graph.tensors):
        if tensor.family is not None:
            yield index, families.setdefault(tensor.family, index)


def _joined(ranges: list[ObservedRange]) -> ObservedRange:
    if not ranges:
        return ObservedRange(0.0, 0.0, np.zeros(1))
    return ObservedRange(
        min(s.low for s in ranges),
        max(s.high for s in ranges),
        np.concatenate([s.sample for s in ranges]),
    )


def _scores_limit(graph: Graph, ranges: Mapping[str, ObservedRange], headroom: float) -> float:
    """Full scale of all attention scores: room for the largest, and for an absent row below the smallest."""
    scores = [t.name for t in graph.tensors if t.role == Role.SCORES and t.name in ranges]
    largest = max((ranges[name].largest for name in scores), default=1.0)
    return largest * headroom + _ABSENT_BELOW
