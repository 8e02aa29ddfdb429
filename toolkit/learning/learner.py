"""Any model of the table, trained on prepared data: one interface for networks and floors. Needs torch for networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toolkit.learning.augmentation import Augment, Augmentation
from toolkit.learning.baselines.floors import fit_average_curve, fit_ridge
from toolkit.learning.baselines.table import AVERAGE, CROSS_LSTM, RIDGE, baseline
from toolkit.learning.batches import WindowBatches
from toolkit.learning.prepare import Prepared
from toolkit.learning.recipe import Epoch, Recipe, Step
from toolkit.model.config import ModelConfig
from toolkit.records import Windows

if TYPE_CHECKING:
    from torch import nn

    from toolkit.model.network import CrossLSTM


@dataclass(frozen=True, eq=False)
class Learnt:
    """A trained model. ``weights`` and ``macs`` (multiply-accumulates of a window) are None where they say nothing."""

    estimate: Callable[[Windows], NDArray[np.float32]]
    weights: int | None
    macs: int | None
    history: tuple[Epoch, ...] = ()
    best_epoch: int = 0
    network: nn.Module | None = None


def learn(
    name: str,
    config: ModelConfig,
    prepared: Prepared,
    recipe: Recipe,
    seed: int,
    *,
    augmentation: Augmentation | None = None,
    progress: Callable[[Step], None] | None = None,
) -> Learnt:
    """Train the model ``name`` of the table on the train part; the validation part chooses epoch or strength.

    ``augmentation`` changes what networks are shown; a floor learns from windows as they are.
    """
    train, validation = prepared.windows["train"], prepared.windows["validation"]
    if name == RIDGE:
        ridge = fit_ridge(train, validation)
        count = ridge.weights.size + ridge.offset.size
        return Learnt(ridge.estimate, count, ridge.weights.size)
    if name == AVERAGE:
        return Learnt(fit_average_curve(train).estimate, None, None)
    augment = None if augmentation is None else augmentation.on(prepared.contract)
    return _network(name, config, train, validation, recipe, seed, augment, progress)


def _network(
    name: str,
    config: ModelConfig,
    train: Windows,
    validation: Windows,
    recipe: Recipe,
    seed: int,
    augment: Augment | None,
    progress: Callable[[Step], None] | None,
) -> Learnt:
    from toolkit.learning.baselines.network import Baseline, weight_count
    from toolkit.learning.fit import fit, predict, reproducible
    from toolkit.learning.objective import TargetScale, WindowObjective
    from toolkit.model.network import CrossLSTM

    parts = [WindowBatches(windows) for windows in (train, validation)]
    scale = TargetScale.of(train.targets)
    objective = WindowObjective(parts[0], parts[1], scale, recipe.cell_limit, seed, augment=augment)

    def make() -> CrossLSTM | Baseline:
        return CrossLSTM(config) if name == CROSS_LSTM else baseline(name, config)

    fitted = fit(make, objective, recipe, seed, progress=progress)
    network = fitted.network
    scale.fold_into(network.head_output)

    def estimate(windows: Windows) -> NDArray[np.float32]:
        with reproducible():
            return predict(network, WindowBatches(windows))

    return Learnt(
        estimate,
        weight_count(network),
        network.macs if isinstance(network, Baseline) else cross_lstm_macs(config),
        fitted.history,
        fitted.best_epoch,
        network,
    )


def cross_lstm_macs(config: ModelConfig) -> int:
    """Multiply-accumulates of a window: LSTMs, projections of every step, scores, weighted sums, head; nothing folded."""
    steps, hidden = config.window, config.hidden
    total = 0
    for channels in map(config.channels, config.streams):
        for layer in range(config.layers):
            total += steps * 4 * hidden * ((channels if layer == 0 else hidden) + hidden)
        total += hidden * hidden * (1 + 2 * steps) + 2 * steps * hidden
    return total + config.head_hidden * (len(config.streams) * hidden + len(config.outputs))
