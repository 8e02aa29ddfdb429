"""Whole graphs: the integer reference equals the tflite-micro wheel on every tensor, bit for bit."""

from __future__ import annotations

import os

import numpy as np
import pytest

from quantization.reference import Interpreter
from quantization.tflite.file import read, write
from tests.quantization.reference.harness import Desktop, Tflm, differing
from tests.quantization.reference.random_models import RandomModel
from tests.tools import require_package

#: Set EDGETOOL_SEED to draw other models.
SEED = int(os.environ.get("EDGETOOL_SEED", "20261123"))
MODELS = 500
PARTS = 10


@pytest.mark.parametrize("part", range(PARTS))
def test_random_models_equal_the_wheel(part: int, capsys: pytest.CaptureFixture[str]) -> None:
    """500 drawn models in ten parts, two windows each: all tensors, in TFLM semantics."""
    for number in range(part * MODELS // PARTS, (part + 1) * MODELS // PARTS):
        model = RandomModel(np.random.default_rng([SEED, number]))
        graph = model.build()
        inputs = model.inputs(2)
        reference = Interpreter(graph)
        reference.run(inputs)
        wheel = Tflm(write(graph))
        for window in range(2):
            wheel.run([values[window] for values in inputs])
            wrong = differing(reference, wheel, window)
            assert wrong == [], f"seed {SEED}, model {number}, window {window}"
    with capsys.disabled():
        print(f" [seed {SEED}, models {part * MODELS // PARTS} to {number}]", end="")


def test_random_models_equal_litert_reference_kernels() -> None:
    """The first 120 of the same models on desktop LiteRT's reference kernels, with semantics="litert": all tensors."""
    for number in range(120):
        model = RandomModel(np.random.default_rng([SEED, number]))
        graph = model.build()
        inputs = model.inputs(1)
        reference = Interpreter(graph, "litert")
        reference.run(inputs)
        desktop = Desktop(write(graph))
        desktop.run([values[0] for values in inputs])
        assert differing(reference, desktop, 0) == [], f"seed {SEED}, model {number}"


def test_the_two_semantics_differ() -> None:
    """A check on the checks: models on which TFLM's and LiteRT's results are not the same must be among those drawn."""
    differ = 0
    for number in range(20):
        model = RandomModel(np.random.default_rng([SEED, number]))
        graph = model.build()
        inputs = model.inputs(1)
        hidden = []
        for semantics in ("tflm", "litert"):
            reference = Interpreter(graph, semantics)
            reference.run(inputs)
            hidden.append(b"".join(reference.tensor_at(index).tobytes() for index in reference.computed()))
        differ += hidden[0] != hidden[1]
    assert differ >= 15


def test_a_batch_of_windows_equals_windows_one_by_one() -> None:
    model = RandomModel(np.random.default_rng([SEED, 3]))
    graph = model.build()
    inputs = model.inputs(70)  # more than are computed at once
    together, alone = Interpreter(graph), Interpreter(graph)
    (batch,) = together.run(inputs)
    assert batch.shape == (70, *graph.tensors[graph.outputs[0]].shape)
    for window in range(70):
        alone.reset()
        (single,) = alone.run([values[window] for values in inputs])
        np.testing.assert_array_equal(single, batch[window])


def test_state_is_carried_from_run_to_run_as_in_the_wheel() -> None:
    """Three runs without a reset between them; then one after it, which must equal the first."""
    model = RandomModel(np.random.default_rng([SEED, 8]))
    graph = model.build()
    inputs = [values[0] for values in model.inputs(1)]
    reference, wheel = Interpreter(graph), Tflm(write(graph))
    seen = []
    for run in range(3):
        reference.run(inputs)
        wheel.run(inputs, reset=run == 0)
        assert differing(reference, wheel) == [], run
        seen.append(b"".join(values.tobytes() for values in reference.state.values()))
    assert len(set(seen)) > 1, "the state never changed: this model cannot tell"
    reference.reset()
    reference.run(inputs)
    assert b"".join(values.tobytes() for values in reference.state.values()) == seen[0]


def test_saved_state_resumes_in_another_interpreter() -> None:
    model = RandomModel(np.random.default_rng([SEED, 8]))
    graph = model.build()
    inputs = [values[0] for values in model.inputs(1)]
    first, second = Interpreter(graph), Interpreter(graph)
    first.run(inputs)
    second.state = first.state
    (expected,) = first.run(inputs)
    (resumed,) = second.run(inputs)
    np.testing.assert_array_equal(resumed, expected)
    for name, values in first.state.items():
        np.testing.assert_array_equal(second.state[name], values)


def converted_window_graph() -> bytes:
    """A small Cross-LSTM by tf_keras and TFLiteConverter: full int8, layer norm, unfolded projections."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    tensorflow = require_package("tensorflow", "tensorflow")
    layers = tensorflow.keras.layers
    tensorflow.keras.utils.set_random_seed(3)
    steps, channels, units = 13, (5, 3), 7
    fed = [tensorflow.keras.Input((steps, c), batch_size=1, name=n) for n, c in zip(("imu", "emg"), channels)]
    hidden = [layers.LSTM(units, return_sequences=True)(stream) for stream in fed]
    fused = []
    for own, other in (hidden, hidden[::-1]):
        query = layers.Dense(units)(own[:, -1:, :])
        keys, values = layers.Dense(units)(other), layers.Dense(units)(other)
        scores = tensorflow.matmul(query, keys, transpose_b=True) / np.sqrt(units)
        total = own[:, -1:, :] + tensorflow.matmul(tensorflow.nn.softmax(scores), values)
        fused.append(layers.LayerNormalization(epsilon=1e-5)(total))
    joined = tensorflow.reshape(tensorflow.concat(fused, -1), (1, 2 * units))
    moments = layers.Dense(3)(layers.Dense(units, activation="relu")(joined))
    model = tensorflow.keras.Model(fed, moments)
    random = np.random.default_rng(4)

    def windows() -> object:
        for _ in range(20):
            yield [random.normal(size=(1, steps, c)).astype(np.float32) for c in channels]

    converter = tensorflow.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    converter.representative_dataset = windows
    converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tensorflow.int8
    # TensorFlow says so of every model without ranges of its inputs, also where the windows above give them.
    with pytest.warns(UserWarning, match="Statistics for quantized inputs were expected"):
        content: bytes = converter.convert()
    return content


def test_window_graph_of_tflite_converter() -> None:
    """A graph this project did not write: all tensors, 40 windows, TFLM's wheel and LiteRT's reference kernels."""
    content = converted_window_graph()
    graph = read(content)
    random = np.random.default_rng(5)
    inputs = [
        random.normal(0, 60, (40, *graph.tensors[index].shape)).round().clip(-128, 127).astype(np.int8)
        for index in graph.inputs
    ]
    for semantics, engine in (("tflm", Tflm(content)), ("litert", Desktop(content))):
        reference = Interpreter(graph, semantics)
        reference.run(inputs)
        for window in range(40):
            engine.run([values[window] for values in inputs])
            assert differing(reference, engine, window) == [], f"{semantics}, window {window}"
