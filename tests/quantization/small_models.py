"""Small checkpoints and windows that the tests of the builtin converter share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.graph.ir import Graph
from toolkit.contract import Channel, StreamSpec
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import STREAMS, ModelConfig
from toolkit.records import Recording, Signal, Windows

SMALL = ModelConfig(imu_channels=5, emg_channels=3, window=9, hidden=8, head_hidden=6)
TWO_HEADS = ModelConfig(
    imu_channels=5, emg_channels=3, window=9, hidden=8, heads=2, layers=2, norm="none", head_hidden=6
)

#: The IMU stream alone: its newest state asks its own.
ONE_STREAM = ModelConfig(imu_channels=5, emg_channels=0, window=9, hidden=8, head_hidden=6)


def features(config: ModelConfig, count: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Normalised windows, {stream: (count, window, channels)}."""
    random = np.random.default_rng(seed)
    return {
        s: random.normal(size=(count, config.window, config.channels(s))).astype(np.float32)
        for s in config.streams
    }


def windows(checkpoint: Checkpoint, count: int, seed: int = 0) -> Windows:
    """Windows with the float model's own moments as labels, plus a little noise so that RMSE is not 0."""
    from toolkit.model import float_reference

    inputs = features(checkpoint.config, count, seed)
    noise = np.random.default_rng(seed + 1).normal(0, 0.05, (count, len(checkpoint.config.outputs)))
    targets = (float_reference.window(checkpoint, inputs) + noise).astype(np.float32)
    signal = Signal(StreamSpec("imu", 100.0, (Channel("x", "rad/s"),)), 0.0, np.zeros((count, 1)))
    recording = Recording("drawn", "nobody", "level", "synthetic", 70.0, {"imu": signal})
    return Windows(inputs, targets, np.zeros(count, np.int32), np.arange(count) / 100.0, (recording,))


def stored(
    graph: Graph, inputs: Mapping[str, NDArray[np.float32]], names: tuple[str, ...] = STREAMS
) -> dict[str, Any]:
    """Inputs in the graph's own numbers, with the axis of windows in front of the graph's batch of 1."""
    result = {}
    for name in names:
        quantization = graph.tensor(name).quantization
        assert quantization is not None
        values = np.rint(inputs[name].astype(np.float64) / quantization.scale[0]) + quantization.zero_point[0]
        result[name] = np.clip(values, -128, 127).astype(np.int8)[:, None]
    return result
