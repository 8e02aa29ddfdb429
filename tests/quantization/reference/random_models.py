"""Randomly drawn int8 Cross-LSTM graphs with quantization parameters that no calibration would choose.

Nothing is calibrated: scales are drawn around what the values need, zero points often at an end of the range, recurrent
gains up to saturation, so that the corners of the arithmetic are met. Ops and types are those that graphs of the project
use, in several forms: projections folded or not, layer norm or none, attention in int8 or int16.
"""

from __future__ import annotations

import numpy as np

from quantization.graph.ir import Graph, GraphBuilder, Quantization
from tests.quantization.reference.harness import (
    INT8,
    INT16,
    quantization,
    zero_point,
)


class RandomModel:
    """Draws one window graph from a generator; ``build`` returns it, ``inputs(n)`` draws n windows for it."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.builder = GraphBuilder("random")
        self.steps = int(random.choice([1, 2, 3, 5, 7, 11, 13, 17]))
        self.units = int(random.choice([1, 2, 3, 4, 5, 7, 8, 9]))
        self.channels = tuple(int(v) for v in random.choice([1, 2, 3, 5, 8, 11], 2))
        self.norm = bool(random.integers(2))
        self.folded = bool(random.integers(2))
        self.wide = bool(random.integers(2))
        self.layers = int(random.choice([1, 1, 2]))

    def _name(self, stem: str) -> str:
        return f"{stem}_{len(self.builder.tensors)}"

    def _scale(self, low: float, high: float) -> float:
        return float(10 ** self.random.uniform(low, high))

    def _tensor(
        self, stem: str, shape: tuple[int, ...], scale: float, dtype: np.dtype = INT8, zero: int | None = None
    ) -> int:
        zero = zero_point(self.random, dtype) if zero is None else zero
        return self.builder.add(self._name(stem), shape, dtype, quantization(scale, zero))

    def _weights(self, shape: tuple[int, ...], scale: object) -> int:
        values = self.random.integers(-127, 128, shape).astype(np.int8)
        return self.builder.constant(self._name("weights"), values, quantization(scale))

    def _quantization(self, index: int) -> Quantization:
        found = self.builder.tensors[index].quantization
        assert found is not None
        return found

    def _step(self, index: int) -> float:
        return float(self._quantization(index).scale[0])

    def _shape(self, index: int) -> tuple[int, ...]:
        return self.builder.tensors[index].shape

    def _dtype(self, index: int) -> np.dtype:
        return self.builder.tensors[index].dtype

    def lstm(self, source: int) -> int:
        """An LSTM whose gate sums go from small to saturated."""
        random, units = self.random, self.units
        depth = self._shape(source)[2]
        sx, sh = self._step(source), self._scale(-2.3, -2.0)
        gain = self._scale(-1.5, 1.5)
        hidden_zero = zero_point(random, INT8)
        input_weights, recurrent, bias = [], [], []
        for _ in range(4):
            sw = gain / (sx * 127 * 74 * depth**0.5) * self._scale(-0.3, 0.3)
            input_weights.append(self._weights((units, depth), sw))
            recurrent.append(
                self._weights((units, units), gain / (sh * 127 * 74 * units**0.5) * self._scale(-0.3, 0.3))
            )
            values = random.normal(0, 1 / (sx * sw), units).clip(-(2**30), 2**30).astype(np.int32)
            bias.append(
                self.builder.constant(
                    self._name("bias"), values, quantization(np.float32(sx) * np.float32(sw))
                )
            )
        cell_scale = 2.0 ** -int(random.choice([15, 13, 12, 11, 10, 9]))
        state = self.builder.add(
            self._name("hidden_state"), (1, units), INT8, quantization(sh, hidden_zero), is_variable=True
        )
        cell = self.builder.add(
            self._name("cell_state"), (1, units), INT16, quantization(cell_scale), is_variable=True
        )
        out = self._tensor("hidden", (1, self.steps, units), sh, INT8, hidden_zero)
        intermediates = tuple(self.builder.add(self._name("gate"), (0,), np.float32) for _ in range(4))
        intermediates += (self._tensor("gate_hidden", (0,), sh, INT8, hidden_zero),)
        self.builder.op(
            "UNIDIRECTIONAL_SEQUENCE_LSTM",
            (source, *input_weights, *recurrent, -1, -1, -1, *bias, -1, -1, state, cell, -1, -1, -1, -1),
            (out,),
            intermediates,
            fused_activation_function="TANH",
            cell_clip=float(random.choice([0.0, 10.0, 1.0, 0.3])),
            proj_clip=0.0,
            time_major=False,
        )
        return out

    def dense(self, source: int, units: int, activation: str = "NONE") -> int:
        """FULLY_CONNECTED in the type of its input, per channel or per tensor."""
        dtype = self._dtype(source)
        shape = self._shape(source)
        sx = self._step(source)
        sw = 10 ** self.random.uniform(-2.5, -2, units if self.random.integers(2) else 1)
        full = 64 if dtype == INT8 else 6000
        sy = sx * float(sw.max()) * 74 * shape[-1] ** 0.5 * full / full * self._scale(-0.3, 0.7)
        bias_type = np.int32 if dtype == INT8 else np.int64
        bias = self.builder.constant(
            self._name("bias"),
            self.random.integers(-3000, 3000, units).astype(bias_type),
            quantization(np.float32(sx) * sw.astype(np.float32)),
        )
        out = self._tensor("dense", (*shape[:-1], units), sy, dtype)
        self.builder.op(
            "FULLY_CONNECTED",
            (source, self._weights((units, shape[-1]), sw), bias),
            (out,),
            fused_activation_function=activation,
            keep_num_dims=True,
        )
        return out

    def last(self, source: int) -> int:
        """The last time step, [1, 1, units]."""
        steps, units = self._shape(source)[1:]
        ends = [
            self.builder.constant(self._name("ends"), np.array(v, np.int32))
            for v in ((0, steps - 1, 0), (1, steps, units), (1, 1, 1))
        ]
        out = self.builder.add(
            self._name("last"), (1, 1, units), self._dtype(source), self._quantization(source)
        )
        self.builder.op("STRIDED_SLICE", (source, *ends), (out,))
        return out

    def rescaled(self, source: int, dtype: np.dtype) -> int:
        """QUANTIZE to int16, or back to int8."""
        ratio = np.iinfo(self._dtype(source)).max / np.iinfo(dtype).max
        out = self._tensor(
            "rescaled", self._shape(source), self._step(source) * ratio * self._scale(0, 0.5), dtype
        )
        self.builder.op("QUANTIZE", (source,), (out,))
        return out

    def matmul(self, left: int, right: int, columns: int, *, adjoint: bool) -> int:
        """BATCH_MATMUL of [1, 1, depth] with the memory."""
        depth = self._shape(left)[2]
        rms = 74 if self._dtype(left) == INT8 else 9000
        sy = self._step(left) * self._step(right) * rms * depth**0.5 * self._scale(-0.3, 0.7)
        out = self._tensor("product", (1, 1, columns), sy, self._dtype(left))
        self.builder.op("BATCH_MATMUL", (left, right), (out,), adj_x=False, adj_y=adjoint)
        return out

    def attend(self, query: int, memory: int) -> int:
        """Softmax attention of one query over the memory, its context rescaled to int8."""
        if self.folded:
            query = self.dense(query, self.units)
            keys = values = memory
        else:
            query, keys, values = (self.dense(source, self.units) for source in (query, memory, memory))
        if self.wide:
            query, keys = self.rescaled(query, INT16), self.rescaled(keys, INT16)
        scores = self.matmul(query, keys, self.steps, adjoint=True)
        dtype = self._dtype(scores)
        weights = (
            self._tensor("weights", (1, 1, self.steps), 2.0**-15, INT16, 0)
            if dtype == INT16
            else self._tensor("weights", (1, 1, self.steps), 2.0**-8, INT8, -128)
        )
        self.builder.op("SOFTMAX", (scores,), (weights,), beta=float(self.random.choice([1.0, 0.125])))
        if dtype == INT16:
            values = self.rescaled(values, INT16)
        context = self.matmul(weights, values, self.units, adjoint=False)
        return self.rescaled(context, INT8) if dtype == INT16 else context

    def binary(self, kind: str, left: int, right: int, scale: float, zero: int | None = None) -> int:
        """ADD, SUB, MUL or SQUARED_DIFFERENCE with broadcasting."""
        shape = np.broadcast_shapes(self._shape(left), self._shape(right))
        out = self._tensor(kind.lower(), shape, scale, self._dtype(left), zero)
        self.builder.op(kind, (left, right), (out,))
        return out

    def mean(self, source: int, scale: float, zero: int | None = None) -> int:
        axes = self.builder.constant(self._name("axes"), np.array([2], np.int32))
        out = self._tensor("mean", (*self._shape(source)[:-1], 1), scale, INT8, zero)
        self.builder.op("MEAN", (source, axes), (out,), keep_dims=True)
        return out

    def layer_norm(self, source: int) -> int:
        """(x - mean) * rsqrt(var + epsilon) * gamma + beta, every step quantized to int8."""
        s = self._step(source)
        average = self.mean(source, s * self._scale(-0.5, 0))
        squared = self.binary(
            "SQUARED_DIFFERENCE", source, average, s * s * 64 * self._scale(-0.3, 0.5), -128
        )
        variance = self.mean(squared, self._step(squared) * self._scale(-0.7, 0), -128)
        epsilon = self.builder.constant(
            self._name("epsilon"), np.array([127], np.int8), quantization(1e-5 / 255, -128)
        )
        safe = self.binary("ADD", variance, epsilon, self._step(variance) * self._scale(0, 0.2), -128)
        root = self._tensor(
            "rsqrt", self._shape(safe), (self._step(safe) * 3) ** -0.5 / 127 * self._scale(-0.3, 0.5)
        )
        self.builder.op("RSQRT", (safe,), (root,))
        centred = self.binary("SUB", source, average, s * self._scale(0, 0.3))
        scaled = self.binary("MUL", centred, root, s * self._step(root) * 64 * self._scale(-0.3, 0.5))
        gamma = self._weights((self.units,), 0.01)
        beta = self._weights((self.units,), 0.01)
        product = self.binary("MUL", scaled, gamma, self._step(scaled) * self._scale(-0.3, 0.3))
        return self.binary("ADD", product, beta, max(self._step(product), 0.01) * self._scale(0, 0.3))

    def build(self) -> Graph:
        builder, random = self.builder, self.random
        fed = [
            self._tensor(name, (1, self.steps, channels), self._scale(-2.5, -1))
            for name, channels in zip(("imu", "emg"), self.channels)
        ]
        streams = list(fed)
        for _ in range(self.layers):
            streams = [self.lstm(source) for source in streams]
        fused = []
        for own, other in (streams, streams[::-1]):
            query = self.last(own)
            context = self.attend(query, other)
            total = self.binary(
                "ADD", query, context, max(self._step(query), self._step(context)) * self._scale(0, 0.3)
            )
            fused.append(self.layer_norm(total) if self.norm else total)
        same = [self.rescaled(part, INT8) for part in fused]
        shared = self._quantization(same[0])
        second = builder.add(self._name("same"), self._shape(same[1]), INT8, shared)
        builder.op("QUANTIZE", (same[1],), (second,))
        joined = builder.add(self._name("joined"), (1, 1, 2 * self.units), INT8, shared)
        builder.op("CONCATENATION", (same[0], second), (joined,), axis=2, fused_activation_function="NONE")
        shape = builder.constant(self._name("shape"), np.array([1, 2 * self.units], np.int32))
        flat = builder.add(self._name("flat"), (1, 2 * self.units), INT8, shared)
        builder.op("RESHAPE", (joined, shape), (flat,), new_shape=(1, 2 * self.units))
        hidden = self.dense(flat, int(random.integers(1, 12)), "RELU")
        if self.wide:
            hidden = self.rescaled(hidden, INT16)
        moments = self.dense(hidden, int(random.integers(1, 4)))
        real = builder.add("moments", self._shape(moments), np.float32)
        builder.op("DEQUANTIZE", (moments,), (real,))
        return builder.build(tuple(fed), (real,))

    def inputs(self, count: int) -> list[np.ndarray]:
        """Windows from quiet to saturated."""
        drawn = []
        for channels in self.channels:
            spread = self.random.choice([3.0, 40.0, 200.0])
            values = self.random.normal(0, spread, (count, 1, self.steps, channels))
            drawn.append(values.round().clip(-128, 127).astype(np.int8))
        return drawn
