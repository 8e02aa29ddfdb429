"""Error attribution on real bundles: it names a tensor that was spoilt on purpose, and its columns are what they say."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgetool.commands.inspect import command
from quantization.analysis.compare_litert import differences
from quantization.analysis.error_attribution import attribute_errors, attribute_windows
from quantization.analysis.error_records import Attribution
from quantization.analysis.error_report import page
from quantization.bundle import Bundle
from quantization.convert import convert
from quantization.converters.builtin import build
from quantization.graph.graph_file import GraphFile
from quantization.graph.ir import Graph, Quantization
from quantization.tflite.file import read, write
from toolkit.errors import UsageError
from toolkit.model import float_reference
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import STREAMS, ModelConfig
from toolkit.records import Windows

SYNTHETIC = "synthetic:seconds=8,tasks=level+stairs-up"
HAS_TFLM = importlib.util.find_spec("tflite_micro") is not None


@pytest.fixture(scope="module")
def small() -> tuple[Checkpoint, Windows, list[GraphFile]]:
    """A random model and 40 windows whose reference moments are its own, with a little noise."""
    config = ModelConfig(imu_channels=5, emg_channels=3, window=9, hidden=6, head_hidden=7)
    checkpoint = Checkpoint.random(config, 11)
    random = np.random.default_rng(12)
    inputs = {s: random.normal(size=(40, 9, config.channels(s))).astype(np.float32) for s in STREAMS}
    moments = float_reference.window(checkpoint, inputs)
    targets = moments + random.normal(0, 0.1 * moments.std(), moments.shape)
    windows = Windows(inputs, targets.astype(np.float32), np.zeros(40, np.int32), np.arange(40) / 100, ())
    return checkpoint, windows, build(checkpoint, windows, scheme="int8")


def bundle_of(checkpoint: Checkpoint, files: list[GraphFile]) -> Bundle:
    return Bundle(Path("bundle"), {"data": {"source": "synthetic"}}, checkpoint, tuple(files))


def coarser(graph: Graph, name: str, factor: float) -> Graph:
    """The graph with the scale of one tensor multiplied, and those of the biases that follow from it."""
    tensors = list(graph.tensors)

    def rescale(index: int, data: np.ndarray | None) -> None:
        quantized = tensors[index].quantization
        assert quantized is not None
        changed = Quantization(quantized.scale * np.float32(factor), quantized.zero_point)
        tensors[index] = replace(tensors[index], quantization=changed, data=data)

    spoilt = graph.index(name)
    rescale(spoilt, None)
    for op in graph.ops:
        if op.kind == "FULLY_CONNECTED" and op.inputs[0] == spoilt:
            bias = tensors[op.inputs[2]].data
            assert bias is not None
            rescale(op.inputs[2], np.rint(bias / factor).astype(bias.dtype))
    return replace(graph, tensors=tuple(tensors))


def test_the_columns_are_what_they_say(small: tuple[Checkpoint, Windows, list[GraphFile]]) -> None:
    checkpoint, windows, files = small
    found = attribute_windows(bundle_of(checkpoint, files), windows)
    outputs = {item.engine: item for item in found.outputs}
    expected = float_reference.window(checkpoint, windows.inputs)
    rmse = float(np.sqrt(np.mean((expected - windows.targets) ** 2)))
    # The float column runs on the graph's float32 weights in float64.
    assert outputs["float"].rmse == pytest.approx(rmse, rel=1e-5)
    assert outputs["float"].error_vs_float_pct == 0.0
    if HAS_TFLM:
        # The reference is TFLM's arithmetic: not close, the same.
        assert replace(outputs["tflm"], engine="reference") == outputs["reference"]
        for item in found.tensors:
            if "tflm" in item.error_pct:
                assert item.error_pct["tflm"] == item.error_pct["reference"], item.name
    # The first step's inputs hold rounding alone: at most half a step.
    imu = next(item for item in found.tensors if item.name == "imu")
    step = float(read(files[2].content).tensor("imu").quantization.scale[0])  # type: ignore[union-attr]
    saturated = np.abs(windows.inputs["imu"]) > 0.9 * np.abs(windows.inputs["imu"]).max()
    assert saturated.any()
    assert imu.error_pct["reference"] * imu.deviation / 100 <= step / 2
    assert len(imu.over_time["reference"]) == 9
    json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize("name", ["head/hidden", "imu"])
def test_a_spoilt_tensor_is_named_first(
    small: tuple[Checkpoint, Windows, list[GraphFile]], name: str
) -> None:
    """The tensor's step is made four times its deviation: it must head the list, and cost far more than before."""
    checkpoint, windows, files = small
    window = next(file for file in files if (file.graph, file.scheme) == ("window", "int8"))
    graph = read(window.content)
    before = attribute_windows(bundle_of(checkpoint, files), windows)
    deviation = next(item for item in before.tensors if item.name == name).deviation
    quantized = graph.tensor(name).quantization
    assert quantized is not None
    spoilt = coarser(graph, name, 4 * deviation / float(quantized.scale[0]))
    others = [replace(file, content=write(spoilt)) if file is window else file for file in files]
    found = attribute_windows(bundle_of(checkpoint, others), windows)
    assert found.losses[0].source == name
    intact = next(item for item in before.losses if item.source == name)
    assert found.losses[0].alone_error_pct > 10 * intact.alone_error_pct


