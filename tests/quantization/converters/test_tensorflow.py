"""The tensorflow converter: the replica, the float and int8 graphs on LiteRT and TFLM, and the whole command.

Conversions take seconds each: a small model is converted once for most tests, one of the reference size once.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantization.analysis.inspect import describe_tflite
from quantization.bundle import Bundle
from quantization.convert import convert
from quantization.converters import tensorflow, tensorflow_model
from quantization.graph.graph_file import GraphFile
from quantization.tflite.model import load_model
from quantization.tflite.operators import operator_counts
from quantization.tflite.run import (
    has_tflm,
    quantize,
    run_litert,
    run_tflm,
)
from tests.tools import require_installed
from toolkit.contract import StreamSpec
from toolkit.errors import ConversionError, UsageError
from toolkit.model import float_reference
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import STREAMS, ModelConfig
from toolkit.records import Recording, Signal, Windows

require_installed("tensorflow", "tensorflow")

#: Two heads and odd sizes, so that they are in the one small conversion.
SMALL = ModelConfig(imu_channels=5, emg_channels=3, window=9, hidden=6, heads=2, head_hidden=7)


#: All eight people, whom the shipped checkpoint's split names; two tasks, to be quick.
SYNTHETIC = "synthetic:seconds=4,tasks=level+stairs-up"


def random_windows(config: ModelConfig, count: int, seed: int) -> Windows:
    generator = np.random.default_rng(seed)
    inputs = {
        s: generator.standard_normal((count, config.window, config.channels(s)), np.float32) for s in STREAMS
    }
    zeros = np.zeros(count)
    return Windows(
        inputs, np.zeros((count, len(config.outputs)), np.float32), zeros.astype(np.int32), zeros, ()
    )


def output_scale(content: bytes) -> float:
    (graph,) = describe_tflite(content, "model")["subgraphs"]
    tensor = graph["tensors"][graph["outputs"][0]]
    assert tensor["type"] == "int16" and tensor["quantization"]["zero_point"] == [0]
    return float(tensor["quantization"]["scale"][0])


def relative_error(moments: Any, expected: Any) -> float:
    """RMS difference over the expected values' standard deviation about each output's mean, percent."""
    return float(100 * np.sqrt(np.mean((moments - expected) ** 2) / expected.var(axis=0).mean()))


@pytest.fixture(scope="module")
def small() -> tuple[Checkpoint, list[GraphFile]]:
    checkpoint = Checkpoint.random(SMALL, 3)
    return checkpoint, tensorflow.build(checkpoint, random_windows(SMALL, 100, 1), scheme="int8")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("reference") / "bundle"
    return convert("pretrained", SYNTHETIC, out, converter="tensorflow", calibration_windows=100)


def test_the_graphs_are_named_and_fused(small: tuple[Checkpoint, list[GraphFile]]) -> None:
    int8, float32 = small[1]
    assert [(g.graph, g.scheme) for g in small[1]] == [("window", "int8"), ("window", "float32")]
    for graph in (int8, float32):
        counts = operator_counts(load_model(graph.content))
        assert counts["UNIDIRECTIONAL_SEQUENCE_LSTM"] == 2 and "WHILE" not in counts
        (found,) = describe_tflite(graph.content, "m")["subgraphs"]
        assert [found["tensors"][i]["name"] for i in found["inputs"]] == ["imu", "emg"]
        assert [found["tensors"][i]["name"] for i in found["outputs"]] == ["moments"]
        names = [tensor["name"] for tensor in found["tensors"]]
        assert len(set(names)) == len(names)


def test_float_graph_is_the_reference(small: tuple[Checkpoint, list[GraphFile]]) -> None:
    checkpoint, (_, float32) = small
    inputs = random_windows(SMALL, 20, 5).inputs
    moments, _ = run_litert(float32.content, inputs)
    # float32 arithmetic of some hundred terms: a few units in the seventh digit.
    np.testing.assert_allclose(moments, float_reference.window(checkpoint, inputs), atol=2e-6)


def test_int8_graph_is_integer_throughout_and_near_the_float(
    small: tuple[Checkpoint, list[GraphFile]],
) -> None:
    checkpoint, (int8, _) = small
    (found,) = describe_tflite(int8.content, "m")["subgraphs"]
    used = {i for o in found["operators"] for i in (*o["inputs"], *o["outputs"]) if i >= 0}
    assert {found["tensors"][i]["type"] for i in used} == {"int8", "int16", "int32", "int64"}
    inputs = random_windows(SMALL, 100, 1).inputs
    expected = float_reference.window(checkpoint, inputs)
    scale = output_scale(int8.content)
    moments = run_litert(int8.content, inputs)[0] * scale
    # Random weights spread outputs little, so the relative error is larger than a trained model's: 3.7 measured.
    assert relative_error(moments, expected) < 6
    if has_tflm():
        assert relative_error(run_tflm(int8.content, inputs) * scale, expected) < 6


def test_dense_layers_of_heads_and_norm_are_exact() -> None:
    """The rewriting in ``tensorflow_model`` against the reference's attention, both in float64."""
    checkpoint = Checkpoint.random(SMALL, 4)
    weights = float_reference.cast(checkpoint, np.float64)
    generator = np.random.default_rng(0)
    query, memory = generator.standard_normal((1, 6)), generator.standard_normal((1, 9, 6))
    layers = tensorflow_model.dense_layers(checkpoint)
    for stream in STREAMS:
        weight, bias = layers[f"{stream}.score"]
        u = (query @ weight.T + bias).reshape(2, 6)
        averaged = float_reference.softmax(u @ memory[0].T) @ memory[0]
        weight, bias = layers[f"{stream}.context"]
        context = averaged.reshape(1, 12) @ weight.T + bias
        expected = float_reference.attend(weights, SMALL, stream, query, memory)
        np.testing.assert_allclose(context, expected, atol=1e-12)  # float64: rounding only


