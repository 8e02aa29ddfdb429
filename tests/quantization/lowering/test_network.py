"""The float graphs equal the model, with every pass on or off, on LiteRT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from quantization import passes
from quantization.graph.ir import Graph
from quantization.graph.state import MASK_ABSENT
from quantization.lowering import lower_stream, lower_window
from quantization.passes import PASSES
from quantization.reference import float_graph as float_interpreter
from quantization.tflite.file import read, write
from tests.quantization.small_models import ONE_STREAM, SMALL, TWO_HEADS, features
from toolkit.errors import UsageError
from toolkit.model import float_reference
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig

CONFIGS = [
    SMALL,
    TWO_HEADS,
    ModelConfig(window=1, hidden=4, heads=1, imu_channels=1, emg_channels=1),
    ONE_STREAM,
]
CHOICES = [(), *[(name,) for name in PASSES], tuple(PASSES)]


def litert(graph: Graph) -> Any:
    interpreter = Interpreter(model_content=write(graph), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


@pytest.mark.parametrize("config", CONFIGS, ids=["small", "two-heads", "one-row", "one-stream"])
@pytest.mark.parametrize("chosen", CHOICES, ids=lambda names: "+".join(names) or "no pass")
def test_window_graph_equals_the_model(config: ModelConfig, chosen: tuple[str, ...]) -> None:
    checkpoint = Checkpoint.random(config, 1)
    inputs = features(config, 3)
    expected = float_reference.window(checkpoint, inputs)
    graph = passes.apply(lower_window(checkpoint), chosen)
    interpreter = litert(graph)
    for row in range(3):
        interpreter.reset_all_variables()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], inputs[detail["name"]][row : row + 1])
        interpreter.invoke()
        moments = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
        # float32 sums of a few hundred terms below 10: 1e-5.
        np.testing.assert_allclose(moments, expected[row], atol=1e-5)
    values = float_interpreter.run(graph, inputs)["moments"]
    np.testing.assert_allclose(values, expected, atol=1e-6)  # weights are float32, the rest float64


def test_passes_take_work_away() -> None:
    plain = lower_window(Checkpoint.random(SMALL, 1))
    counts = {
        name: len(passes.apply(plain, chosen).ops) for name, chosen in (("none", ()), ("all", tuple(PASSES)))
    }
    assert counts == {"none": 45, "all": 37}
    kinds = [op.kind for op in passes.apply(plain).ops]
    # Query and context of two directions, two dense layers of the head: no projection over time is left.
    assert kinds.count("FULLY_CONNECTED") == 6
    full = passes.apply(plain)
    assert all(full.tensors[op.inputs[0]].shape[0] == 1 for op in full.ops if op.kind == "FULLY_CONNECTED")


def test_projection_folding_leaves_no_projection_of_the_memory() -> None:
    folded = passes.apply(lower_window(Checkpoint.random(SMALL, 1)))
    for op in folded.ops:
        if op.kind == "FULLY_CONNECTED":
            assert len(folded.tensors[op.inputs[0]].shape) == 2


@pytest.mark.parametrize("config", [SMALL, TWO_HEADS, ONE_STREAM], ids=["small", "two-heads", "one-stream"])
def test_stream_graph_equals_the_model_from_the_first_sample_on(config: ModelConfig) -> None:
    checkpoint = Checkpoint.random(config, 2)
    long = ModelConfig.from_json({**config.to_json(), "window": 3 * config.window})
    inputs = {s: features(long, 1)[s][0] for s in config.streams}
    expected = float_reference.stream(checkpoint, inputs)
    interpreter = litert(passes.apply(lower_stream(checkpoint)))
    interpreter.reset_all_variables()
    ins = {d["name"]: d["index"] for d in interpreter.get_input_details()}
    outs = {d["name"]: d["index"] for d in interpreter.get_output_details()}
    older = config.window - 1
    carried = {f"{s}/ring": np.zeros((1, older, config.hidden), np.float32) for s in config.streams}
    carried["present"] = np.full((1, older, 1), MASK_ABSENT, np.float32)
    for row in range(len(expected)):
        for stream in config.streams:
            interpreter.set_tensor(ins[stream], inputs[stream][None, row : row + 1])
        for name, value in carried.items():
            interpreter.set_tensor(ins[name], value)
        interpreter.invoke()
        np.testing.assert_allclose(interpreter.get_tensor(outs["moments"])[0], expected[row], atol=1e-5)
        carried = {name: interpreter.get_tensor(outs[f"{name}.next"]) for name in carried}


def test_graphs_survive_the_file() -> None:
    for lower in (lower_window, lower_stream):
        graph = passes.apply(lower(Checkpoint.random(SMALL, 1)))
        assert write(read(write(graph))) == write(graph)


def test_an_unknown_pass_is_named() -> None:
    with pytest.raises(
        UsageError, match="pass unroll is not known; allowed: constant-folding, projection-folding"
    ):
        passes.apply(lower_window(Checkpoint.random(SMALL, 1)), ("unroll",))
