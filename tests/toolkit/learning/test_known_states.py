"""LSTM states that are computed once give the moments, losses and gradients of windows that go all the way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.toolkit.learning.test_finetune import walker, windows
from tests.toolkit.learning.test_train import SMALL
from toolkit.learning.batches import WindowBatches
from toolkit.learning.fit import predict
from toolkit.learning.known_states import KnownStates, StatesObjective
from toolkit.learning.objective import TargetScale, WindowObjective
from toolkit.learning.settings import Settings
from toolkit.learning.train import train
from toolkit.model.network import CrossLSTM


def test_the_same_moments_and_gradients_as_from_windows() -> None:
    settings = Settings(**{**SMALL, "epochs": 1})
    source = train([walker(f"p{i}", i) for i in range(4)], None, settings).checkpoint
    told = windows(source, walker("new", 9))
    network = CrossLSTM.from_checkpoint(source)
    rows = np.array([40, 7, 8, 200, 41])
    states = KnownStates(network, told, np.concatenate([rows, rows[:2]]))
    assert states.predict(network, rows) == pytest.approx(
        predict(network, WindowBatches(told.take(rows))), abs=1e-6
    )
    scale = TargetScale.of(told.targets[rows])
    part = WindowBatches(told.take(rows))
    items = np.array([3, 0, 1])
    losses, slopes = [], []
    for objective in (
        StatesObjective(states, told, rows, scale, 0),
        WindowObjective(part, part, scale, 6.0, 0),
    ):
        assert objective.items == 5
        network.zero_grad()
        loss, _ = objective.loss(network, items)
        loss.backward()  # type: ignore[no-untyped-call]
        losses += [loss.item(), objective.validate(network)]
        found = network.attention["imu"].key.weight.grad  # type: ignore[union-attr]
        assert isinstance(found, torch.Tensor) and found.abs().max() > 0
        slopes.append(found.clone())
    assert losses[:2] == pytest.approx(losses[2:], rel=1e-5)
    assert torch.allclose(slopes[0], slopes[1], rtol=1e-3, atol=1e-6)
