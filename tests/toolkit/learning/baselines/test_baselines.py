"""Baselines: as many weights as the Cross-LSTM, causal where they say so, MACs as counted; floors against what is known."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from tests.toolkit.learning.test_train import RATE, recording
from toolkit.contract import SensorContract
from toolkit.data.splits import Split
from toolkit.errors import UsageError
from toolkit.learning.augmentation import Augment
from toolkit.learning.baselines.floors import fit_average_curve, fit_ridge, phases
from toolkit.learning.baselines.network import weight_count
from toolkit.learning.baselines.table import CROSS_LSTM, MODELS, baseline, require_models
from toolkit.learning.folds import folds
from toolkit.learning.learner import cross_lstm_macs, learn
from toolkit.learning.objective import TargetScale
from toolkit.learning.prepare import Prepared, prepare
from toolkit.learning.recipe import Recipe
from toolkit.model.config import ModelConfig, config_for
from toolkit.model.network import CrossLSTM

NETWORKS = [name for name, row in MODELS.items() if row.module]
SMALL = ModelConfig(
    imu_channels=6, emg_channels=3, window=16, hidden=24, head_hidden=16, outputs=("hip", "knee")
)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "config", [SMALL, ModelConfig(), ModelConfig(imu_channels=36, hidden=32, window=100)]
)
def test_a_baseline_has_the_cross_lstms_weights_within_ten_percent(name: str, config: ModelConfig) -> None:
    network = baseline(name, config)
    assert abs(weight_count(network) / config.parameter_count - 1) <= 0.10
    assert weight_count(CrossLSTM(config)) == config.parameter_count
    rows = (
        torch.zeros(3, config.window, config.imu_channels),
        torch.zeros(3, config.window, config.emg_channels),
    )
    assert network.eval()(*rows).shape == (3, len(config.outputs))


def test_a_budget_that_no_width_gives() -> None:
    with pytest.raises(UsageError, match=r"no width gives a MLP .* leave mlp out"):
        baseline("mlp", ModelConfig(hidden=2, head_hidden=1))


@pytest.mark.parametrize("name", NETWORKS)
def test_each_sample_of_the_window_counts(name: str) -> None:
    torch.manual_seed(0)
    network = baseline(name, SMALL).eval()
    imu = torch.randn(1, 16, 6, requires_grad=True)
    network(imu, torch.randn(1, 16, 3)).sum().backward()
    assert imu.grad is not None and (imu.grad.abs().amax(dim=2) > 0).sum() > (8 if name != "gru" else 4)


@pytest.mark.parametrize("name", ["tcn", "mlp", "cnn-lstm", "transformer", "lstm", "bilstm", "gru"])
def test_macs_are_those_that_torch_counts(name: str) -> None:
    """Torch counts products of matrices and convolutions; of an LSTM it does not, so that is taken out of both."""
    from torch.utils.flop_counter import FlopCounterMode

    network = baseline(name, SMALL).train()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    counter = FlopCounterMode(display=False)
    with counter:
        network(torch.zeros(1, 16, 6), torch.zeros(1, 16, 3))
    recurrent = sum(
        16 * sum(p.numel() for n, p in module.named_parameters() if n.startswith("weight"))
        for module in network.modules()
        if isinstance(module, torch.nn.LSTM)
    )
    assert network.macs - recurrent == counter.get_total_flops() // 2


def test_macs_of_the_cross_lstm_by_hand() -> None:
    config = ModelConfig(imu_channels=2, emg_channels=1, window=3, hidden=4, head_hidden=5, outputs=("a",))
    lstm = 3 * 16 * (2 + 4) + 3 * 16 * (1 + 4)
    attention = 2 * (16 + 2 * 3 * 16 + 2 * 3 * 4)
    assert cross_lstm_macs(config) == lstm + attention + 5 * 8 + 5


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    people = [recording(f"p{i}", i, 4.0) for i in range(4)]
    # The first moment is a straight line of what the sensors read now.
    split = Split("by-subject", people=(("p0", "p1"), ("p2",), ("p3",)))
    return prepare(people, split, rate_hz=RATE, window=8, horizon_ms=0.0, outputs=None, stride=1)


@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_learns_and_estimates_alike_twice(name: str, prepared: Prepared) -> None:
    config = config_for(ModelConfig(window=8, rate_hz=RATE, hidden=8, head_hidden=8), prepared.contract)
    first, second = (learn(name, config, prepared, Recipe(epochs=2, batch=32), 3) for _ in range(2))
    test = prepared.windows["test"]
    estimate = first.estimate(test)
    assert estimate.shape == test.targets.shape and np.isfinite(estimate).all()
    assert np.array_equal(estimate, second.estimate(test))
    assert (first.network is None) == (not MODELS[name].module and name != CROSS_LSTM)


class _Silenced:
    """Every window is its mean: nothing is to be learnt."""

    def to_json(self) -> dict[str, Any]:
        return {}

    def on(self, contract: SensorContract) -> Augment:
        return lambda inputs, generator: {name: np.zeros_like(values) for name, values in inputs.items()}


def test_a_network_is_shown_what_augmentation_makes_of_windows(prepared: Prepared) -> None:
    config = config_for(ModelConfig(window=8, rate_hz=RATE, hidden=8, head_hidden=8), prepared.contract)
    recipe = Recipe(epochs=8, batch=32)
    plain, silenced = (
        learn("mlp", config, prepared, recipe, 3, augmentation=one).history[-1].train_loss
        for one in (None, _Silenced())
    )
    targets = prepared.windows["train"].targets
    guessing_the_mean = float(TargetScale.of(targets).standardised(targets).square().mean())
    assert plain < 0.1 * guessing_the_mean
    assert silenced == pytest.approx(guessing_the_mean, rel=0.1)


def test_ridge_finds_a_straight_line(prepared: Prepared) -> None:
    ridge = fit_ridge(prepared.windows["train"], prepared.windows["validation"])
    test = prepared.windows["test"]
    error = ridge.estimate(test) - test.targets
    # The knee's moment is the envelope less 0.2, and the envelope is an input as it is.
    assert np.sqrt((error[:, 1] ** 2).mean()) < 0.01 < test.targets[:, 1].std()


def test_the_average_curve_is_the_mean_at_each_phase(prepared: Prepared) -> None:
    """Strikes every second; the moment is the phase itself, twice that in the other task."""
    windows = prepared.windows["train"]
    strikes = tuple(float(t) for t in range(5))
    recordings = tuple(
        dataclasses.replace(r, heel_strikes_s=strikes, task=task)
        for r, task in zip(windows.recordings, ("level", "incline"))
    )
    told = dataclasses.replace(windows, recordings=recordings)
    phase = phases(told)
    assert phase == pytest.approx(told.time_s % 1.0, abs=1e-6)
    factor = np.where(told.recording == 0, 1.0, 2.0)
    targets = np.repeat((phase * factor)[:, None], 3, axis=1).astype(np.float32)
    told = dataclasses.replace(told, targets=targets)
    average = fit_average_curve(told)
    assert average.estimate(told) == pytest.approx(targets, abs=2 / 50)
    elsewhere = tuple(dataclasses.replace(r, task="stairs", heel_strikes_s=()) for r in recordings)
    unknown = average.estimate(dataclasses.replace(told, recordings=elsewhere))
    assert unknown == pytest.approx(np.broadcast_to(targets.mean(axis=0), targets.shape), abs=1e-5)


def test_each_person_is_tested_once_and_never_trained_on() -> None:
    people = [recording(f"p{i}", i, 1.0) for i in range(12)]
    found = folds(people)
    assert [fold.name for fold in found] == sorted(f"p{i}" for i in range(12))
    for fold in found:
        train, validation, test = fold.split.people
        assert test == (fold.name,) and (len(train), len(validation)) == (9, 2)
        assert len({*train, *validation, *test}) == 12
    quarters = folds(people, "four-folds")
    assert sorted(name for fold in quarters for name in fold.split.people[2]) == sorted(
        f"p{i}" for i in range(12)
    )
    for fold in quarters:
        train, validation, test = fold.split.people
        assert (len(train), len(validation), len(test)) == (7, 2, 3)
        assert len({*train, *validation, *test}) == 12
    assert [fold.split.kind for fold in folds(people[:2])] == ["chronological"]
    with pytest.raises(UsageError, match="needs at least 3 people; the data has 2"):
        folds(people[:2], "leave-one-person-out")
    with pytest.raises(UsageError, match="'random' is not known here"):
        folds(people, "random")


def test_models_by_name() -> None:
    assert require_models(["ridge", "lstm"]) == ["ridge", "lstm"]
    for names in (["ridge", "ridge"], ["svm"]):
        with pytest.raises(UsageError, match="the models are cross-lstm, lstm"):
            require_models(names)