def test_sixteen_bits_give_back_what_a_coarse_tensor_took() -> None:
    """An int8 head: with its hidden layer's 8 bits spoilt, 16 bits over the same range take most of the error off."""
    config = ModelConfig(imu_channels=4, emg_channels=3, window=5, hidden=5, head_hidden=6, norm="none")
    checkpoint = Checkpoint.random(config, 5)
    random = np.random.default_rng(6)
    inputs = {s: random.normal(size=(60, 5, config.channels(s))).astype(np.float32) for s in STREAMS}
    moments = float_reference.window(checkpoint, inputs)
    windows = Windows(
        inputs, moments.astype(np.float32) + np.float32(0.01), np.zeros(60, np.int32), np.arange(60) / 100, ()
    )
    files = build(checkpoint, windows, scheme="int8", recipe={"wide": []})
    window = next(file for file in files if (file.graph, file.scheme) == ("window", "int8"))
    graph = read(window.content)
    assert graph.tensor("head/hidden").dtype == np.int8
    spoilt = replace(window, content=write(coarser(graph, "head/hidden", 40.0)))
    found = attribute_windows(
        bundle_of(checkpoint, [spoilt if file is window else file for file in files]), windows
    )
    worst = found.losses[0]
    assert worst.source == "head/hidden"
    assert worst.bits == 8
    whole = next(item for item in found.outputs if item.engine == "fake-quantized").error_vs_float_pct
    assert worst.gain_16_bits_error_pct is not None
    assert worst.gain_16_bits_error_pct > 0.5 * whole


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("attribution") / "bundle"
    convert("pretrained", SYNTHETIC, out, converter="builtin", calibration_windows=60)
    return out


@pytest.fixture(scope="module")
def shipped(bundle: Path) -> Attribution:
    return attribute_errors(bundle, SYNTHETIC, windows=40)


def test_the_shipped_model(shipped: Attribution) -> None:
    # Nobody of these eight people is in the validation part of the shipped split, and two are in its test part.
    assert shipped.part == "train" and shipped.windows == 40
    assert any("the last fifth of each recording of the train part" in note for note in shipped.notes)
    outputs = {item.engine: item for item in shipped.outputs}
    # Fake quantization makes the roundings of the tensors, not those inside ops: it must come close, not equal.
    assert outputs["fake-quantized"].error_vs_float_pct == pytest.approx(
        outputs["reference"].error_vs_float_pct, rel=0.3
    )
    # Costs of independent roundings add up in squares; correlated ones shift that.
    together = sum(item.alone_error_pct**2 for item in shipped.losses) ** 0.5
    assert together == pytest.approx(outputs["fake-quantized"].error_vs_float_pct, rel=0.5)
    page_text = page(shipped)
    assert "imu/lstm/0/hidden" in page_text and "data:image/png;base64," in page_text
    assert "http" not in page_text


def test_the_command(bundle: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        command,
        [str(bundle), "--errors", "--data", SYNTHETIC, "--windows", "10", "--json", str(tmp_path / "e.json"),
         "--html", str(tmp_path / "e.html")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "Roundings that cost most" in done.output
    # The bar on standard error is not part of the tables.
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    stated = json.loads((tmp_path / "e.json").read_text())
    assert stated["windows"] == 10
    assert {row["engine"] for row in stated["outputs"]} >= {"float", "fake-quantized", "reference", "litert"}
    assert (tmp_path / "e.html").read_text().startswith("<!doctype html>")


def test_litert_default_kernels_against_its_reference_kernels(bundle: Path) -> None:
    """As docs/INTEGER.md states: none differ on the builtin converter's graph, while the two semantics do."""
    rows = differences(Bundle.load(bundle))
    assert [row["tensor"] for row in rows if row["default_kernels_most_steps"]] == []
    hidden = next(row for row in rows if row["tensor"] == "imu/lstm/0/hidden")
    assert 0 < hidden["semantics_differ_pct"] < 10
    assert hidden["semantics_most_steps"] <= 2


def test_wrong_use(bundle: Path) -> None:
    with pytest.raises(UsageError, match="windows is 1; it must be at least 2"):
        attribute_errors(bundle, SYNTHETIC, windows=1)
    done = CliRunner().invoke(command, [str(bundle), "--data", SYNTHETIC])
    assert done.exit_code == 2
    assert "--data needs --errors: without it nothing is computed" in done.output
    done = CliRunner().invoke(command, [str(bundle), "--windows", "200", "--seed", "1"])
    assert done.exit_code == 2 and "--windows and --seed need --errors" in done.output
