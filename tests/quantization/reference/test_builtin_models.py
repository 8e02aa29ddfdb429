"""Graphs that the builtin converter writes for random checkpoints: the reference equals the tflite-micro wheel throughout."""

from __future__ import annotations

import os

import numpy as np
import pytest

from quantization.converters.builtin import build
from quantization.graph.graph_file import GraphFile
from quantization.ops.quantize import quantize
from quantization.reference import Interpreter
from quantization.tflite.file import read
from tests.quantization.reference.harness import Tflm, differing
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import STREAMS, ModelConfig
from toolkit.records import Windows

#: Set EDGETOOL_SEED to draw other models.
SEED = int(os.environ.get("EDGETOOL_SEED", "20261123"))
MODELS = 40
PARTS = 4


def drawn_checkpoint(random: np.random.Generator, seed: int) -> Checkpoint:
    """Sizes from one up, one to three heads, one or two layers, with or without norm; recurrent gains up to saturation."""
    heads = int(random.choice([1, 1, 2, 3]))
    hidden = heads * int(random.choice([1, 2, 3, 5]))
    norm = str(random.choice(["layer", "none"]))
    config = ModelConfig(
        imu_channels=int(random.integers(1, 12)),
        emg_channels=int(random.integers(1, 8)),
        window=int(random.choice([1, 2, 5, 9, 16])),
        hidden=hidden,
        layers=int(random.choice([1, 1, 2])),
        heads=heads,
        norm="none" if hidden == 1 else norm,  # type: ignore[arg-type]  # the norm of one unit is always 0
        head_hidden=int(random.integers(1, 12)),
    )
    checkpoint = Checkpoint.random(config, seed)
    gain = 10 ** random.uniform(-1, 1)
    weights = {
        name: (values * gain if ".lstm." in name else values).astype(np.float32)
        for name, values in checkpoint.weights.items()
    }
    return Checkpoint(config, checkpoint.contract, weights)


def drawn_windows(random: np.random.Generator, config: ModelConfig, count: int) -> Windows:
    inputs = {
        s: random.normal(size=(count, config.window, config.channels(s))).astype(np.float32) for s in STREAMS
    }
    targets = np.zeros((count, len(config.outputs)), np.float32)
    return Windows(inputs, targets, np.zeros(count, np.int32), np.arange(count) / 100.0, ())


def stored(windows: Windows, file: GraphFile, window: int, rows: slice) -> list[np.ndarray]:
    """The streams of one window as the graph takes them, louder than calibration was, so that they saturate too."""
    graph = read(file.content)
    values = []
    for index, stream in zip(graph.inputs, STREAMS):
        quantized = graph.tensors[index].affine
        assert quantized is not None
        loud = windows.inputs[stream][window : window + 1, rows] * np.float32(1.5)
        values.append(quantize(loud, quantized).astype(graph.tensors[index].dtype))
    return values


@pytest.mark.parametrize("part", range(PARTS))
def test_native_graphs_of_random_checkpoints(part: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Window graph: two windows. Stream graph: seven samples from reset. All tensors, bit for bit."""
    recipes = [
        {},
        {"wide": []},
        {"wide": ["norm"], "calibration": "minmax", "weight_rounding": "nearest"},
        {"passes": [], "calibration": "percentile", "wide": ["head"]},
    ]
    for number in range(part * MODELS // PARTS, (part + 1) * MODELS // PARTS):
        random = np.random.default_rng([SEED, number])
        checkpoint = drawn_checkpoint(random, number)
        windows = drawn_windows(random, checkpoint.config, 20)
        files = build(checkpoint, windows, scheme="int8", recipe=recipes[number % len(recipes)])
        told = f"seed {SEED}, model {number}, {checkpoint.config}"
        for file in files:
            if file.scheme == "int8" and file.graph == "window":
                compare_windows(file, windows, told)
            elif file.scheme == "int8" and checkpoint.config.window > 1:
                # With a window of 1 the rings have no elements, which TFLM does not allocate.
                compare_stream(file, windows, told)
    with capsys.disabled():
        print(f" [seed {SEED}, checkpoints {part * MODELS // PARTS} to {number}]", end="")


def compare_windows(file: GraphFile, windows: Windows, told: str) -> None:
    reference, wheel = Interpreter(read(file.content)), Tflm(file.content)
    for window in range(2):
        inputs = stored(windows, file, window, slice(None))
        reference.reset()
        reference.run(inputs)
        wheel.run(inputs)
        assert differing(reference, wheel) == [], told


def compare_stream(file: GraphFile, windows: Windows, told: str) -> None:
    assert file.state is not None
    reference, wheel = Interpreter(read(file.content)), Tflm(file.content)
    carried = [c.start() for c in file.state.carried]
    steps = windows.inputs["imu"].shape[1]
    for number in range(7):
        row = number % steps
        inputs = stored(windows, file, number // steps, slice(row, row + 1)) + carried
        outputs = reference.run(inputs)
        wheel.run(inputs, reset=number == 0)
        assert differing(reference, wheel) == [], f"{told}, step {number}"
        carried = [outputs[c.output_place] for c in file.state.carried]
