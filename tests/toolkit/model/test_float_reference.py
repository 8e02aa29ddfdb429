"""The numpy model against figures worked by hand, and torch against numpy over the options."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from toolkit.errors import ContractError
from toolkit.model import float_reference
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig, weight_shapes
from toolkit.model.network import CrossLSTM

# Double precision sums of at most a few hundred terms near 1: twelve digits are certain.
EXACT = 1e-12
# Single precision against double over 64 recurrent steps; measured 1e-7, asked for 1e-5.
SINGLE = 1e-5


def inputs_for(config: ModelConfig, rows: int, seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {
        "imu": generator.normal(size=(rows, config.window, config.imu_channels)),
        "emg": generator.normal(size=(rows, config.window, config.emg_channels)),
    }


def by_hand(config: ModelConfig, **weights: Any) -> Checkpoint:
    """A checkpoint of zeros but for the weights given; dots are written as double underscores."""
    values = {name: np.zeros(shape) for name, shape in weight_shapes(config).items()}
    for name, value in weights.items():
        values[name.replace("__", ".")] = np.reshape(
            np.asarray(value, dtype=float), values[name.replace("__", ".")].shape
        )
    return dataclasses.replace(Checkpoint.random(config, 0), weights=values)


ONE = ModelConfig(
    imu_channels=1, emg_channels=1, window=2, hidden=1, head_hidden=1, norm="none", outputs=("m",)
)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_one_unit_two_steps_by_hand() -> None:
    # Only the cell gate sees the input (weight 1); i, f, o are sigmoid(0) = 1/2 but for the forget bias 1.
    # The head passes r on: relu(r) + 0.25. Attention projects nothing (zeros), so r is the last hidden state.
    checkpoint = by_hand(
        ONE,
        imu__lstm__0__weight_ih=[0, 0, 1, 0],
        imu__lstm__0__bias=[0, 1, 0, 0],
        head__hidden__weight=[1, 0],
        head__output__weight=[1],
        head__output__bias=[0.25],
    )
    cell = 0.5 * math.tanh(0.5)
    cell = sigmoid(1) * cell + 0.5 * math.tanh(2.0)
    hidden = 0.5 * math.tanh(cell)
    result = float_reference.window(checkpoint, {"imu": [[[0.5], [2.0]]], "emg": [[[9.0], [9.0]]]})
    assert result.shape == (1, 1)
    # Exactly representable weights: only rounding of the sums is left.
    assert result[0, 0] == pytest.approx(hidden + 0.25, abs=EXACT)


def test_gates_are_in_torchs_order() -> None:
    # Recurrent weight, input gate and output gate differ, so any other order of the four gives another figure.
    checkpoint = by_hand(
        ONE,
        imu__lstm__0__weight_ih=[0.5, -1, 2, 0.25],
        imu__lstm__0__weight_hh=[1, 0.5, -0.5, 2],
        imu__lstm__0__bias=[0.125, 0.5, -0.25, 1],
        head__hidden__weight=[1, 0],
        head__hidden__bias=[1],
        head__output__weight=[1],
    )
    hidden = cell = 0.0
    for x in (1.0, -0.5):
        i = sigmoid(0.5 * x + hidden + 0.125)
        f = sigmoid(-x + 0.5 * hidden + 0.5)
        g = math.tanh(2 * x - 0.5 * hidden - 0.25)
        o = sigmoid(0.25 * x + 2 * hidden + 1)
        cell = f * cell + i * g
        hidden = o * math.tanh(cell)
    result = float_reference.window(checkpoint, {"imu": [[[1.0], [-0.5]]], "emg": np.zeros((1, 2, 1))})
    assert result[0, 0] == pytest.approx(1 + hidden, abs=EXACT)


def test_attention_by_hand() -> None:
    # imu asks emg: memory 1 and 3, key = memory, value = 2 memory + 1, query = the newest state itself (ln 2 / 2), so the
    # scores differ by ln 2 and the weights are 1/3 and 2/3: context = 1/3 * 3 + 2/3 * 7 = 17/3.
    config = dataclasses.replace(ONE, hidden=1)
    weights = {
        "imu.attention.query.weight": np.ones((1, 1)),
        "imu.attention.query.bias": np.zeros(1),
        "imu.attention.key.weight": np.ones((1, 1)),
        "imu.attention.key.bias": np.array([0.7]),
        "imu.attention.value.weight": np.full((1, 1), 2.0),
        "imu.attention.value.bias": np.ones(1),
    }
    query, memory = np.array([[math.log(2) / 2]]), np.array([[[1.0], [3.0]]])
    context = float_reference.attend(weights, config, "imu", query, memory)
    assert context[0, 0] == pytest.approx(17 / 3, abs=EXACT)


def test_two_heads_are_scaled_and_concatenated_each_by_itself() -> None:
    # Head size 2: scores are divided by sqrt(2). Head 0 sees q = (1, 1), head 1 sees q = 0 (equal weights).
    config = dataclasses.replace(ONE, hidden=4, heads=2)
    weights = {
        f"imu.attention.{part}.{kind}": value
        for part in ("query", "key", "value")
        for kind, value in (("weight", np.eye(4)), ("bias", np.zeros(4)))
    }
    memory = np.array([[[1.0, 0.0, 5.0, 6.0], [2.0, 1.0, 7.0, 8.0]]])
    context = float_reference.attend(weights, config, "imu", np.array([[1.0, 1.0, 0.0, 0.0]]), memory)
    second = 1 / (1 + math.exp(-(3 - 1) / math.sqrt(2)))
    assert context[0] == pytest.approx([1 + second, second, 6.0, 7.0], abs=EXACT)


def test_layer_norm_by_hand() -> None:
    # Mean 2, biased variance 1: (1, 3) becomes (-1, 1) / sqrt(1 + 1e-5), times 2, plus 0.5.
    result = float_reference.layer_norm(np.array([[1.0, 3.0]]), np.full(2, 2.0), np.full(2, 0.5))
    step = 2 / math.sqrt(1 + 1e-5)
    assert result[0] == pytest.approx([0.5 - step, 0.5 + step], abs=EXACT)


def test_the_residual_adds_and_the_features_are_imu_then_emg() -> None:
    # Zero attention: features are the last hidden states; the head reads the imu's with 10 and the emg's with 1.
    checkpoint = by_hand(
        dataclasses.replace(ONE, window=1),
        imu__lstm__0__weight_ih=[0, 0, 1, 0],
        emg__lstm__0__weight_ih=[0, 0, 1, 0],
        head__hidden__weight=[10, 1],
        head__hidden__bias=[5],
        head__output__weight=[1],
    )
    result = float_reference.window(checkpoint, {"imu": [[[1.0]]], "emg": [[[-0.5]]]})
    imu, emg = (0.5 * math.tanh(0.5 * math.tanh(x)) for x in (1.0, -0.5))
    assert result[0, 0] == pytest.approx(5 + 10 * imu + emg, abs=EXACT)


OPTIONS = list(itertools.product((1, 2), (1, 2), ("layer", "none"), (1, 7)))


@pytest.mark.parametrize(("heads", "layers", "norm", "window"), OPTIONS)
def test_torch_equals_numpy_and_stream_equals_window(heads: int, layers: int, norm: Any, window: int) -> None:
    config = ModelConfig(
        imu_channels=5,
        emg_channels=3,
        window=window,
        hidden=8,
        layers=layers,
        heads=heads,
        norm=norm,
        head_hidden=6,
    )
    checkpoint = Checkpoint.random(config, seed=heads + 10 * layers + 100 * window)
    inputs = inputs_for(config, rows=3)
    wanted = float_reference.window(checkpoint, inputs)
    network = CrossLSTM.from_checkpoint(checkpoint)
    with torch.no_grad():
        from_torch = network(*(torch.tensor(inputs[s], dtype=torch.float32) for s in ("imu", "emg"))).numpy()
    assert np.abs(from_torch - wanted).max() < SINGLE
    # A second way through the same equations: after exactly `window` steps a stream is at the window's value.
    for row in range(3):
        steps = float_reference.stream(checkpoint, {s: inputs[s][row] for s in inputs})
        assert steps.shape == (window, 3)
        assert np.abs(steps[-1] - wanted[row]).max() < EXACT
    weights = network.to_weights()
    assert all(np.array_equal(weights[name], checkpoint.weights[name]) for name in weights)


def test_reference_sizes_agree_in_single_precision() -> None:
    config = ModelConfig()
    checkpoint = Checkpoint.random(config, 1)
    inputs = inputs_for(config, rows=4)
    double = float_reference.window(checkpoint, inputs)
    single = float_reference.window(checkpoint, inputs, dtype=np.float32)
    assert single.dtype == np.float32 and double.dtype == np.float64
    assert np.abs(single - double).max() < SINGLE
    with torch.no_grad():
        network = CrossLSTM.from_checkpoint(checkpoint)
        from_torch = network(*(torch.tensor(inputs[s], dtype=torch.float32) for s in ("imu", "emg"))).numpy()
    assert np.abs(from_torch - double).max() < SINGLE


@pytest.mark.parametrize("stream", ["imu", "emg"])
def test_one_stream_asks_its_own_states(stream: str) -> None:
    sizes: dict[str, Any] = {"imu_channels": 0, "emg_channels": 0, f"{stream}_channels": 3}
    config = ModelConfig(**sizes, window=7, hidden=4, head_hidden=5)
    checkpoint = Checkpoint.random(config, 3)
    inputs = {stream: np.random.default_rng(0).normal(size=(2, 7, 3))}
    moments = float_reference.window(checkpoint, inputs)
    # A two-stream model whose streams read the same with the same weights has the same features twice.
    both = ModelConfig(imu_channels=3, emg_channels=3, window=7, hidden=4, head_hidden=5)
    doubled = {
        name.replace(stream, other, 1): value
        for other in ("imu", "emg")
        for name, value in checkpoint.weights.items()
    }
    doubled["head.hidden.weight"] = np.repeat(doubled["head.hidden.weight"][None] / 2, 2, 0).swapaxes(0, 1)
    doubled["head.hidden.weight"] = doubled["head.hidden.weight"].reshape(5, 8)
    twice = dataclasses.replace(Checkpoint.random(both, 0), weights=doubled)
    np.testing.assert_allclose(
        moments, float_reference.window(twice, {"imu": inputs[stream], "emg": inputs[stream]}), atol=EXACT
    )
    network = CrossLSTM.from_checkpoint(checkpoint).double()
    found = network(torch.from_numpy(inputs[stream])).detach().numpy()
    np.testing.assert_allclose(found, moments, atol=EXACT)
    rows = float_reference.stream(checkpoint, {stream: inputs[stream][0]})
    live, _ = network.stream(torch.from_numpy(inputs[stream][:1]))
    np.testing.assert_allclose(rows[-1], moments[0], atol=EXACT)
    np.testing.assert_allclose(live.detach().numpy()[0], rows, atol=EXACT)


def test_torchs_two_lstm_biases_are_summed() -> None:
    torch.manual_seed(0)
    network = CrossLSTM(ModelConfig(imu_channels=2, emg_channels=1, window=3, hidden=4)).eval()
    checkpoint = dataclasses.replace(Checkpoint.random(network.config, 0), weights=network.to_weights())
    inputs = inputs_for(network.config, rows=2)
    with torch.no_grad():
        wanted = network(*(torch.tensor(inputs[s], dtype=torch.float32) for s in ("imu", "emg"))).numpy()
    assert np.abs(float_reference.window(checkpoint, inputs) - wanted).max() < SINGLE


def test_a_stream_attends_to_no_more_than_the_last_window_and_keeps_its_state() -> None:
    config = ModelConfig(imu_channels=2, emg_channels=1, window=3, hidden=4)
    checkpoint = Checkpoint.random(config, 5)
    generator = np.random.default_rng(1)
    inputs = {"imu": generator.normal(size=(8, 2)), "emg": generator.normal(size=(8, 1))}
    steps = float_reference.stream(checkpoint, inputs)
    weights = float_reference.cast(checkpoint, np.float64)
    states = {
        s: float_reference.hidden_states(weights, config, s, inputs[s][None])[-1][0] for s in ("imu", "emg")
    }
    for step in range(8):
        memory = {s: states[s][:, max(0, step - 2) : step + 1] for s in states}
        assert np.abs(float_reference.fuse(weights, config, memory)[0] - steps[step]).max() < EXACT


def test_reset_forgets() -> None:
    config = ModelConfig(imu_channels=2, emg_channels=1, window=3, hidden=4)
    model = float_reference.Stream(Checkpoint.random(config, 5))
    sample = {"imu": np.ones(2), "emg": np.ones(1)}
    first = model.step(sample)
    second = model.step(sample)
    model.reset()
    assert not np.allclose(first, second)
    assert np.array_equal(model.step(sample), first)


def test_wrong_shapes_are_named() -> None:
    config = ModelConfig(imu_channels=2, emg_channels=1, window=3, hidden=4)
    checkpoint = Checkpoint.random(config, 0)
    good = inputs_for(config, 2)
    with pytest.raises(ContractError, match=r"'imu' has shape \(2, 3, 1\); it must be \(n, 3, 2\)"):
        float_reference.window(checkpoint, {**good, "imu": good["imu"][..., :1]})
    with pytest.raises(ContractError, match=r"'emg' has shape \(2, 2, 1\)"):
        float_reference.window(checkpoint, {**good, "emg": good["emg"][:, 1:]})
    with pytest.raises(ContractError, match="'emg' is missing"):
        float_reference.window(checkpoint, {"imu": good["imu"]})
    with pytest.raises(ContractError, match="equally long"):
        float_reference.stream(checkpoint, {"imu": np.zeros((4, 2)), "emg": np.zeros((5, 1))})
