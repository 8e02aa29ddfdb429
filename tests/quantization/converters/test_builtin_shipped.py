"""The shipped checkpoint through the builtin and the tensorflow converter in one run: accuracy of window and stream.

Conversions are whole commands in processes of their own, as a user runs them; the builtin one's cannot import
tensorflow or torch. Data is synthetic gait; figures are of people whom neither training nor calibration saw.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

import toolkit.data
from quantization.bundle import Bundle
from quantization.graph.graph_file import GraphFile
from quantization.graph.ir import Graph
from quantization.tflite.file import read
from quantization.tflite.run import has_tflm, run_litert, run_tflm
from tests.tools import require_installed
from toolkit.data.splits import Split, select
from toolkit.data.windows import cut
from toolkit.model import float_reference
from toolkit.model.config import STREAMS
from toolkit.records import Windows

SYNTHETIC = "synthetic:people=8,seconds=8"
#: Windows are cut this far apart: 493 of them.
STRIDE = 30

_BLOCKED = """
import sys
for name in ("tensorflow", "tf_keras", "torch"):
    sys.modules[name] = None
"""
_COMMAND = """
import sys
from edgetool.cli import main
main(sys.argv[1:])
"""


def converted(out: Path, converter: str) -> None:
    """Convert the shipped checkpoint to ``out``."""
    script = (_BLOCKED if converter == "builtin" else "") + _COMMAND
    arguments = ["convert", "pretrained", "--data", SYNTHETIC, "--converter", converter, "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("native") / "bundle"
    converted(folder, "builtin")
    return folder


@pytest.fixture(scope="module")
def unseen(native: Path) -> Windows:
    bundle = Bundle.load(native)
    split = Split.from_json(bundle.checkpoint.split or {})
    return cut(select(toolkit.data.load(SYNTHETIC), split, "test"), bundle.contract, STRIDE)


def figures(estimates: NDArray[Any], expected: NDArray[Any], targets: NDArray[Any]) -> tuple[float, float]:
    """RMSE increase over float, and error against float over the deviation of the moments, in percent."""
    rmse, float_rmse = (np.sqrt(np.mean((x - targets) ** 2)) for x in (estimates, expected))
    deviation = np.sqrt(np.mean(targets.var(axis=0)))
    error = np.sqrt(np.mean((estimates - expected) ** 2)) / deviation
    return 100 * float(rmse / float_rmse - 1), 100 * float(error)


def window_moments(file: GraphFile, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    """Moments in Nm/kg of an int8 window graph, by engine."""
    graph = read(file.content)
    scale = output_scale(graph)
    results = {"litert": run_litert(file.content, inputs)[0] * scale}
    if has_tflm():
        results["tflm"] = run_tflm(file.content, inputs) * scale
    return results


def output_scale(graph: Graph) -> float:
    quantization = graph.tensors[graph.outputs[0]].quantization
    assert quantization is not None
    return float(quantization.scale[0])


def test_it_converts_where_tensorflow_and_torch_cannot_be_imported(native: Path) -> None:
    """How long it takes is measured by ``python -m benchmarks.studies.convert_speed``, not asserted here."""
    manifest = Bundle.load(native).manifest
    assert manifest["converter"]["name"] == "builtin"
    assert manifest["data"]["calibration_windows"] == 200


def test_window_graph_holds_its_bounds_on_both_engines(native: Path, unseen: Windows) -> None:
    bundle = Bundle.load(native)
    assert len(unseen) > 400
    expected = float_reference.window(bundle.checkpoint, unseen.inputs)
    for engine, moments in window_moments(bundle.graph("window", "int8"), unseen.inputs).items():
        increase, error = figures(moments, expected, unseen.targets)
        assert increase <= 0.5, engine
        assert error <= 1.0, engine


def test_it_is_nearer_to_float_than_tflite_converter(native: Path, unseen: Windows, tmp_path: Path) -> None:
    require_installed("tf_keras", "tensorflow")
    converted(tmp_path / "peer", "tensorflow")
    bundles = Bundle.load(native), Bundle.load(tmp_path / "peer")
    expected = float_reference.window(bundles[0].checkpoint, unseen.inputs)
    ours, theirs = (
        {
            engine: figures(moments, expected, unseen.targets)[1]
            for engine, moments in window_moments(b.graph("window", "int8"), unseen.inputs).items()
        }
        for b in bundles
    )
    # Only the error is compared: RMSE may fall by luck when errors point at the labels, and its sign is then no merit.
    for engine in ours:
        assert ours[engine] < theirs[engine], engine


class Stream:
    """The int8 stream graph on LiteRT, from reset."""

    def __init__(self, file: GraphFile) -> None:
        assert file.state is not None
        self.graph = read(file.content)
        self.scale = output_scale(self.graph)
        self.interpreter = Interpreter(model_content=file.content, num_threads=1)
        self.interpreter.allocate_tensors()
        self.interpreter.reset_all_variables()
        ins = {d["name"]: d["index"] for d in self.interpreter.get_input_details()}
        outs = {d["name"]: d["index"] for d in self.interpreter.get_output_details()}
        self.ins, self.moments = ins, outs["moments"]
        self.pairs = [(ins[c.input], outs[c.output]) for c in file.state.carried]
        for name, first in file.state.start().items():
            self.interpreter.set_tensor(ins[name], first)

    def rows(self, inputs: Mapping[str, NDArray[np.float32]], row: int) -> dict[str, NDArray[np.int8]]:
        """A sample of each stream as the graph takes it."""
        result = {}
        for stream in STREAMS:
            quantization = self.graph.tensor(stream).quantization
            assert quantization is not None
            scaled = np.rint(inputs[stream][row].astype(np.float64) / quantization.scale[0])
            whole = np.clip(scaled + quantization.zero_point[0], -128, 127)
            result[stream] = whole.astype(np.int8)[None, None]
        return result

    def step(self, rows: Mapping[str, NDArray[np.int8]]) -> NDArray[np.float64]:
        """One sample in, one moment out in Nm/kg, and the state moved on."""
        for stream, values in rows.items():
            self.interpreter.set_tensor(self.ins[stream], values)
        self.interpreter.invoke()
        for into, out in self.pairs:
            self.interpreter.set_tensor(into, self.interpreter.get_tensor(out))
        moments: NDArray[np.float64] = self.interpreter.get_tensor(self.moments)[0] * self.scale
        return moments


def test_stream_graph_holds_its_bounds_with_state_carried_over_a_recording(native: Path) -> None:
    """Against the float stream: what quantization costs. State is never reset within a recording."""
    bundle = Bundle.load(native)
    split = Split.from_json(bundle.checkpoint.split or {})
    recordings = toolkit.data.load(SYNTHETIC)
    estimates, expected, targets = [], [], []
    for segment in select(recordings, split, "test")[::2]:
        windows = cut([segment], bundle.contract)
        # Windows one row apart: the first, then the last row of each later one, is the recording itself.
        inputs = {s: np.concatenate([windows.inputs[s][0], windows.inputs[s][1:, -1]]) for s in STREAMS}
        stream = Stream(bundle.graph("stream", "int8"))
        moments = np.array([stream.step(stream.rows(inputs, r)) for r in range(len(inputs["imu"]))])
        first = bundle.contract.window - 1
        estimates.append(moments[first:])
        expected.append(float_reference.stream(bundle.checkpoint, inputs)[first:])
        targets.append(windows.targets)
    increase, error = figures(*(np.concatenate(each) for each in (estimates, expected, targets)))
    assert sum(map(len, targets)) > 2500
    assert increase <= 0.5
    assert error <= 1.0
