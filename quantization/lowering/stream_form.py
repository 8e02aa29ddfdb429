"""From any window graph to its stream graph: one row in, the same moments out, with what earlier rows left behind carried on.

The pass walks the window graph and knows of each tensor how it stands in time. *Steps*: row r is what a signal gives at step
r + first, so the stream computes the signal's newest row and nothing else. *Whole*: what does not run in time, or holds all
rows of a memory at once; it is computed as in the window. So an op that goes row by row stays as it is, on one row; an LSTM
keeps its state; a row of before (a tap of a causal convolution) is read from a ring; what takes many rows at once (keys and
values of an attention, a mean over time, a flattened window) takes a ring's memory; the selection of the last step vanishes.

After T steps from reset the graph has computed the window's output, with the window's own ops on the window's own numbers, so
that in integers it is equal to the last bit. That holds by construction or not at all: where an op asks for a row that
has not been yet, :class:`NoStreamError` names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from quantization.graph.ir import ABSENT, Graph, Op
from quantization.lowering.stream_parts import Signal, Span, StreamParts
from quantization.ops.table import OpKind, Trait, has, row_of
from quantization.ops.views import view_results


class NoStreamError(Exception):
    """``tensor``: the name of what is computed where the stream ends, if it is not what was asked for; ``reason``: why."""

    def __init__(self, reason: str, tensor: str = "") -> None:
        super().__init__(f"{tensor} {reason}" if tensor else reason)
        self.tensor, self.reason = tensor, reason


@dataclass(frozen=True, eq=False)
class Steps:
    """Row r of ``count`` is what ``signal`` gives at step r + ``first``. ``ahead``: only the newest row follows from what has
    been, by the tensor named. ``scores``: the rows of a memory that its last axis runs over."""

    signal: Signal
    first: int
    count: int
    ahead: str | None = None
    scores: Span | None = None


@dataclass(frozen=True, eq=False)
class Whole:
    """A tensor of the stream graph in the window's shape. ``rows``: the rows of a memory that lie along ``axis``."""

    tensor: int
    rows: Span | None = None
    axis: int = 0


@dataclass(frozen=True)
class NoSteps:
    """What was moved as no stream can, and has not been computed with."""

    reason: str


def stream_form(graph: Graph, rings: Mapping[str, str] | None = None) -> Graph:
    """The stream graph of a float window graph before any pass; ``rings`` names the rings of tensors, else they are named after
    them. Raises NoStreamError."""
    named = rings or {}
    first = _Walk(graph, named, {})
    first.run()
    return _Walk(graph, named, first.parts.found).run()


