"""Runs a float graph in numpy on many windows at once and shows every tensor: what calibration and attribution look at.

float64 by default: it is the function that quantization is measured against, not another implementation of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from quantization.graph.ir import ABSENT, Graph, Op
from toolkit.errors import ModelFileError

Values = NDArray[np.floating[Any]]
#: Called with each tensor just computed; what it returns is used instead (fake quantization), same shape.
Hook = Callable[[str, Values], Values]

_GATES = ("input", "forget", "cell", "output")


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
            self._keep(name, np.asarray(inputs[name], self.dtype))
            self.count = len(inputs[name])
        for op in self.graph.ops:
            if op.kind == "UNIDIRECTIONAL_SEQUENCE_LSTM":
                self._lstm(op)
                continue
            if op.kind not in _COMPUTE:
                raise ModelFileError(
                    f"op {op.kind} has no float form here; supported: {', '.join(sorted(_COMPUTE))}"
                )
            self._keep(self.graph.tensors[op.outputs[0]].name, _COMPUTE[op.kind](self, op))
        return self.values

    def _keep(self, name: str, values: Values) -> None:
        self.values[name] = values if self.hook is None else self.hook(name, values)

    def read(self, index: int) -> Values:
        tensor = self.graph.tensors[index]
        if tensor.data is not None:
            if np.issubdtype(tensor.data.dtype, np.floating):
                return tensor.data.astype(self.dtype)
            return tensor.data  # axes and shapes
        return self.values[tensor.name]

    def _lstm(self, op: Op) -> None:
        """Rows one by one; gates i, f, g, o from weights 1-4 (input), 5-8 (recurrent) and biases 12-15 of the op."""
        x = self.read(op.inputs[0])
        weight = np.concatenate([self.read(i) for i in op.inputs[1:5]])
        recurrent = np.concatenate([self.read(i) for i in op.inputs[5:9]])
        bias = np.concatenate([self.read(i) for i in op.inputs[12:16]])
        names = [self.graph.tensors[i].name for i in op.inputs[18:20]]
        width = len(bias) // 4
        h, c = (self.state.get(n, np.zeros((len(x), width), self.dtype)) for n in names)
        out_name = self.graph.tensors[op.outputs[0]].name
        driven = x @ weight.T + bias
        clip = float(op.options.get("cell_clip", 0.0)) or np.inf
        gates, cells, outputs = [], [], []
        for row in range(x.shape[1]):
            sums = driven[:, row] + h @ recurrent.T
            i, f, g, o = np.split(sums, 4, axis=1)
            c = np.clip(_sigmoid(f) * c + _sigmoid(i) * np.tanh(g), -clip, clip)
            if self.hook is not None:
                c = self.hook(f"{out_name}/cell", c)
            h = _sigmoid(o) * np.tanh(c)
            if self.hook is not None:
                h = self.hook(out_name, h)
            gates.append(sums)
            cells.append(c)
            outputs.append(h)
        self.state.update(zip(names, (h, c)))
        self.values[out_name] = np.stack(outputs, axis=1)
        self.values[f"{out_name}/cell"] = np.stack(cells, axis=1)
        for gate, part in zip(_GATES, np.split(np.stack(gates, axis=1), 4, axis=2)):
            self.values[f"{out_name}/gate/{gate}"] = part


def _sigmoid(x: Values) -> Values:
    result: Values = 0.5 * (1.0 + np.tanh(0.5 * x))
    return result


def _activated(x: Values, op: Op) -> Values:
    kind = op.options.get("fused_activation_function", "NONE")
    if kind == "RELU":
        return np.maximum(x, 0)
    if kind != "NONE":
        raise ModelFileError(f"op {op.kind} has activation {kind}; supported: NONE, RELU")
    return x


def _dense(run: _Run, op: Op) -> Values:
    x, weight = run.read(op.inputs[0]), run.read(op.inputs[1])
    bias = 0.0 if len(op.inputs) < 3 or op.inputs[2] == ABSENT else run.read(op.inputs[2])
    y = _activated(x @ weight.T + bias, op)
    # Without keep_num_dims the op flattens all axes but the last.
    return y.reshape(len(y), *run.graph.tensors[op.outputs[0]].shape[1:])


def _matmul(run: _Run, op: Op) -> Values:
    left, right = run.read(op.inputs[0]), run.read(op.inputs[1])
    left = np.swapaxes(left, -1, -2) if op.options.get("adj_x") else left
    right = np.swapaxes(right, -1, -2) if op.options.get("adj_y") else right
    result: Values = left @ right
    return result


def _softmax(run: _Run, op: Op) -> Values:
    x = run.read(op.inputs[0]) * op.options.get("beta", 1.0)
    shares = np.exp(x - x.max(axis=-1, keepdims=True))
    result: Values = shares / shares.sum(axis=-1, keepdims=True)
    return result


def _mean(run: _Run, op: Op) -> Values:
    axes = tuple(int(a) for a in run.read(op.inputs[1]))
    result: Values = run.read(op.inputs[0]).mean(axis=axes, keepdims=bool(op.options["keep_dims"]))
    return result


def _reshape(run: _Run, op: Op) -> Values:
    x = run.read(op.inputs[0])
    result: Values = x.reshape(len(x), *run.graph.tensors[op.outputs[0]].shape[1:])
    return result


def _slice(run: _Run, op: Op) -> Values:
    """Slices along any axis but the first, which is that of windows."""
    x = run.read(op.inputs[0])
    begin, end, strides = (run.read(i) for i in op.inputs[1:4])
    masks = [int(op.options.get(name, 0)) for name in ("begin_mask", "end_mask", "shrink_axis_mask")]
    place: list[Any] = [slice(None)]
    for axis in range(1, x.ndim):
        first, last, shrink = (bool(mask >> axis & 1) for mask in masks)
        if shrink:
            place.append(int(begin[axis]))
        else:
            place.append(
                slice(
                    None if first else int(begin[axis]), None if last else int(end[axis]), int(strides[axis])
                )
            )
    result: Values = x[tuple(place)]
    return result


def _concat(run: _Run, op: Op) -> Values:
    parts = [run.read(i) for i in op.inputs]
    parts = [np.broadcast_to(p, (run.count, *p.shape[1:])) for p in parts]
    return np.concatenate(parts, axis=op.options["axis"])


def _binary(function: Callable[[Values, Values], Values]) -> Callable[[_Run, Op], Values]:
    return lambda run, op: _activated(function(run.read(op.inputs[0]), run.read(op.inputs[1])), op)


def _rsqrt(run: _Run, op: Op) -> Values:
    result: Values = 1.0 / np.sqrt(run.read(op.inputs[0]))
    return result


_COMPUTE: dict[str, Callable[[_Run, Op], Values]] = {
    "ADD": _binary(np.add),
    "BATCH_MATMUL": _matmul,
    "CONCATENATION": _concat,
    "FULLY_CONNECTED": _dense,
    "MEAN": _mean,
    "MINIMUM": _binary(np.minimum),
    "MUL": _binary(np.multiply),
    "RESHAPE": _reshape,
    "RSQRT": _rsqrt,
    "SOFTMAX": _softmax,
    "STRIDED_SLICE": _slice,
    "SUB": _binary(np.subtract),
}