def test_a_wrong_gate_order_is_caught_before_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    true_layers = tensorflow_model._lstm_layers

    def swapped(tf_keras: Any, checkpoint: Checkpoint, stream: str) -> Any:
        """Forget gate where the cell candidate belongs: the order of another framework."""
        layers = true_layers(tf_keras, checkpoint, stream)
        for layer in layers:
            parts = []
            for value in layer.get_weights():
                i, f, g, o = np.split(value, 4, axis=-1)
                parts.append(np.concatenate([i, g, f, o], axis=-1))
            layer.set_weights(parts)
        return layers

    monkeypatch.setattr(tensorflow_model, "_lstm_layers", swapped)
    with pytest.raises(ConversionError, match="replica differs from the checkpoint's float reference by"):
        tensorflow.build(Checkpoint.random(SMALL, 3), random_windows(SMALL, 2, 1), scheme="float32")


def test_no_cell_clip_is_left(small: tuple[Checkpoint, list[GraphFile]]) -> None:
    for graph in small[1]:
        model = load_model(graph.content)
        clips = [
            o.builtin_options.cell_clip
            for o in model.subgraphs[0].operators
            if hasattr(o.builtin_options, "cell_clip")
        ]
        assert clips == [0.0] * 2


def test_a_cell_beyond_ten_is_not_clipped() -> None:
    """Gates held open make the cell count up by the sign of the input: 15 steps up, 12 down leave it at 3.

    With the clip of 10 that Keras fusion writes, it would end at -2.
    """
    config = ModelConfig(
        imu_channels=1, emg_channels=1, window=27, hidden=2, head_hidden=1, norm="none", outputs=("m",)
    )
    checkpoint = Checkpoint.random(config, 0)
    weights = {name: np.zeros_like(value) for name, value in checkpoint.weights.items()}
    for stream in STREAMS:
        weights[f"{stream}.lstm.0.weight_ih"] = np.repeat([[0], [0], [20], [0]], 2, axis=0).astype(np.float32)
        weights[f"{stream}.lstm.0.bias"] = np.repeat([20, 20, 0, 20], 2).astype(np.float32)
    weights["head.hidden.weight"] = np.array([[1, 0, 0, 0]], np.float32)
    weights["head.hidden.bias"] = np.array([1], np.float32)
    weights["head.output.weight"] = np.array([[1]], np.float32)
    held = Checkpoint(config, checkpoint.contract, weights)
    (graph,) = tensorflow.build(held, random_windows(config, 2, 0), scheme="float32")
    signs = np.where(np.arange(27) < 15, 1, -1).astype(np.float32).reshape(1, 27, 1)
    moments, _ = run_litert(graph.content, {"imu": signs, "emg": signs})
    np.testing.assert_allclose(moments, [[1 + np.tanh(3)]], atol=1e-4)  # sigmoid(20) is 1 - 2e-9, 27 times


def test_stacked_layers_that_come_out_wrong_in_int8_are_refused() -> None:
    """Desktop LiteRT runs TFLiteConverter's int8 file of this two-layer model several deviations off; TFLM does not.

    That the message is the int8 graph's says that the float graph of two layers has passed its check against the reference.
    """
    config = dataclasses.replace(SMALL, layers=2)
    with pytest.raises(
        ConversionError, match=r"int8 graph is off by .* --converter builtin or --scheme float32"
    ):
        tensorflow.build(Checkpoint.random(config, 3), random_windows(config, 100, 1), scheme="int8")


def test_odd_calibration_data_is_told_as_by_the_builtin_converter() -> None:
    """Its ranges are min-max: what an outlier does to the graph is refused, and the reason given with it."""
    checkpoint, windows = Checkpoint.random(SMALL, 3), random_windows(SMALL, 100, 1)
    windows.inputs["imu"][:, :, 0] = 0.0
    files = tensorflow.build(checkpoint, windows, scheme="int8")
    assert "stream imu: channel 0 is constant in all windows" in files[0].notes
    windows.inputs["emg"][7, 2, 1] = 5000.0
    with pytest.raises(
        ConversionError, match=r"off by .*; stream emg: channel 1 peaks at 5000\.0 .* an outlier in 1 of 100"
    ):
        tensorflow.build(checkpoint, windows, scheme="int8")


