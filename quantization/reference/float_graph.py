"""Runs a float graph in numpy on many windows at once and shows every tensor: what calibration and attribution look at.

float64 by default: it is the function that quantization is measured against, not another implementation of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from quantization.graph.ir import ABSENT, Graph, Op
from quantization.ops.call import FloatCall
from quantization.ops.table import kinds_with, row_of
from toolkit.errors import ModelFileError

Values = NDArray[np.floating[Any]]
#: Called with each tensor just computed; what it returns is used instead (fake quantization), same shape.
Hook = Callable[[str, Values], Values]


def run(
    graph: Graph,
    inputs: Mapping[str, Values],
    *,
    dtype: DTypeLike = np.float64,
    state: dict[str, Values] | None = None,
    hook: Hook | None = None,
) -> dict[str, Values]:
    """Every computed tensor by name, with the windows on its first axis, for ``inputs`` {name: (N, ...)}.

    An LSTM adds ``NAME/cell`` (N, T, H), its cell state over time, and ``NAME/gate/input|forget|cell|output``, the gate sums
    before their activation. ``state`` carries variable tensors from run to run (it is changed); without it they are 0.
    """
    return _Run(graph, np.dtype(dtype), {} if state is None else state, hook).all(inputs)


class _Run:
    def __init__(
        self, graph: Graph, dtype: np.dtype[Any], state: dict[str, Values], hook: Hook | None
    ) -> None:
        self.graph, self.dtype, self.state, self.hook = graph, dtype, state, hook
        self.values: dict[str, Values] = {}
        self.count = 1

    def all(self, inputs: Mapping[str, Values]) -> dict[str, Values]:
        for index in self.graph.inputs:
            name = self.graph.tensors[index].name
            self.values[name] = self._seen(name, np.asarray(inputs[name], self.dtype))
            self.count = len(inputs[name])
        for op in self.graph.ops:
            self._run_op(op)
        return self.values

    def _seen(self, name: str, values: Values) -> Values:
        return values if self.hook is None else self.hook(name, values)

    def _run_op(self, op: Op) -> None:
        row, output = row_of(op.kind), self.graph.tensors[op.outputs[0]]
        if row.real is None:
            raise ModelFileError(
                f"op {op.kind} has no float form here; supported: {', '.join(kinds_with('real'))}"
            )
        states = {index for index in op.inputs if index >= 0 and self.graph.tensors[index].is_variable}
        states |= {op.inputs[place] for place in row.states if place < len(op.inputs)}
        inputs = tuple(None if i == ABSENT else self._read(i, state=i in states) for i in op.inputs)
        call = FloatCall(
            op.kind,
            op.options,
            inputs,
            output.shape,
            self.count,
            lambda part, values: self._seen(output.name + part, values),
        )
        result, *kept = row.real(call)
        # An op that keeps state has shown its output step by step: what comes next depends on it.
        self.values[output.name] = result if row.states else self._seen(output.name, result)
        for place, values in zip(row.states, kept):
            self.state[self.graph.tensors[op.inputs[place]].name] = values
        self.values.update({f"{output.name}/{part}": values for part, values in call.traces.items()})

    def _read(self, index: int, *, state: bool) -> Values:
        tensor = self.graph.tensors[index]
        if state:
            found = self.state.get(tensor.name)
            return np.zeros((self.count, *tensor.shape[1:]), self.dtype) if found is None else found
        if tensor.data is None:
            return self.values[tensor.name]
        # Integers are axes and shapes.
        return (
            tensor.data.astype(self.dtype) if np.issubdtype(tensor.data.dtype, np.floating) else tensor.data
        )
