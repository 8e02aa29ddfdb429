"""The shipped checkpoint, converted: the reference equals the tflite-micro wheel on all tensors of 1,000 windows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRt

import toolkit.data
from quantization.calibration_windows import draw
from quantization.converters import converter_named
from quantization.graph.graph_file import GraphFile
from quantization.graph.ir import Graph
from quantization.ops.quantize import quantize
from quantization.reference import Interpreter
from quantization.tflite.file import read
from tests.quantization.reference.harness import Desktop, Tflm, differing
from toolkit.model import pretrained
from toolkit.model.checkpoint import Checkpoint

WINDOWS = 1000


@dataclass(frozen=True)
class Shipped:
    """int8 graphs by kind, and 1,000 quantized windows of synthetic gait in the order of the graphs' first inputs."""

    files: dict[str, GraphFile]
    inputs: list[np.ndarray]

    def step(self, window: int, time: int) -> list[np.ndarray]:
        """One sample of each stream, (1, 1, channels)."""
        return [values[window, :, time : time + 1] for values in self.inputs]


@pytest.fixture(scope="module")
def shipped() -> Shipped:
    checkpoint = Checkpoint.load(Path(pretrained()))
    windows = draw(checkpoint, toolkit.data.load("synthetic"), WINDOWS, 5).calibration
    assert len(windows) == WINDOWS
    files = converter_named("builtin")(checkpoint, windows.take(slice(0, WINDOWS, 5)), scheme="int8")
    graphs = {file.graph: file for file in files if file.scheme == "int8"}
    graph = read(graphs["window"].content)
    inputs = []
    for index in graph.inputs:
        tensor = graph.tensors[index]
        quantized = tensor.affine
        assert quantized is not None
        inputs.append(quantize(windows.inputs[tensor.name], quantized).astype(np.int8)[:, None])
    return Shipped(graphs, inputs)


def test_all_tensors_of_1000_windows_equal_the_wheel(shipped: Shipped) -> None:
    content, inputs = shipped.files["window"].content, shipped.inputs
    reference, wheel = Interpreter(read(content)), Tflm(content)
    reference.run(inputs)
    for window in range(WINDOWS):
        wheel.run([values[window] for values in inputs])
        assert differing(reference, wheel, window) == [], f"window {window}"


def test_all_tensors_of_50_windows_equal_litert_reference_kernels(
    shipped: Shipped,
) -> None:
    content, inputs = shipped.files["window"].content, shipped.inputs
    reference, desktop = Interpreter(read(content), "litert"), Desktop(content)
    few = [values[:50] for values in inputs]
    reference.run(few)
    for window in range(50):
        desktop.run([values[window] for values in few])
        assert differing(reference, desktop, window) == [], f"window {window}"


def test_moments_of_litert_as_users_run_it(shipped: Shipped) -> None:
    """LiteRT's default kernels and delegate: the builtin converter's window graph holds no op in which they differ."""
    graph = read(shipped.files["window"].content)
    reference = Interpreter(graph, "litert")
    few = [values[:50] for values in shipped.inputs]
    (expected,) = reference.run(few)
    interpreter = LiteRt(model_content=shipped.files["window"].content, num_threads=1)
    interpreter.allocate_tensors()
    places = [detail["index"] for detail in interpreter.get_input_details()]
    for window in range(50):
        interpreter.reset_all_variables()
        for place, values in zip(places, few):
            interpreter.set_tensor(place, values[window])
        interpreter.invoke()
        moments = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        np.testing.assert_array_equal(moments, expected[window])


def first_carried(file: GraphFile) -> list[np.ndarray]:
    """The carried inputs of a stream graph right after a reset."""
    assert file.state is not None
    return [c.start() for c in file.state.carried]


def carried_from(graph: Graph, outputs: list[np.ndarray], file: GraphFile) -> list[np.ndarray]:
    """The carried inputs of the next step, from the outputs of this one."""
    assert file.state is not None
    return [outputs[c.output_place] for c in file.state.carried]


@pytest.mark.parametrize("semantics", ["tflm", "litert"])
def test_every_step_of_the_stream_graph_equals_the_engine(shipped: Shipped, semantics: str) -> None:
    """150 samples in a row, more than two windows long: all tensors of each step."""
    file = shipped.files["stream"]
    graph = read(file.content)
    reference = Interpreter(graph, semantics)
    running = Tflm(file.content) if semantics == "tflm" else Desktop(file.content)
    carried = first_carried(file)
    for number in range(150):
        inputs = shipped.step(number // 64, number % 64) + carried
        outputs = reference.run(inputs)
        running.run(inputs, reset=number == 0)
        assert differing(reference, running) == [], f"step {number}"
        carried = carried_from(graph, outputs, file)


@pytest.mark.parametrize("semantics", ["tflm", "litert"])
def test_a_window_of_steps_from_reset_equals_the_window_graph(shipped: Shipped, semantics: str) -> None:
    """40 windows at once, each step by step from reset: the last moments are those of the window graph, bit for bit."""
    window = Interpreter(read(shipped.files["window"].content), semantics)
    few = [values[:40] for values in shipped.inputs]
    (expected,) = window.run(few)
    file = shipped.files["stream"]
    graph = read(file.content)
    stream = Interpreter(graph, semantics)
    carried = [np.repeat(values[None], 40, axis=0) for values in first_carried(file)]
    for time in range(few[0].shape[2]):
        outputs = stream.run([values[:, :, time : time + 1] for values in few] + carried)
        carried = carried_from(graph, outputs, file)
    np.testing.assert_array_equal(outputs[0], expected)