class _Walk:
    """One walk over the window graph; the first one finds how deep the rings must be."""

    def __init__(self, graph: Graph, rings: Mapping[str, str], depths: Mapping[int, int]) -> None:
        self.graph, self.rings = graph, rings
        self.parts = StreamParts(graph, depths)
        self.values: dict[int, Steps | Whole | NoSteps] = {}
        self.pending: list[tuple[int, Signal]] = []
        counts = {graph.tensors[index].shape[1] for index in graph.inputs}
        if len(counts) != 1 or max(counts) < 2:
            raise NoStreamError("has windows of one step", graph.tensors[graph.inputs[0]].name)
        self.steps = counts.pop()

    def run(self) -> Graph:
        inputs = []
        for index in self.graph.inputs:
            shape = self.graph.tensors[index].shape
            inputs.append(self.parts.result(index, (1, 1, *shape[2:])))
            self._give(index, inputs[-1], 0, self.steps)
        for place, op in enumerate(self.graph.ops):
            self._named(op)
            self._join(self.graph.ops[place + 1] if place + 1 < len(self.graph.ops) else None)
        output = self.values[self.graph.outputs[0]]
        if not isinstance(output, Whole):
            raise NoStreamError("is given for all steps", self._name(self.graph.outputs[0]))
        return self.parts.build(tuple(inputs), output.tensor)

    def _join(self, following: Op | None) -> None:
        """Rings of what has just been computed, behind the rows that are taken of it."""
        for entry in list(self.pending):
            index, signal = entry
            if following is not None and following.kind == "STRIDED_SLICE" and following.inputs[0] == index:
                continue
            if self.parts.is_pending(signal):
                self.parts.memory(signal, 0)
            self.pending.remove(entry)

    # -- values -----------------------------------------------------------------------------------------------------

    def _name(self, index: int) -> str:
        return self.graph.tensors[index].name

    def _give(self, index: int, tensor: int, first: int, count: int, ahead: str | None = None) -> Steps:
        """A new signal for the window's tensor ``index``."""
        name = self.rings.get(self._name(index), self._name(index))
        signal = Signal(tensor, index, f"{name}/ring", f"{name}/memory", self.graph.tensors[index].role)
        value = Steps(signal, first, count, ahead)
        self.values[index] = value
        self.pending.append((index, signal))
        return value

    def _read(self, value: Steps, first: int) -> int:
        """One row: what stands beside a row that belongs to step ``first``, when its own belongs to ``value.first``."""
        self._require_past(value, first + value.count - 1)
        if first != value.first:
            self._require_all(value)
        return self.parts.span(value.signal, Span(1, first - value.first))

    def _whole(self, index: int) -> Whole:
        """All rows of a tensor at once."""
        value = self.values.get(index)
        if value is None:
            return Whole(self.parts.copy(index))
        if isinstance(value, Whole):
            return value
        assert isinstance(value, Steps)
        last = value.first + value.count - 1
        self._require_past(value, last)
        self._require_all(value)
        span = Span(value.count, self.steps - 1 - last)
        return Whole(self.parts.span(value.signal, span), span, 1)

    def _require_past(self, value: Steps, last: int) -> None:
        if last >= self.steps:
            raise NoStreamError("looks ahead: its padding stands behind the newest step as well")
        if value.first < 0 and not value.signal.is_padded:
            raise NoStreamError("reads rows that were computed of padding, which a stream begins without")

    def _require_all(self, value: Steps) -> None:
        if value.ahead is not None:
            raise NoStreamError(
                "looks ahead: each step asks later ones, and older steps of it are used", value.ahead
            )

    # -- ops --------------------------------------------------------------------------------------------------------

    def _named(self, op: Op) -> None:
        """An op; what cannot stream is told by the first op that computes with it, which its author wrote."""
        lost = (value.reason for i in op.inputs if isinstance(value := self.values.get(i), NoSteps))
        reason = next(lost, None)
        try:
            if reason is None:
                self._op(op)
        except NoStreamError as error:
            if error.tensor:
                raise
            reason = error.reason
        if reason is not None:
            if not has(op, Trait.MOVES) or has(op, Trait.ELEMENTWISE):
                raise NoStreamError(reason, self._name(op.outputs[0]))
            self.values.update(dict.fromkeys(op.outputs, NoSteps(reason)))

    def _op(self, op: Op) -> None:
        family = self.graph.tensors[op.outputs[0]].family
        if family is not None:
            raise NoStreamError("is written out step by step, and has no form of one step yet")
        timed = [i for i in _operands(op) if isinstance(self.values.get(i), Steps)]
        if not timed:
            self._computed(op)
        elif op.kind == OpKind.UNIDIRECTIONAL_SEQUENCE_LSTM:
            self._lstm(op)
        elif op.kind == OpKind.STRIDED_SLICE:
            self._slice(op)
        elif op.kind == OpKind.CONCATENATION and _axis(self.graph, op) == 1 and len(timed) == 1:
            self._padded(op, timed[0])
        elif self._by_rows(op):
            self._row(op)
        else:
            self._computed(op)

    def _computed(self, op: Op) -> None:
        """As in the window."""
        if op.kind == OpKind.UNIDIRECTIONAL_SEQUENCE_LSTM:
            raise NoStreamError("looks ahead: it runs over rows in another order than they come in")
        plain = row_of(op.kind).plain
        given = [
            Whole(self.parts.copy(i)) if place in plain else self._whole(i)
            for place, i in enumerate(op.inputs)
        ]
        rows, axis = _rows_of_result(op, given, self.graph)
        inputs = [one.tensor for one in given]
        if (
            op.kind == OpKind.SOFTMAX
            and rows is not None
            and axis == len(self.graph.tensors[op.inputs[0]].shape) - 1
        ):
            inputs[0] = self.parts.capped(inputs[0], rows)
        outputs = [self.parts.result(index, self.graph.tensors[index].shape) for index in op.outputs]
        self.parts.ops.append(replace(op, inputs=tuple(inputs), outputs=tuple(outputs)))
        self.values.update((index, Whole(out, rows, axis)) for index, out in zip(op.outputs, outputs))

    def _lstm(self, op: Op) -> None:
        value, out = self.values[op.inputs[0]], op.outputs[0]
        assert isinstance(value, Steps)
        if (value.first, value.count) != (0, self.steps):
            raise NoStreamError(
                "begins at a later step than the window, where a stream has its state already"
            )
        self._require_all(value)
        inputs = (self._read(value, 0), *(self.parts.copy(index) for index in op.inputs[1:]))
        made = self.parts.result(out, (1, 1, self.graph.tensors[out].shape[2]))
        self.parts.ops.append(replace(op, inputs=inputs, outputs=(made,)))
        self._give(out, made, 0, self.steps)

    def _slice(self, op: Op) -> None:
        """Rows of a signal are the signal at other steps, one row a value of its own; columns are taken of the newest row."""
        value, out = self.values[op.inputs[0]], op.outputs[0]
        assert isinstance(value, Steps)
        elements = view_results(self.graph, op)
        assert elements is not None
        shape, width = elements[0].shape, self.graph.tensors[op.inputs[0]].shape[2]
        taken = elements[0].reshape(-1, shape[-1])
        rows, columns = taken[:, 0] // width, taken[0] % width
        steps = set(np.diff(rows).tolist())
        if steps - {1}:
            raise NoStreamError(
                "looks ahead: it runs backwards"
                if min(steps) < 0
                else f"takes one step in {max(steps)} (a stride)"
            )
        first = value.first + int(rows[0])
        moved = replace(value, first=first, count=len(rows))
        if len(shape) == 3 and len(columns) == width and len(rows) > 1:
            self.values[out] = moved
            return
        single = len(rows) == 1
        source = self._one(moved) if single else self._read(moved, first)
        if single and len(shape) == 3 and len(columns) == width:
            self.values[out] = Whole(source)
            return
        made = self._cut(op, source, (1, shape[-1]) if len(shape) == 2 else (1, 1, shape[-1]))
        if single:
            self.values[out] = Whole(made)
        else:
            self._give(out, made, first, len(rows), value.ahead)

    def _one(self, value: Steps) -> int:
        """The one row that a value holds."""
        self._require_past(value, value.first)
        if value.first < self.steps - 1:
            self._require_all(value)
        return self.parts.span(value.signal, Span(1, self.steps - 1 - value.first))

    def _cut(self, op: Op, source: int, shape: tuple[int, ...]) -> int:
        """The slice of the window, on the only row."""
        made = self.parts.result(op.outputs[0], shape)
        constants = []
        for index, own in zip(op.inputs[1:], (0, 1, 1)):
            tensor = self.graph.tensors[index]
            assert tensor.data is not None
            bounds = tensor.data.copy()
            bounds[1] = own
            constants.append(self.parts.values(tensor.name, bounds, index))
        masks = {key: op.options[key] & ~0b010 for key in ("begin_mask", "end_mask")}
        return self.parts.op("STRIDED_SLICE", (source, *constants), made, **{**op.options, **masks})

    def _padded(self, op: Op, index: int) -> None:
        """Zeros before a signal are its ring before the first step."""
        value, out = self.values[index], op.outputs[0]
        assert isinstance(value, Steps)
        place = op.inputs.index(index)
        others = [self.graph.tensors[i].data for i in op.inputs if i != index]
        if any(data is None or data.any() for data in others):
            self._computed(op)
            return
        before = sum(self.graph.tensors[i].shape[1] for i in op.inputs[:place])
        if before and (value.first != 0 or value.ahead is not None):
            raise NoStreamError("puts padding where a stream has steps already")
        tensor = self.graph.tensors[out]
        source = self._read(replace(value, count=1), value.first)
        signal = Signal(source, out, f"{tensor.name}/ring", tensor.name, tensor.role, is_padded=True)
        self.values[out] = Steps(signal, value.first - before, tensor.shape[1], value.ahead)
        self.pending.append((out, signal))

    def _by_rows(self, op: Op) -> bool:
        """True if each row of the result follows from rows of the operands that stand beside it."""
        result = self.graph.tensors[op.outputs[0]]
        if op.kind == OpKind.FULLY_CONNECTED:
            return not _asked_by_one(self.graph, op)
        if op.kind == OpKind.BATCH_MATMUL:
            return isinstance(self.values.get(op.inputs[0]), Steps) and not op.options["adj_x"]
        if op.kind == OpKind.MEAN:
            axes = self.graph.tensors[op.inputs[1]].data
            return axes is not None and axes.reshape(-1).tolist() == [2]
        if op.kind == OpKind.CONCATENATION:
            return _axis(self.graph, op) == 2 and not _has_memory(
                self.values, self.graph, op, result.shape[1]
            )
        rowwise = has(op, Trait.ELEMENTWISE) or op.kind == OpKind.SOFTMAX
        return (
            len(result.shape) == 3
            and rowwise
            and not _has_memory(self.values, self.graph, op, result.shape[1])
        )

    def _row(self, op: Op) -> None:
        """The op on the newest row; operands that are older than another wait in a ring."""
        out, plain = op.outputs[0], row_of(op.kind).plain
        timed = [value for i in _operands(op) if isinstance(value := self.values.get(i), Steps)]
        first = max(value.first for value in timed)
        ahead = next((value.ahead for value in timed if value.ahead is not None), None)
        scores = next((value.scores for value in timed if value.scores is not None), None)
        inputs = []
        for place, index in enumerate(op.inputs):
            value = self.values.get(index)
            if isinstance(value, Steps) and not (op.kind == OpKind.BATCH_MATMUL and place == 1):
                inputs.append(self._read(value, first))
            elif place in plain or self.graph.tensors[index].data is not None:
                inputs.append(self._same_in_all_rows(op, place, index))
            else:
                whole = self._whole(index)
                inputs.append(whole.tensor)
                ahead = ahead or self._name(out)
                scores = whole.rows if op.kind == OpKind.BATCH_MATMUL and op.options["adj_y"] else None
        if op.kind == OpKind.SOFTMAX and scores is not None:
            inputs[0] = self.parts.capped(inputs[0], scores)
            scores = None
        shape = self.graph.tensors[out].shape
        made = self.parts.result(out, (1, 1, *shape[2:]))
        self.parts.ops.append(replace(op, inputs=tuple(inputs), outputs=(made,)))
        value = self._give(out, made, first, shape[1], ahead)
        self.values[out] = replace(value, scores=scores)

    def _same_in_all_rows(self, op: Op, place: int, index: int) -> int:
        """A constant; of one that has a row for each step, which must be alike, one row."""
        tensor = self.graph.tensors[index]
        is_weight = place in row_of(op.kind).plain or op.kind in (OpKind.FULLY_CONNECTED, OpKind.BATCH_MATMUL)
        if is_weight or len(tensor.shape) < 3 or tensor.shape[1] == 1 or tensor.data is None:
            return self.parts.copy(index)
        if (tensor.data != tensor.data[:, :1]).any():
            raise NoStreamError("has other values for each step of the window (positions)")
        name = f"{tensor.name}/row/{self._name(op.outputs[0])}"
        return self.parts.values(name, np.ascontiguousarray(tensor.data[:, :1]))


