"""The builtin converter's files: stream equals window bit for bit, state can be moved about, bytes repeat, no TensorFlow."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRT
from numpy.typing import NDArray

from quantization.converters import builtin
from quantization.graph.graph_file import GraphFile
from quantization.graph.ring_form import narrow
from quantization.quantizer.recipe import Recipe
from quantization.quantizer.search import candidates, search
from quantization.reference.integer_graph import Interpreter
from quantization.tflite.file import read
from tests.quantization.small_models import (
    ONE_STREAM,
    SMALL,
    TWO_HEADS,
    features,
    stored,
    windows,
)
from toolkit.errors import BudgetError, UsageError
from toolkit.model import float_reference
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import STREAMS, ModelConfig


def built(config: ModelConfig, recipe: Recipe | None = None) -> tuple[Checkpoint, dict[str, GraphFile]]:
    checkpoint = Checkpoint.random(config, 5)
    files = builtin.build(checkpoint, windows(checkpoint, 60), scheme="int8", recipe=recipe)
    return checkpoint, {f"{f.graph}.{f.scheme}": f for f in files}


def reset_state(stream: GraphFile, count: int) -> dict[str, NDArray[Any]]:
    assert stream.state is not None
    return stream.state.start(count)


@pytest.mark.parametrize("config", [SMALL, TWO_HEADS, ONE_STREAM], ids=["small", "two-heads", "one-stream"])
@pytest.mark.parametrize("wide", [("norm", "head"), ("head",), ()], ids=str)
@pytest.mark.parametrize("semantics", ["tflm", "litert"])
def test_stream_from_reset_equals_the_window_bit_for_bit(
    config: ModelConfig, wide: tuple[Any, ...], semantics: Any
) -> None:
    _, files = built(config, Recipe(wide=wide))
    window, stream = read(files["window.int8"].content), read(files["stream.int8"].content)
    inputs = features(config, 12, seed=9)
    (expected,) = Interpreter(window, semantics).run(stored(window, inputs, config.streams))
    runner, carried = Interpreter(stream, semantics), reset_state(files["stream.int8"], 12)
    for row in range(config.window):
        rows = {s: inputs[s][:, row : row + 1] for s in config.streams}
        outputs = runner.run({**stored(stream, rows, config.streams), **carried})
        links = files["stream.int8"].state.carried  # type: ignore[union-attr]
        carried = {link.input: outputs[link.output_place] for link in links}
    assert np.array_equal(outputs[0], expected)


def test_int8_moments_are_near_the_float_model() -> None:
    checkpoint, files = built(SMALL)
    graph = read(files["window.int8"].content)
    inputs = features(SMALL, 200, seed=11)
    (raw,) = Interpreter(graph).run(stored(graph, inputs))
    scale = graph.tensors[graph.outputs[0]].quantization.scale[0]  # type: ignore[union-attr]
    expected = float_reference.window(checkpoint, inputs)
    error = np.sqrt(np.mean((raw.reshape(expected.shape) * scale - expected) ** 2)) / expected.std()
    # A random model's moments vary little about a constant, so its relative error is above a trained model's 0.5 %.
    assert error < 0.05


class LiteRTStream:
    """The stream graph on LiteRT by its state description alone."""

    def __init__(self, file: GraphFile) -> None:
        self.file, self.graph = file, read(file.content)
        self.interpreter = LiteRT(model_content=file.content, num_threads=1)
        self.interpreter.allocate_tensors()
        self.ins = {d["name"]: d["index"] for d in self.interpreter.get_input_details()}
        self.outs = {d["name"]: d["index"] for d in self.interpreter.get_output_details()}
        self.all = {d["name"]: d["index"] for d in self.interpreter.get_tensor_details()}
        self.reset()

    def reset(self) -> None:
        self.interpreter.reset_all_variables()
        self.carried = {k: v[0] for k, v in reset_state(self.file, 1).items()}

    def step(self, rows: dict[str, NDArray[np.float32]]) -> list[int]:
        for name, values in stored(self.graph, rows).items():
            self.interpreter.set_tensor(self.ins[name], values[0])
        for name, values in self.carried.items():
            self.interpreter.set_tensor(self.ins[name], values)
        self.interpreter.invoke()
        self.carried = {n: self.interpreter.get_tensor(self.outs[f"{n}.next"]) for n in self.carried}
        return [int(v) for v in self.interpreter.get_tensor(self.outs["moments"])[0]]

    def save(self) -> dict[str, NDArray[Any]]:
        assert self.file.state is not None
        names = [v.name for v in self.file.state.variables]
        return {**self.carried, **{n: self.interpreter.get_tensor(self.all[n]).copy() for n in names}}

    def restore(self, saved: dict[str, NDArray[Any]]) -> None:
        for name, values in saved.items():
            if name in self.carried:
                self.carried[name] = values
            else:
                self.interpreter.set_tensor(self.all[name], values)


def rows_of(inputs: dict[str, NDArray[np.float32]], row: int) -> dict[str, NDArray[np.float32]]:
    return {s: inputs[s][:, row : row + 1] for s in STREAMS}


def test_state_contract_on_litert_reset_interleaving_save_and_restore() -> None:
    _, files = built(SMALL)
    first, second = (features(SMALL, 1, seed) for seed in (20, 21))
    one, two = LiteRTStream(files["stream.int8"]), LiteRTStream(files["stream.int8"])
    alone = [one.step(rows_of(first, r)) for r in range(SMALL.window)]
    one.reset()
    assert [one.step(rows_of(first, r)) for r in range(SMALL.window)] == alone
    one.reset()
    interleaved = []
    for row in range(SMALL.window):
        interleaved.append(one.step(rows_of(first, row)))
        two.step(rows_of(second, row))
        if row == 4:
            saved = one.save()
    assert interleaved == alone
    two.restore(saved)
    assert [two.step(rows_of(first, r)) for r in range(5, SMALL.window)] == alone[5:]


def test_a_probe_tells_an_engine_that_keeps_state_from_one_that_loses_it() -> None:
    """The same row twice: a stream's second moment differs from its first; after a reset it is the first again."""
    _, files = built(SMALL)
    runner, inputs = LiteRTStream(files["stream.int8"]), features(SMALL, 1, 30)
    fresh, kept = runner.step(rows_of(inputs, 0)), runner.step(rows_of(inputs, 0))
    assert kept != fresh
    runner.reset()
    assert runner.step(rows_of(inputs, 0)) == fresh