def test_unknown_options_are_refused() -> None:
    with pytest.raises(UsageError, match="tensorflow converter has no option magic"):
        tensorflow.build(Checkpoint.random(SMALL, 3), random_windows(SMALL, 2, 1), scheme="int8", magic=1)


def test_reference_model_holds_its_bounds(reference: Bundle) -> None:
    """On windows of other people than those of calibration: at most 2.5 % of the moments' deviation, on both engines."""
    from toolkit import data
    from toolkit.data.splits import Split, select
    from toolkit.data.windows import cut

    split = Split.from_json(reference.checkpoint.split or {})
    windows = cut(select(data.load(SYNTHETIC), split, "test"), reference.contract, 12)
    expected = float_reference.window(reference.checkpoint, windows.inputs)
    content = reference.graph("window", "int8").content
    scale = output_scale(content)
    results = {"litert": run_litert(content, windows.inputs)[0] * scale}
    if has_tflm():
        results["tflm"] = run_tflm(content, windows.inputs) * scale
    float_rmse = np.sqrt(np.mean((expected - windows.targets) ** 2))
    for name, moments in results.items():
        rmse = np.sqrt(np.mean((moments - windows.targets) ** 2))
        assert 100 * (rmse / float_rmse - 1) <= 1.5, name
        error = 100 * np.sqrt(np.mean((moments - expected) ** 2)) / np.sqrt(windows.targets.var(0).mean())
        assert error <= 2.5, name


def test_golden_vectors_are_what_the_graph_gives(reference: Bundle) -> None:
    vectors = reference.golden
    assert vectors["imu"].shape == (32, 64, 24) and vectors["emg"].shape == (32, 64, 9)
    graph = reference.graph("window", "int8")
    (found,) = describe_tflite(graph.content, "m")["subgraphs"]
    for stream, index in zip(STREAMS, found["inputs"]):
        stated = found["tensors"][index]["quantization"]
        whole = quantize(vectors[stream], stated["scale"][0], stated["zero_point"][0])
        np.testing.assert_array_equal(vectors[f"{stream}.window.int8"], whole)
    inputs = {stream: vectors[stream] for stream in STREAMS}
    np.testing.assert_array_equal(vectors["moments.window.int8.litert"], run_litert(graph.content, inputs)[0])
    expected = float_reference.window(reference.checkpoint, inputs)
    np.testing.assert_allclose(vectors["moments.reference"], expected, atol=1e-6)  # stored in float32


def test_the_command_is_deterministic_across_processes_and_quiet(tmp_path: Path) -> None:
    checkpoint = Checkpoint.random(SMALL, 3)
    checkpoint.save(tmp_path / "c.safetensors")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from tests.quantization.converters.test_tensorflow import small_recordings\n"
        "import toolkit.data; toolkit.data.load = lambda source: small_recordings()\n"
        "from edgetool.cli import main; main(sys.argv[2:])\n"
    )
    outputs = []
    for name in ("one", "two"):
        arguments = [
            "--quiet",
            "convert",
            str(tmp_path / "c.safetensors"),
            "--data",
            "walks",
            "--converter",
            "tensorflow",
        ]
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                script,
                str(Path(__file__).parents[3]),
                *arguments,
                "--out",
                str(tmp_path / name),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        *lines, last = done.stdout.splitlines()
        assert max(map(len, lines)) <= 80
        assert last == f"Wrote {tmp_path / name}. Next: edgetool bench {tmp_path / name} --data walks"
        outputs.append(done.stdout)
    assert "window" in outputs[0] and "int8" in outputs[0] and "no stream graph" in outputs[0]
    one, two = (sorted((tmp_path / name).rglob("*.*")) for name in ("one", "two"))
    assert [p.relative_to(tmp_path / "one") for p in one] == [p.relative_to(tmp_path / "two") for p in two]
    for a, b in zip(one, two):
        assert a.read_bytes() == b.read_bytes(), a.name
    text = (tmp_path / "one" / "manifest.json").read_text()
    assert str(tmp_path) not in text


def small_recordings() -> list[Recording]:
    """Two people, two tasks, 2 s each, that fit the small checkpoint's contract."""
    contract = Checkpoint.random(SMALL, 3).contract
    generator = np.random.default_rng(9)
    recordings = []
    for person in ("ann", "bob"):
        for task in ("level", "stairs-up"):
            signals = {
                item.stream.name: Signal(
                    item.stream, 0.0, generator.standard_normal((200, len(item.stream.channels)))
                )
                for item in contract.inputs
            }
            moments = Signal(
                StreamSpec("moments", 100.0, contract.outputs), 0.0, generator.standard_normal((200, 3))
            )
            recordings.append(
                Recording(f"{person}-{task}", person, task, "synthetic", 70.0, signals, moments)
            )
    return recordings
