"""The Cross-LSTM as a TensorFlow function with the checkpoint's weights, in the form that converts best.

Keras 3 cannot be used: its LSTM becomes a WHILE loop, whose int8 conversion ends in a segmentation fault.
tf_keras' LSTM fuses to UNIDIRECTIONAL_SEQUENCE_LSTM when the batch size is fixed. Its gates are in torch's
order (i, f, g, o); its kernels are torch's transposed.

Two rewritings are exact in real numbers and make the int8 graph smaller and nearer to float:

*Attention with one query.* With q = Wq a + bq and keys Wk h_t + bk of one head of size d, the score of step t is
(Wk h_t + bk) . q / sqrt(d) = h_t . (Wk' q) / sqrt(d) + c, and c, the same for all steps, leaves the softmax as it is. So
u = (Wk' Wq a + Wk' bq) / sqrt(d) is one dense layer. The softmax weights w_t sum to 1, so the context is
sum w_t (Wv h_t + bv) = Wv (sum w_t h_t) + bv. No key or value is computed per time step.

*Layer norm.* Its factor and offset are followed by the dense layer alone: W (g * x + b) = (W diag g) x + W b.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import NORM_EPSILON, ModelConfig
from toolkit.model.float_reference import cast

Floats: TypeAlias = NDArray[np.float64]
#: A dense layer: weight [out, in] and bias [out].
Dense: TypeAlias = tuple[Floats, Floats]


def dense_layers(checkpoint: Checkpoint) -> dict[str, Dense]:
    """The replica's dense layers, rewritten as above, float64.

    ``{stream}.score`` maps the newest state to ``heads`` vectors u; ``{stream}.context`` maps the heads' averaged
    states, concatenated, to the context; ``head.hidden`` has the norms folded in; ``head.output`` is as it is.
    """
    weights = cast(checkpoint, np.float64)
    config = checkpoint.config
    layers: dict[str, Dense] = {}
    for stream in config.streams:
        layers[f"{stream}.score"] = _score(weights, config, stream)
        layers[f"{stream}.context"] = _context(weights, config, stream)
    weight, bias = weights["head.hidden.weight"], weights["head.hidden.bias"]
    if config.norm == "layer":
        scale = np.concatenate([weights[f"{stream}.norm.weight"] for stream in config.streams])
        offset = np.concatenate([weights[f"{stream}.norm.bias"] for stream in config.streams])
        weight, bias = weight * scale, bias + weight @ offset
    layers["head.hidden"] = (weight, bias)
    layers["head.output"] = (weights["head.output.weight"], weights["head.output.bias"])
    return layers


def _score(weights: Mapping[str, Floats], config: ModelConfig, stream: str) -> Dense:
    """Weight [heads * H, H] and bias of u, head after head."""
    size = config.head_size
    prefix = f"{stream}.attention"
    parts = []
    for head in range(config.heads):
        rows = slice(head * size, (head + 1) * size)
        key = weights[f"{prefix}.key.weight"][rows].T * size**-0.5
        parts.append(
            (key @ weights[f"{prefix}.query.weight"][rows], key @ weights[f"{prefix}.query.bias"][rows])
        )
    return np.concatenate([weight for weight, _ in parts]), np.concatenate([bias for _, bias in parts])


def _context(weights: Mapping[str, Floats], config: ModelConfig, stream: str) -> Dense:
    """Weight [H, heads * H], block by block: a head's context comes from that head's average alone."""
    size, hidden = config.head_size, config.hidden
    value = weights[f"{stream}.attention.value.weight"]
    weight = np.zeros((hidden, config.heads * hidden))
    for head in range(config.heads):
        rows = slice(head * size, (head + 1) * size)
        weight[rows, head * hidden : (head + 1) * hidden] = value[rows]
    return weight, weights[f"{stream}.attention.value.bias"]


def build(checkpoint: Checkpoint) -> Any:
    """A tf.Module whose ``window(imu, emg)`` takes [1, T, channels] each and gives [1, outputs]; needs tensorflow."""
    import tensorflow as tf
    import tf_keras

    config = checkpoint.config
    module = tf.Module(name="cross_lstm")
    module.lstm = {stream: _lstm_layers(tf_keras, checkpoint, stream) for stream in config.streams}
    layers = {
        name: (tf.constant(w.astype(np.float32)), tf.constant(b.astype(np.float32)))
        for name, (w, b) in dense_layers(checkpoint).items()
    }
    signature = [
        tf.TensorSpec((1, config.window, config.channels(s)), tf.float32, name=s) for s in config.streams
    ]
    module.window = tf.function(_window(tf, config, module.lstm, layers), input_signature=signature)
    return module


def _lstm_layers(tf_keras: Any, checkpoint: Checkpoint, stream: str) -> list[Any]:
    config, weights = checkpoint.config, checkpoint.weights
    result = []
    for index in range(config.layers):
        layer = tf_keras.layers.LSTM(config.hidden, return_sequences=True, name=f"{stream}_lstm_{index}")
        width = config.channels(stream) if index == 0 else config.hidden
        layer.build((1, config.window, width))
        prefix = f"{stream}.lstm.{index}"
        layer.set_weights(
            [weights[f"{prefix}.weight_ih"].T, weights[f"{prefix}.weight_hh"].T, weights[f"{prefix}.bias"]]
        )
        result.append(layer)
    return result


def _window(
    tf: Any, config: ModelConfig, lstm: Mapping[str, list[Any]], layers: Mapping[str, Any]
) -> Callable[..., Any]:
    """The function to trace; each dense layer is MatMul + BiasAdd, which the converter fuses."""

    def dense(name: str, x: Any) -> Any:
        weight, bias = layers[name]
        return tf.nn.bias_add(tf.matmul(x, weight, transpose_b=True), bias)

    def attend(stream: str, newest: Any, memory: Any) -> Any:
        heads, hidden = config.heads, config.hidden
        u = tf.reshape(dense(f"{stream}.score", newest), (1, heads, hidden))
        shares = tf.nn.softmax(tf.matmul(u, memory, transpose_b=True))
        return dense(f"{stream}.context", tf.reshape(tf.matmul(shares, memory), (1, heads * hidden)))

    def norm(x: Any) -> Any:
        if config.norm == "none":
            return x
        centred = x - tf.reduce_mean(x, -1, keepdims=True)
        variance = tf.reduce_mean(centred * centred, -1, keepdims=True)
        return centred * tf.math.rsqrt(variance + NORM_EPSILON)

    def window(*inputs: Any) -> Any:
        memory = dict(zip(config.streams, inputs, strict=True))
        for stream in config.streams:
            for layer in lstm[stream]:
                memory[stream] = layer(memory[stream])
        newest = {stream: memory[stream][:, -1, :] for stream in config.streams}
        features = [
            norm(newest[stream] + attend(stream, newest[stream], memory[config.asked_by(stream)]))
            for stream in config.streams
        ]
        return dense("head.output", tf.nn.relu(dense("head.hidden", tf.concat(features, -1))))

    return window
