"""The shipped checkpoint, converted: the reference equals the tflite-micro wheel on all tensors of 1,000 windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from integer_harness import Desktop, Tflm, differing

import toolkit.data
from quantization.convert import draw
from quantization.engines import ENGINES, engine
from quantization.integer_reference import Interpreter
from quantization.integer_reference.elementwise import quantize
from quantization.integer_reference.interpreter import affine
from quantization.tflite_file import read
from toolkit.model import pretrained
from toolkit.model.checkpoint import Checkpoint

WINDOWS = 1000


@pytest.fixture(scope="module")
def shipped() -> tuple[bytes, list[np.ndarray]]:
    """The int8 window graph of the shipped checkpoint and 1,000 quantized windows of synthetic gait."""
    checkpoint = Checkpoint.load(Path(pretrained()))
    windows = draw(checkpoint, toolkit.data.load("synthetic"), WINDOWS, 5).calibration
    assert len(windows) == WINDOWS
    # The native engine takes a second or two, TFLiteConverter ten.
    build = engine("native" if "native" in ENGINES else "tensorflow")
    files = build(checkpoint, windows.take(slice(0, WINDOWS, 5)), scheme="int8")
    content = next(file.content for file in files if (file.graph, file.scheme) == ("window", "int8"))
    graph = read(content)
    inputs = []
    for index in graph.inputs:
        tensor = graph.tensors[index]
        quantized = affine(tensor)
        assert quantized is not None
        inputs.append(quantize(windows.inputs[tensor.name], quantized).astype(np.int8)[:, None])
    return content, inputs


def test_all_tensors_of_1000_windows_equal_the_wheel(shipped: tuple[bytes, list[np.ndarray]]) -> None:
    content, inputs = shipped
    reference, wheel = Interpreter(read(content)), Tflm(content)
    reference.run(inputs)
    for window in range(WINDOWS):
        wheel.run([values[window] for values in inputs])
        assert differing(reference, wheel, window) == [], f"window {window}"


def test_all_tensors_of_50_windows_equal_litert_reference_kernels(
    shipped: tuple[bytes, list[np.ndarray]],
) -> None:
    content, inputs = shipped
    reference, desktop = Interpreter(read(content), "litert"), Desktop(content)
    few = [values[:50] for values in inputs]
    reference.run(few)
    for window in range(50):
        desktop.run([values[window] for values in few])
        assert differing(reference, desktop, window) == [], f"window {window}"
