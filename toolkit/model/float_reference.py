"""The Cross-LSTM in numpy: the specification that torch, TFLite and C are held against. No torch.

The equations are those of docs/MODEL.md. ``window`` computes windows from zero state; ``Stream`` takes one
sample at a time with carried state. Everything is computed in ``dtype``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from toolkit.errors import ContractError
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import NORM_EPSILON, ModelConfig

Floats: TypeAlias = NDArray[Any]
Weights: TypeAlias = Mapping[str, Floats]


def window(checkpoint: Checkpoint, inputs: Mapping[str, Floats], dtype: DTypeLike = np.float64) -> Floats:
    """Moments of windows, each from zero state.

    ``inputs["imu"]`` is (n, window, imu channels) and ``inputs["emg"]`` (n, window, emg channels), filtered and
    normalised. Returns (n, outputs) in Nm/kg. ContractError if a shape does not fit.
    """
    config = checkpoint.config
    weights = cast(checkpoint, dtype)
    _require_shapes(config, inputs, rows=config.window, axes=3)
    memory = {
        s: hidden_states(weights, config, s, np.asarray(inputs[s], dtype))[-1][0] for s in config.streams
    }
    return fuse(weights, config, memory)


def hidden_states(
    weights: Weights, config: ModelConfig, stream: str, inputs: Floats
) -> list[tuple[Floats, Floats]]:
    """Hidden and cell states of every layer of one stream over time, from zero state.

    ``inputs`` is (n, steps, channels); each of the returned pairs is (n, steps, H), lowest layer first.
    """
    states = []
    below = inputs
    for layer in range(config.layers):
        hidden = np.zeros((len(below), config.hidden), below.dtype)
        cell = np.zeros_like(hidden)
        all_hidden = np.empty((*below.shape[:2], config.hidden), below.dtype)
        all_cell = np.empty_like(all_hidden)
        for step in range(below.shape[1]):
            hidden, cell = lstm_step(weights, f"{stream}.lstm.{layer}", below[:, step], hidden, cell)
            all_hidden[:, step], all_cell[:, step] = hidden, cell
        states.append((all_hidden, all_cell))
        below = all_hidden
    return states


def lstm_step(
    weights: Weights, prefix: str, inputs: Floats, hidden: Floats, cell: Floats
) -> tuple[Floats, Floats]:
    """One LSTM step of (n, in) with states (n, H); returns the new hidden and cell state.

    Gates i, f, g, o as in torch.nn.LSTM: c' = f*c + i*g, h' = o*tanh(c').
    """
    gates = inputs @ weights[f"{prefix}.weight_ih"].T + hidden @ weights[f"{prefix}.weight_hh"].T
    i, f, g, o = np.split(gates + weights[f"{prefix}.bias"], 4, axis=-1)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell), cell


def fuse(weights: Weights, config: ModelConfig, memory: Mapping[str, Floats]) -> Floats:
    """Attention of each stream's newest hidden state over the other's, or its own if there is no other; residual, norm, head.

    ``memory[stream]`` is (n, steps, H), oldest first. Returns (n, outputs).
    """
    features = []
    for stream in config.streams:
        newest = memory[stream][:, -1]
        fused = newest + attend(weights, config, stream, newest, memory[config.asked_by(stream)])
        if config.norm == "layer":
            fused = layer_norm(fused, weights[f"{stream}.norm.weight"], weights[f"{stream}.norm.bias"])
        features.append(fused)
    hidden = linear(weights, "head.hidden", np.concatenate(features, axis=-1))
    return linear(weights, "head.output", np.maximum(hidden, 0))


def attend(weights: Weights, config: ModelConfig, stream: str, query: Floats, memory: Floats) -> Floats:
    """Scaled dot-product attention of one query (n, H) over ``memory`` (n, steps, H), head by head: (n, H)."""
    rows, steps, _ = memory.shape
    heads, size = config.heads, config.head_size
    prefix = f"{stream}.attention"
    q = linear(weights, f"{prefix}.query", query).reshape(rows, heads, size)
    k = linear(weights, f"{prefix}.key", memory).reshape(rows, steps, heads, size)
    v = linear(weights, f"{prefix}.value", memory).reshape(rows, steps, heads, size)
    scores = np.einsum("nhd,nthd->nht", q, k) * np.asarray(size**-0.5, q.dtype)
    context = np.einsum("nht,nthd->nhd", softmax(scores), v)
    result: Floats = context.reshape(rows, heads * size)
    return result


class Stream:
    """The model one sample at a time: carried LSTM states and the last ``window`` hidden states as memory.

    Before ``window`` samples have arrived, attention covers those that exist; after exactly ``window`` steps
    from reset the moment equals that of :func:`window`.
    """

    def __init__(self, checkpoint: Checkpoint, dtype: DTypeLike = np.float64) -> None:
        self.config = checkpoint.config
        self.dtype = np.dtype(dtype)
        self._weights = cast(checkpoint, dtype)
        self.reset()

    def reset(self) -> None:
        """Forget everything: zero states, empty memory."""
        size = (1, self.config.hidden)
        layers = range(self.config.layers)
        self._hidden = {s: [np.zeros(size, self.dtype) for _ in layers] for s in self.config.streams}
        self._cell = {s: [np.zeros(size, self.dtype) for _ in layers] for s in self.config.streams}
        self._memory: dict[str, list[Floats]] = {s: [] for s in self.config.streams}

    def step(self, inputs: Mapping[str, Floats]) -> Floats:
        """Moments (outputs,) after one more sample; ``inputs[stream]`` is (channels,), normalised."""
        _require_shapes(self.config, inputs, rows=None, axes=1)
        for stream in self.config.streams:
            below = np.asarray(inputs[stream], self.dtype)[None]
            for layer in range(self.config.layers):
                below, self._cell[stream][layer] = lstm_step(
                    self._weights,
                    f"{stream}.lstm.{layer}",
                    below,
                    self._hidden[stream][layer],
                    self._cell[stream][layer],
                )
                self._hidden[stream][layer] = below
            self._memory[stream] = [*self._memory[stream], below][-self.config.window :]
        memory = {s: np.stack(self._memory[s], 1) for s in self.config.streams}
        moments: Floats = fuse(self._weights, self.config, memory)[0]
        return moments


def stream(checkpoint: Checkpoint, inputs: Mapping[str, Floats], dtype: DTypeLike = np.float64) -> Floats:
    """Moments after every sample of a sequence that starts from reset.

    ``inputs[stream]`` is (steps, channels), normalised; returns (steps, outputs) in Nm/kg.
    """
    _require_shapes(checkpoint.config, inputs, rows=None, axes=2)
    first, *others = checkpoint.config.streams
    steps = len(inputs[first])
    for other in others:
        if len(inputs[other]) != steps:
            raise ContractError(
                f"{first} has {steps} samples and {other} {len(inputs[other])}; they must be equally long"
            )
    model = Stream(checkpoint, dtype)
    result = np.empty((steps, len(checkpoint.config.outputs)), model.dtype)
    for step in range(steps):
        result[step] = model.step({s: inputs[s][step] for s in checkpoint.config.streams})
    return result


def cast(checkpoint: Checkpoint, dtype: DTypeLike) -> dict[str, Floats]:
    """The weights in ``dtype``."""
    return {name: value.astype(dtype) for name, value in checkpoint.weights.items()}


def linear(weights: Weights, prefix: str, inputs: Floats) -> Floats:
    """inputs (..., in) times the transposed weight [out, in], plus bias."""
    result: Floats = inputs @ weights[f"{prefix}.weight"].T + weights[f"{prefix}.bias"]
    return result


def sigmoid(x: Floats) -> Floats:
    """Logistic function, as (1 + tanh(x/2)) / 2: it cannot overflow."""
    result: Floats = (np.tanh(x / 2) + 1) / 2
    return result


def softmax(x: Floats) -> Floats:
    """Softmax over the last axis, with the largest score taken off first."""
    exponential = np.exp(x - x.max(axis=-1, keepdims=True))
    result: Floats = exponential / exponential.sum(axis=-1, keepdims=True)
    return result


def layer_norm(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """Layer norm over the last axis with the biased variance, as torch.nn.LayerNorm (Ba et al. 2016)."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    result: Floats = centred / np.sqrt(variance + np.asarray(NORM_EPSILON, x.dtype)) * weight + bias
    return result


def _require_shapes(config: ModelConfig, inputs: Mapping[str, Floats], rows: int | None, axes: int) -> None:
    """Raise ContractError unless all streams have the config's channels and, where told, its window."""
    for name in config.streams:
        if name not in inputs:
            raise ContractError(f"model input {name!r} is missing; it needs {', '.join(config.streams)}")
        shape = np.shape(inputs[name])
        wanted = config.channels(name)
        if len(shape) != axes or shape[-1] != wanted or (rows is not None and shape[-2] != rows):
            form = {1: f"({wanted},)", 2: f"(steps, {wanted})", 3: f"(n, {rows}, {wanted})"}[axes]
            raise ContractError(f"model input {name!r} has shape {tuple(shape)}; it must be {form}")
