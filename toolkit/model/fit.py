"""The training loop: windows in, the best weights out. Needs torch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.errors import UsageError
from toolkit.model.config import STREAMS, ModelConfig
from toolkit.model.network import CrossLSTM
from toolkit.records import Windows

#: Rows of one forward pass where no gradient is needed.
EVALUATION_BATCH = 1024


@dataclass(frozen=True)
class Recipe:
    """How to train: Adam with decoupled weight decay (Loshchilov & Hutter 2019), a one-cycle cosine learning rate
    (Smith & Topin 2018), gradients clipped to norm ``clip``. What is validated and kept is the exponential
    moving average of the weights, which each step keeps by ``averaging`` (0: the weights themselves).
    Cell states at the end of a window are held near ``cell_limit`` by a penalty on what lies beyond: 16-bit
    cells of an int8 LSTM have a power-of-two range, and up to 8 is the usual one."""

    epochs: int = 30
    batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    averaging: float = 0.99
    cell_limit: float = 6.0
    clip: float = 1.0
    patience: int = 8

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "patience"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("learning_rate", "clip", "cell_limit"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name.replace('_', ' ')} is {value:g}; it must be above 0")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise UsageError(f"weight decay is {self.weight_decay:g}; it must be at least 0")
        if not 0 <= self.averaging < 1:
            raise UsageError(f"averaging is {self.averaging:g}; it must be at least 0 and below 1")


@dataclass(frozen=True)
class Progress:
    """Where training stands. Losses are mean squared errors of the standardised moments (1 is guessing the mean).

    ``train_loss`` is of the epoch so far; ``validation_loss`` of the last finished epoch, NaN before the first.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    train_loss: float
    validation_loss: float
    best_epoch: int


@dataclass(frozen=True)
class Epoch:
    """What one epoch ended with."""

    number: int
    train_loss: float
    validation_loss: float


@dataclass(frozen=True, eq=False)
class Fitted:
    """The network with the best epoch's weights, moments in Nm/kg, and how it went."""

    network: CrossLSTM
    history: tuple[Epoch, ...]
    best_epoch: int


@contextmanager
def reproducible() -> Iterator[None]:
    """One thread and deterministic algorithms: the order of every sum is fixed. Restored afterwards."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def fit(
    config: ModelConfig,
    train: Windows,
    validation: Windows,
    recipe: Recipe,
    seed: int,
    progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Train a network of ``config`` from ``seed``; stop when validation has not improved for ``patience`` epochs.

    Targets are standardised by the train part's mean and deviation, which are folded into the last layer at the
    end. Raises UsageError if the loss stops being finite.
    """
    with reproducible():
        torch.manual_seed(seed)
        network = CrossLSTM(config)
        mean, std = _target_scale(train)
        loop = _Loop(network, train, validation, recipe, seed, mean, std, progress)
        history, best_epoch = loop.run()
        _fold_target_scale(network, mean, std)
    return Fitted(network.eval(), history, best_epoch)


def predict(network: CrossLSTM, windows: Windows) -> NDArray[np.float32]:
    """Moments (n, outputs) in Nm/kg of every window, without gradients."""
    tensors = [torch.from_numpy(windows.inputs[s]) for s in STREAMS]
    with torch.inference_mode():
        parts = [network(*rows) for rows in zip(*(torch.split(t, EVALUATION_BATCH) for t in tensors))]
    result: NDArray[np.float32] = torch.cat(parts).numpy()
    return result


def largest_cell(network: CrossLSTM, windows: Windows) -> float:
    """Largest absolute LSTM cell state over all windows and steps: what an int8 conversion has to hold."""
    from toolkit.model.float_reference import hidden_states

    weights = network.to_weights()
    largest = 0.0
    for stream in STREAMS:
        rows = windows.inputs[stream]
        for start in range(0, len(rows), EVALUATION_BATCH):
            chunk = rows[start : start + EVALUATION_BATCH]
            for _, cell in hidden_states(weights, network.config, stream, chunk):
                largest = max(largest, float(np.abs(cell).max()))
    return largest


