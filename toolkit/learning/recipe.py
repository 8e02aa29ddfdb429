"""How a network is trained, and where training stands. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from toolkit.errors import UsageError


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
class Step:
    """Where training stands. Losses are mean squared errors of the standardised moments (1 is guessing the mean).

    ``train_loss`` is of the epoch so far; ``last`` the last finished epoch, None before the first.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    train_loss: float
    last: Epoch | None
    best_epoch: int


@dataclass(frozen=True)
class Epoch:
    """What one epoch ended with."""

    number: int
    train_loss: float
    validation_loss: float


def rises_from_the_first(history: tuple[Epoch, ...]) -> bool:
    """Whether validation was best after the first of several epochs: what training learnt since carries over to nobody."""
    losses = [epoch.validation_loss for epoch in history]
    return len(losses) > 1 and losses[0] == min(losses)
