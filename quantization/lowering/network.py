"""The Cross-LSTM as float graphs, written plainly: every projection, norm and scale is an op of its own.

*Window*: the LSTMs run over T rows from zero state. *Stream*, made of the window graph by
:mod:`quantization.lowering.stream_form`: they run over one row with the state they kept, and the last T hidden states of each
stream are a ring that comes in as an input (``STREAM.ring``, oldest first, T - 1 rows) and goes out moved on by one
(``STREAM.ring.next``). A ring row that has never been written must not be attended to: the mask ``present`` (T - 1 values,
oldest first) comes in beside the rings and caps the scores of absent rows at ``MASK_ABSENT``; the cap of a row
that exists is ``MASK_PRESENT``, which changes nothing.

The passes (:mod:`quantization.passes`) make these graphs small; what stands here is meant to be read against
docs/ARCHITECTURE.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.graph.ir import ABSENT, Graph, GraphBuilder, Role
from quantization.lowering.stream_form import stream_form
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig

LAYER_NORM_EPSILON = 1e-5

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class _Memory:
    """Hidden states [1, T, H] of a stream and the newest of them [1, H]."""

    states: int
    newest: int


class _Lowering:
    """One graph in the making. Tensor names are paths: ``imu/attention/0/scores``."""

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        self.config: ModelConfig = checkpoint.config
        self.weights: Weights = checkpoint.weights
        self.builder = GraphBuilder(name)

    # -- single ops -------------------------------------------------------------------------------------------------

    def dense(
        self,
        name: str,
        x: int,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        activation: str = "NONE",
    ) -> int:
        """weight x + bias over the last axis of ``x``."""
        shape = (*self.builder.tensors[x].shape[:-1], len(bias))
        out = self.builder.add(name, shape)
        inputs = (
            x,
            self.builder.constant(f"{name}/weight", weight),
            self.builder.constant(f"{name}/bias", bias),
        )
        self.builder.op(
            "FULLY_CONNECTED",
            inputs,
            (out,),
            fused_activation_function=activation,
            keep_num_dims=len(shape) > 2,
        )
        return out

    def binary(self, kind: str, name: str, left: int, right: int) -> int:
        """ADD, SUB or MUL with broadcasting."""
        tensors = self.builder.tensors
        out = self.builder.add(name, np.broadcast_shapes(tensors[left].shape, tensors[right].shape))
        options: dict[str, Any] = {"fused_activation_function": "NONE"}
        if kind in ("ADD", "SUB"):
            options["pot_scale_int16"] = False
        self.builder.op(kind, (left, right), (out,), **options)
        return out

    def scalar(self, name: str, value: float) -> int:
        """A constant [1, 1]."""
        return self.builder.constant(name, np.array([[value]], np.float32))

    def mean(self, name: str, x: int) -> int:
        """Mean over the last axis of [1, n], kept as [1, 1]."""
        out = self.builder.add(name, (1, 1))
        axis = self.builder.constant(f"{name}/axis", np.array([1], np.int32))
        self.builder.op("MEAN", (x, axis), (out,), keep_dims=True)
        return out

    def reshape(self, name: str, x: int, shape: tuple[int, ...]) -> int:
        """The same values in another shape."""
        out = self.builder.add(name, shape)
        wanted = self.builder.constant(f"{name}/shape", np.array(shape, np.int32))
        self.builder.op("RESHAPE", (x, wanted), (out,), new_shape=shape)
        return out

    def newest(self, name: str, x: int) -> int:
        """The last row of [1, n, width], as [1, width]."""
        _, count, width = self.builder.tensors[x].shape
        out = self.builder.add(name, (1, width))
        bounds = {"begin": [0, count - 1, 0], "end": [0, count, 0], "strides": [1, 1, 1]}
        constants = [
            self.builder.constant(f"{name}/{key}", np.array(v, np.int32)) for key, v in bounds.items()
        ]
        self.builder.op(
            "STRIDED_SLICE",
            (x, *constants),
            (out,),
            begin_mask=0b101,
            end_mask=0b101,
            shrink_axis_mask=0b010,
        )
        return out

    def concat(self, name: str, parts: list[int], axis: int) -> int:
        """Join along ``axis``."""
        shapes = [self.builder.tensors[part].shape for part in parts]
        shape = list(shapes[0])
        shape[axis] = sum(s[axis] for s in shapes)
        out = self.builder.add(name, tuple(shape))
        self.builder.op("CONCATENATION", tuple(parts), (out,), axis=axis, fused_activation_function="NONE")
        return out

    # -- the model's parts ------------------------------------------------------------------------------------------

    def lstm(self, stream: str, layer: int, x: int) -> int:
        """One LSTM layer over [1, rows, width]; gates in torch's order i, f, g, o are TFLite's input, forget, cell, output."""
        name = f"{stream}/lstm/{layer}"
        hidden = self.config.hidden
        prefix = f"{stream}.lstm.{layer}"
        parts = {
            key: np.split(self.weights[f"{prefix}.{key}"], 4) for key in ("weight_ih", "weight_hh", "bias")
        }
        gates = ("input", "forget", "cell", "output")

        def constants(key: str) -> list[int]:
            return [
                self.builder.constant(f"{name}/{gate}/{key}", part) for gate, part in zip(gates, parts[key])
            ]

        state = self.builder.add(f"{name}/h", (1, hidden), is_variable=True, role=Role.HIDDEN)
        cell = self.builder.add(f"{name}/c", (1, hidden), is_variable=True, role=Role.CELL)
        inputs = [x, *constants("weight_ih"), *constants("weight_hh"), *[ABSENT] * 3]
        inputs += [*constants("bias"), ABSENT, ABSENT, state, cell, *[ABSENT] * 4]
        shape = (1, self.builder.tensors[x].shape[1], hidden)
        out = self.builder.add(f"{name}/hidden", shape, role=Role.HIDDEN)
        self.builder.op(
            "UNIDIRECTIONAL_SEQUENCE_LSTM",
            tuple(inputs),
            (out,),
            fused_activation_function="TANH",
            cell_clip=0.0,
            proj_clip=0.0,
            time_major=False,
        )
        return out

    def lstm_layers(self, stream: str, x: int) -> int:
        """All layers of a stream: hidden states of the last one."""
        for layer in range(self.config.layers):
            x = self.lstm(stream, layer, x)
        return x

    def attend(self, stream: str, query: int, memory: int) -> int:
        """Context [1, H] of ``query`` [1, H] over ``memory`` [1, T, H], one head after the other."""
        config, head_size = self.config, self.config.head_size
        contexts = []
        for head in range(config.heads):
            name = f"{stream}/attention/{head}"
            part = slice(head * head_size, (head + 1) * head_size)

            def projection(kind: str, part: slice = part) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
                prefix = f"{stream}.attention.{kind}"
                return self.weights[f"{prefix}.weight"][part], self.weights[f"{prefix}.bias"][part]

            asked = self.dense(f"{name}/query", query, *projection("query"))
            scaled = self.binary(
                "MUL", f"{name}/scaled", asked, self.scalar(f"{name}/scale", 1 / math.sqrt(head_size))
            )
            keys = self.dense(f"{name}/keys", memory, *projection("key"))
            values = self.dense(f"{name}/values", memory, *projection("value"))
            contexts.append(self._head(name, scaled, keys, values))
        return contexts[0] if len(contexts) == 1 else self.concat(f"{stream}/attention/context", contexts, 1)

    def _head(self, name: str, query: int, keys: int, values: int) -> int:
        builder = self.builder
        _, rows, width = builder.tensors[keys].shape
        asked = self.reshape(f"{name}/asked", query, (1, 1, width))
        scores = builder.add(f"{name}/scores", (1, 1, rows), role=Role.SCORES)
        builder.op("BATCH_MATMUL", (asked, keys), (scores,), adj_x=False, adj_y=True)
        weights = builder.add(f"{name}/shares", (1, 1, rows), role=Role.ATTENTION_WEIGHTS)
        builder.op("SOFTMAX", (scores,), (weights,), beta=1.0)
        mixed = builder.add(f"{name}/mixed", (1, 1, builder.tensors[values].shape[2]))
        builder.op("BATCH_MATMUL", (weights, values), (mixed,), adj_x=False, adj_y=False)
        return self.reshape(f"{name}/context", mixed, (1, builder.tensors[values].shape[2]))

    def residual_norm(self, stream: str, query: int, context: int) -> int:
        """norm(query + context), each step an op."""
        added = self.binary("ADD", f"{stream}/residual", query, context)
        if self.config.norm == "none":
            return added
        name = f"{stream}/norm"
        centred = self.binary("SUB", f"{name}/centred", added, self.mean(f"{name}/mean", added))
        squared = self.binary("MUL", f"{name}/squared", centred, centred)
        variance = self.mean(f"{name}/variance", squared)
        guarded = self.binary(
            "ADD", f"{name}/guarded", variance, self.scalar(f"{name}/epsilon", LAYER_NORM_EPSILON)
        )
        inverse = self.builder.add(f"{name}/inverse", (1, 1))
        self.builder.op("RSQRT", (guarded,), (inverse,))
        normal = self.binary("MUL", f"{name}/normal", centred, inverse)
        gain = self.builder.constant(f"{name}/gain", self.weights[f"{stream}.norm.weight"][None])
        offset = self.builder.constant(f"{name}/offset", self.weights[f"{stream}.norm.bias"][None])
        return self.binary(
            "ADD", f"{name}/shifted", self.binary("MUL", f"{name}/scaled", normal, gain), offset
        )

    def head(self, memories: Mapping[str, _Memory]) -> int:
        """Cross-attention both ways, residual, norm, and the two dense layers: moments [1, outputs]."""
        normed = []
        for stream in self.config.streams:
            query = memories[stream].newest
            with self.builder.part(Role.ATTENTION):
                context = self.attend(stream, query, memories[self.config.asked_by(stream)].states)
            with self.builder.part(Role.NORM):
                normed.append(self.residual_norm(stream, query, context))
        weights, biases = (
            [self.weights[f"head.{n}.{k}"] for n in ("hidden", "output")] for k in ("weight", "bias")
        )
        with self.builder.part(Role.HEAD):
            fused = self.concat("head/fused", normed, 1)
            hidden = self.dense("head/hidden", fused, weights[0], biases[0], "RELU")
        with self.builder.part(Role.OUTPUT):
            return self.dense("moments", hidden, weights[1], biases[1])


def lower_window(checkpoint: Checkpoint) -> Graph:
    """The window graph: imu [1, T, Ci], emg [1, T, Ce] -> moments [1, O], float32, before any pass."""
    lowering = _Lowering(checkpoint, "window")
    config = checkpoint.config
    with lowering.builder.part(Role.INPUT):
        inputs = {s: lowering.builder.add(s, (1, config.window, config.channels(s))) for s in config.streams}
    memories = {}
    for stream in config.streams:
        with lowering.builder.part(Role.HIDDEN):
            states = lowering.lstm_layers(stream, inputs[stream])
            newest = lowering.newest(f"{stream}/newest", states)
        memories[stream] = _Memory(states, newest)
    moments = lowering.head(memories)
    return lowering.builder.build(tuple(inputs.values()), (moments,))


def lower_stream(checkpoint: Checkpoint) -> Graph:
    """The stream graph: one row of each input and the rings -> moments [1, O] and the rings moved on, of the window graph by
    the pass that makes it of any."""
    last = checkpoint.config.layers - 1
    return stream_form(
        lower_window(checkpoint), {f"{s}/lstm/{last}/hidden": s for s in checkpoint.config.streams}
    )