def test_narrow_and_wide_rings_are_two_forms_of_one_graph() -> None:
    _, files = built(TWO_HEADS)
    file = files["stream.int8"]
    wide = read(file.content).carrying(file.state)
    slim = narrow(wide)
    assert {str(slim.tensor(f"{s}/ring").dtype) for s in STREAMS} == {"int8"}
    assert {str(wide.tensor(f"{s}/ring").dtype) for s in STREAMS} == {"int16"}
    inputs = features(TWO_HEADS, 3, seed=2)
    results = []
    for graph in (wide, slim):
        runner = Interpreter(graph)
        carried = reset_state(files["stream.int8"], 3)
        carried = {n: v.astype(graph.tensor(n).dtype) for n, v in carried.items()}
        for row in range(TWO_HEADS.window):
            rows = {s: inputs[s][:, row : row + 1] for s in STREAMS}
            outputs = runner.run({**stored(graph, rows), **carried})
            carried = {n: outputs[graph.outputs.index(graph.index(f"{n}.next"))] for n in carried}
        results.append(outputs[0])
    assert np.array_equal(results[0], results[1])


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = built(SMALL)[1], built(SMALL)[1]
    assert {n: f.content for n, f in first.items()} == {n: f.content for n, f in second.items()}
    assert first["window.int8"].recipe == second["window.int8"].recipe == Recipe().to_json()


def test_it_builds_where_tensorflow_and_torch_cannot_be_imported() -> None:
    code = """
        import sys
        for name in ("tensorflow", "tf_keras", "torch"):
            sys.modules[name] = None
        from quantization.converters import builtin
        from tests.quantization.small_models import SMALL, windows
        from toolkit.model.checkpoint import Checkpoint
        checkpoint = Checkpoint.random(SMALL, 5)
        print(len(builtin.build(checkpoint, windows(checkpoint, 20), scheme="int8")))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "4"


def test_an_unknown_option_is_named() -> None:
    checkpoint = Checkpoint.random(SMALL, 5)
    with pytest.raises(UsageError, match="option speed is not known to the builtin converter"):
        builtin.build(checkpoint, windows(checkpoint, 5), scheme="int8", speed=1)


def test_search_takes_the_first_recipe_that_holds_and_says_what_it_tried() -> None:
    checkpoint = Checkpoint.random(SMALL, 5)
    data, validation = windows(checkpoint, 60), windows(checkpoint, 80, seed=7)
    assert [r.wide for r in candidates(Recipe())][::3] == [("norm", "head"), ("norm",), ("head",), ()]
    loose = search(checkpoint, data, validation, 1000.0)
    assert loose.recipe == candidates(Recipe())[0]
    assert len(loose.tried) == 1
    with pytest.raises(
        BudgetError, match=r"no recipe holds an RMSE increase of 0 % .* the best of 12 reaches"
    ) as caught:
        # Labels are the float model's own moments here, so that no rounding can be lucky.
        exact = windows(checkpoint, 80, seed=7)
        moments = float_reference.window(checkpoint, exact.inputs).astype(np.float32)
        nearly = type(exact)(exact.inputs, moments + 1e-6, exact.recording, exact.time_s, exact.recordings)
        search(checkpoint, data, nearly, 0.0)
    assert (
        len(re.findall(r"[;:] (norm\+head|norm|head|none), (mse|percentile|minmax), \+", str(caught.value)))
        == 12
    )