def _target_scale(windows: Windows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    targets = windows.targets.astype(np.float64)
    std = targets.std(axis=0)
    # A moment that never changes keeps its unit; dividing by its rounding noise would not be learning.
    return targets.mean(axis=0), np.where(std > 1e-6, std, 1.0)


def _fold_target_scale(network: CrossLSTM, mean: NDArray[np.float64], std: NDArray[np.float64]) -> None:
    """Make the last layer speak Nm/kg: (W x + b) * std + mean."""
    with torch.no_grad():
        layer = network.head_output
        scale, offset = torch.from_numpy(std), torch.from_numpy(mean)
        layer.weight.copy_(layer.weight.double() * scale[:, None])
        layer.bias.copy_(layer.bias.double() * scale + offset)


class _Loop:
    """State of one training run."""

    def __init__(
        self,
        network: CrossLSTM,
        train: Windows,
        validation: Windows,
        recipe: Recipe,
        seed: int,
        mean: NDArray[np.float64],
        std: NDArray[np.float64],
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.network, self.recipe, self.progress = network, recipe, progress
        self.train, self.validation = (
            [
                *(torch.from_numpy(w.inputs[s]) for s in STREAMS),
                torch.from_numpy(((w.targets - mean) / std).astype(np.float32)),
            ]
            for w in (train, validation)
        )
        self.order = np.random.default_rng(seed)
        self.steps = math.ceil(len(train) / recipe.batch)
        self.optimizer = torch.optim.AdamW(
            network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, recipe.learning_rate, total_steps=recipe.epochs * self.steps, pct_start=0.15
        )
        self.average = copy.deepcopy(network).requires_grad_(False)
        self.updates = 0
        self.history: list[Epoch] = []
        self.best = (math.inf, 0)

    def run(self) -> tuple[tuple[Epoch, ...], int]:
        """All epochs; leaves the best weights in the network."""
        weights = copy.deepcopy(self.network.state_dict())
        for number in range(1, self.recipe.epochs + 1):
            train_loss = self._epoch(number)
            validation_loss = self._validate()
            self.history.append(Epoch(number, train_loss, validation_loss))
            if validation_loss < self.best[0]:
                self.best = (validation_loss, number)
                weights = copy.deepcopy(self.average.state_dict())
            self._report(number, self.steps, train_loss)
            if number - self.best[1] >= self.recipe.patience:
                break
        self.network.load_state_dict(weights)
        return tuple(self.history), self.best[1]

    def _epoch(self, number: int) -> float:
        self.network.train()
        order = torch.from_numpy(self.order.permutation(len(self.train[-1])))
        total, seen = 0.0, 0
        for step, rows in enumerate(torch.split(order, self.recipe.batch), 1):
            loss, penalty = self._loss(self.network, [tensor[rows] for tensor in self.train])
            if not torch.isfinite(loss):
                raise UsageError(
                    f"training diverged in epoch {number}: the loss is {loss.item()}; use a smaller --learning-rate"
                )
            self.optimizer.zero_grad()
            (loss + penalty).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
            self.optimizer.step()
            self.schedule.step()
            self._update_average()
            total, seen = total + loss.item() * len(rows), seen + len(rows)
            if step < self.steps:
                self._report(number, step, total / seen)
        return total / seen

    def _update_average(self) -> None:
        """One step of the moving average; the first steps keep less, so that it forgets the initial weights."""
        self.updates += 1
        keep = min(self.recipe.averaging, self.updates / (self.updates + 9))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.network.parameters()):
                kept.lerp_(new, 1 - keep)

    def _validate(self) -> float:
        network = self.average.eval()
        total = 0.0
        with torch.inference_mode():
            for batch in zip(*(torch.split(tensor, EVALUATION_BATCH) for tensor in self.validation)):
                total += self._loss(network, list(batch))[0].item() * len(batch[0])
        return total / len(self.validation[-1])

    def _loss(self, network: CrossLSTM, batch: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Mean squared error, and the penalty on cell states beyond the limit."""
        imu, emg, target = batch
        moments, cells = network.with_cells(imu, emg)
        beyond = torch.relu(cells.abs() - self.recipe.cell_limit)
        return torch.nn.functional.mse_loss(moments, target), beyond.square().sum(dim=-1).mean()

    def _report(self, epoch: int, step: int, train_loss: float) -> None:
        if self.progress is not None:
            last = self.history[-1].validation_loss if self.history else math.nan
            self.progress(
                Progress(epoch, self.recipe.epochs, step, self.steps, train_loss, last, self.best[1])
            )
