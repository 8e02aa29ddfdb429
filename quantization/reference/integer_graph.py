"""Runs a quantized graph by the integer reference: the executable specification of what a target computes.

    interpreter = Interpreter(graph)                    # TFLM semantics; semantics="litert" for desktop LiteRT
    moments, = interpreter.run([imu, emg])              # one window: arrays of the tensors' own shapes
    moments, = interpreter.run([imus, emgs])            # N independent windows: (N, *shape) each
    interpreter.tensor("imu/hidden")                    # every tensor of the last run

Windows of one run are independent: each has its own state. A graph with variable tensors (LSTM state) keeps it from run to
run until :meth:`Interpreter.reset`; a window graph must be reset before each window, as on a target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np

from quantization.graph.ir import Graph, Op
from quantization.ops.call import (
    Call,
    Operand,
    Semantics,
    Values,
)
from quantization.ops.table import Trait, has, kinds_with, row_of, state_inputs
from toolkit.errors import InputError, ModelFileError, UsageError


class Interpreter:
    """The integer reference on one graph.

    ``semantics`` is ``tflm`` (TensorFlow Lite for Microcontrollers and CMSIS-NN, the default) or ``litert`` (desktop
    LiteRT with its reference kernels). With ``keep_gates``, :attr:`lstm_traces` holds the cell state and gate sums of
    every time step of each LSTM. Raises ModelFileError if the graph holds an op or a type that is not in the reference.
    """

    def __init__(self, graph: Graph, semantics: Semantics = "tflm", *, keep_gates: bool = False) -> None:
        if semantics not in get_args(Semantics):
            raise UsageError(f"semantics is {semantics!r}; allowed: {', '.join(get_args(Semantics))}")
        self.graph = graph
        self.semantics: Semantics = semantics
        self.keep_gates = keep_gates
        #: Name of an LSTM's output tensor -> {"cell": (N, T, H), "gates": (N, T, 4, H) in Q3.12}.
        self.lstm_traces: dict[str, dict[str, Values]] = {}
        self._affines = [tensor.affine for tensor in graph.tensors]
        self._constants = {
            index: self._stored(np.asarray(tensor.data))[None]
            for index, tensor in enumerate(graph.tensors)
            if tensor.data is not None
        }
        self._values: dict[int, Values] = {}
        self._state: dict[int, Values] = {}
        self._single = True
        self._check()

    @staticmethod
    def _stored(values: Values) -> Values:
        """Integers as int64, reals as float32."""
        real = np.issubdtype(values.dtype, np.floating)
        return values.astype(np.float32 if real else np.int64)

    def _check(self) -> None:
        for place, op in enumerate(self.graph.ops):
            if row_of(op.kind).integer is None:
                raise ModelFileError(
                    f"op {place} is {op.kind}, which the integer reference does not have; it has "
                    f"{', '.join(kinds_with('integer'))}"
                )
            used = [i for i in (*op.inputs, *op.outputs) if i >= 0]
            real = any(self.graph.tensors[i].dtype == np.float32 for i in used)
            if real and not has(op, Trait.MOVES, Trait.CONVERTS):
                raise ModelFileError(
                    f"op {place} is {op.kind} on float32; the integer reference computes {op.kind} on int8 and int16 only"
                )

    def reset(self) -> None:
        """Forget all state: every variable tensor goes back to its zero point at the next run."""
        self._state.clear()

    @property
    def state(self) -> dict[str, Values]:
        """Variable tensors by name, (N, *shape), copied. Empty after a reset."""
        return {self.graph.tensors[index].name: values.copy() for index, values in self._state.items()}

    @state.setter
    def state(self, values: Mapping[str, Values]) -> None:
        index_of = {self.graph.tensors[index].name: index for index in self._variables()}
        unknown = sorted(set(values) - set(index_of))
        if unknown:
            raise InputError(
                f"state {', '.join(unknown)} is not in this graph; it has {', '.join(sorted(index_of)) or 'none'}"
            )
        for name, value in values.items():
            shape = tuple(self.graph.tensors[index_of[name]].shape)
            if value.shape[1:] != shape:
                raise InputError(
                    f"state {name} has shape {value.shape}; it must be (N, {', '.join(map(str, shape))})"
                )
        self._state = {index_of[name]: self._stored(np.asarray(value)) for name, value in values.items()}

    def _variables(self) -> list[int]:
        found = {i for i, tensor in enumerate(self.graph.tensors) if tensor.is_variable}
        return sorted(found | set(state_inputs(self.graph)))

    def tensor(self, name: str) -> Values:
        """Values of a tensor after the last run, in its own type: its shape, or (N, *shape) after a run of N windows."""
        for index, tensor in enumerate(self.graph.tensors):
            if tensor.name == name:
                return self.tensor_at(index)
        raise InputError(f"tensor {name!r} is not in this graph")

    def tensor_at(self, index: int) -> Values:
        """Values of the tensor with ``index`` in ``graph.tensors`` after the last run, as :meth:`tensor`."""
        tensor = self.graph.tensors[index]
        if index in self._constants:
            return np.asarray(tensor.data)
        source = self._state if index in self._state else self._values
        if index not in source:
            raise InputError(f"tensor {tensor.name!r} has no value: no run has computed it")
        values = source[index].astype(tensor.dtype)
        return values[0] if self._single else values

    def computed(self) -> list[int]:
        """Indices of all tensors that the last run computed, in the order of the ops, and the state tensors."""
        outputs = [index for op in self.graph.ops for index in op.outputs]
        return outputs + [index for index in self._variables() if index in self._state]

    def run(self, inputs: Sequence[Values] | Mapping[str, Values]) -> list[Values]:
        """Compute the graph; inputs in the graph's order, or by tensor name, each of the tensor's type.

        An input of the tensor's own shape is one window; with one more axis in front, that axis counts windows. Returns
        the outputs in the graph's order, of the same form. Raises InputError if an input has another shape or type.
        """
        self._values = dict(zip(self.graph.inputs, self._read(inputs)))
        count = max((len(values) for values in self._values.values()), default=1)
        self._fill_state(count)
        self.lstm_traces = {}
        for op in self.graph.ops:
            self._run_op(op)
        return [self.tensor_at(index) for index in self.graph.outputs]

    def _read(self, inputs: Sequence[Values] | Mapping[str, Values]) -> list[Values]:
        tensors = [self.graph.tensors[index] for index in self.graph.inputs]
        if isinstance(inputs, Mapping):
            missing = [tensor.name for tensor in tensors if tensor.name not in inputs]
            if missing:
                raise InputError(f"input {', '.join(missing)} is missing")
            inputs = [inputs[tensor.name] for tensor in tensors]
        if len(inputs) != len(tensors):
            raise InputError(f"the graph has {len(tensors)} inputs and {len(inputs)} were given")
        read = []
        for tensor, values in zip(tensors, inputs):
            shape = tuple(tensor.shape)
            if values.shape != shape and values.shape[1:] != shape:
                raise InputError(
                    f"input {tensor.name} has shape {values.shape}; it must be {shape}, or that with a count of "
                    "windows in front"
                )
            if values.dtype != tensor.dtype:
                raise InputError(
                    f"input {tensor.name} is {values.dtype}; it must be {np.dtype(tensor.dtype)}"
                )
            self._single = values.shape == shape
            read.append(self._stored(values if values.ndim > len(shape) else values[None]))
        if len({len(values) for values in read}) > 1:
            raise InputError(f"inputs hold {[len(v) for v in read]} windows; the counts must be equal")
        return read

    def _fill_state(self, count: int) -> None:
        for index in self._variables():
            tensor = self.graph.tensors[index]
            if index not in self._state:
                affine = self._affines[index]
                # Both engines reset an int8 variable to its zero point, all else to 0.
                start = affine.zero_point if affine is not None and tensor.dtype == np.int8 else 0
                dtype = np.float32 if tensor.dtype == np.float32 else np.int64
                self._state[index] = np.full((count, *tensor.shape), start, dtype)
            elif len(self._state[index]) != count:
                raise InputError(
                    f"state {tensor.name} is that of {len(self._state[index])} windows and the inputs hold {count}; "
                    "reset first"
                )

    def _operand(self, index: int, *, read: bool) -> Operand:
        tensor = self.graph.tensors[index]
        values = None
        if read:
            for source in (self._constants, self._state, self._values):
                if index in source:
                    values = source[index]
        return Operand(tensor.name, tuple(tensor.shape), np.dtype(tensor.dtype), self._affines[index], values)

    def _run_op(self, op: Op) -> None:
        call = Call(
            op.kind,
            op.options,
            tuple(None if index < 0 else self._operand(index, read=True) for index in op.inputs),
            tuple(self._operand(index, read=False) for index in op.outputs),
            tuple(self._operand(index, read=False) for index in op.intermediates),
            self.semantics,
            self.keep_gates,
        )
        row = row_of(op.kind)
        assert row.integer is not None
        results = row.integer(call)
        for index, values in zip(op.outputs, results):
            self._values[index] = values
        for place, values in zip(row.states, results[len(op.outputs) :]):
            self._state[op.inputs[place]] = values
        if call.traces:
            self.lstm_traces[call.output.name] = call.traces