def _operands(op: Op) -> list[int]:
    plain = row_of(op.kind).plain
    return [i for place, i in enumerate(op.inputs) if place not in plain and i != ABSENT]


def _axis(graph: Graph, op: Op) -> int:
    return int(op.options["axis"]) % len(graph.tensors[op.outputs[0]].shape)


def _has_memory(values: Mapping[int, object], graph: Graph, op: Op, count: int) -> bool:
    """True if an operand holds all rows at once."""
    return any(
        isinstance(values.get(i), Whole) and graph.tensors[i].shape[1:2] == (count,) for i in _operands(op)
    )


def _asked_by_one(graph: Graph, op: Op) -> bool:
    """True for keys and values of one query: its projection folds away, and the ring is of what they are made from."""
    readers = [one for one in graph.ops if op.outputs[0] in one.inputs]
    return op.options["fused_activation_function"] == "NONE" and all(
        one.kind == OpKind.BATCH_MATMUL
        and one.inputs[1] == op.outputs[0]
        and graph.tensors[one.inputs[0]].shape[-2] == 1
        for one in readers
    )


def _rows_of_result(op: Op, given: list[Whole], graph: Graph) -> tuple[Span | None, int]:
    """Along which axis of the result the rows of a memory lie, if along one."""
    known = [(one.rows, one.axis) for one in given if one.rows is not None]
    if op.kind == OpKind.BATCH_MATMUL:
        b = given[1]
        found = b.rows is not None and b.axis == 1 and op.options["adj_y"]
        return (b.rows, 2) if found else (None, 0)
    same = len(graph.tensors[op.outputs[0]].shape) == len(graph.tensors[op.inputs[0]].shape)
    by_place = has(op, Trait.ELEMENTWISE) or op.kind in (OpKind.FULLY_CONNECTED, OpKind.SOFTMAX)
    return known[0] if known and same and by_place else (None, 0)
