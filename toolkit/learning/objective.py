"""What training minimises. The loop asks for a loss of some items and for a validation loss, and knows no more. Needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toolkit.learning.augmentation import Augment
from toolkit.learning.batches import Batches, Inputs, in_order
from toolkit.model.network import CrossLSTM

#: Rows of one forward pass where no gradient is needed.
EVALUATION_BATCH = 1024


class Objective(Protocol):
    """``items`` is what an epoch goes through once, in random order; ``generator`` all chance beside that order."""

    @property
    def items(self) -> int:
        """How many items training has: windows, or sequences."""

    @property
    def generator(self) -> np.random.Generator:
        """The chance of augmentation; its state is kept, so that a resumed run goes on with the same bits."""

    def loss(self, network: nn.Module, items: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Mean squared error of the standardised moments over ``items``, and a penalty that is added to it."""

    def validate(self, network: nn.Module) -> float:
        """Mean squared error of the standardised moments over the validation part."""


@dataclass(frozen=True, eq=False)
class TargetScale:
    """Mean and deviation of the train part's moments, (outputs,) in Nm/kg: networks learn standardised moments."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    @classmethod
    def of(cls, targets: NDArray[np.float32]) -> TargetScale:
        """Of moments (n, outputs)."""
        values = targets.astype(np.float64)
        std = values.std(axis=0)
        # A moment that never changes keeps its unit; dividing by its rounding noise would not be learning.
        return cls(values.mean(axis=0), np.where(std > 1e-6, std, 1.0))

    def standardised(self, targets: NDArray[np.float32]) -> Tensor:
        """Moments in Nm/kg as what the network learns."""
        return torch.from_numpy(((targets - self.mean) / self.std).astype(np.float32))

    def fold_into(self, layer: nn.Linear) -> None:
        """Make the last layer speak Nm/kg: (W x + b) * std + mean."""
        with torch.no_grad():
            scale, offset = (torch.from_numpy(v).to(layer.weight.device) for v in (self.std, self.mean))
            layer.weight.copy_(layer.weight.double() * scale[:, None])
            layer.bias.copy_(layer.bias.double() * scale + offset)

    def take_from(self, layer: nn.Linear) -> None:
        """The inverse of :meth:`fold_into`: a last layer in Nm/kg becomes one of standardised moments."""
        with torch.no_grad():
            scale, offset = (torch.from_numpy(v).to(layer.weight.device) for v in (self.std, self.mean))
            layer.weight.copy_(layer.weight.double() / scale[:, None])
            layer.bias.copy_((layer.bias.double() - offset) / scale)


class WindowObjective:
    """Mean squared error over windows, each from a zero state; items are the train part's windows.

    ``cell_limit`` bounds LSTM cell states (see ``Recipe``); ``augment`` changes training batches only.
    """

    def __init__(
        self,
        train: Batches,
        validation: Batches,
        scale: TargetScale,
        cell_limit: float,
        seed: int,
        *,
        augment: Augment | None = None,
        device: str = "cpu",
    ) -> None:
        self._train, self._validation, self._scale = train, validation, scale
        self._cell_limit, self._augment, self._device = cell_limit, augment, device
        # Not the generator of the order of windows: with and without augmentation that is the same.
        self.generator = np.random.default_rng([seed, 1])

    @property
    def items(self) -> int:
        """Windows of the train part."""
        return len(self._train)

    def loss(self, network: nn.Module, items: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Mean squared error of the windows ``items``, and the penalty on cell states beyond the limit."""
        inputs, targets = self._train.batches(items)
        if self._augment is not None:
            inputs = self._augment(inputs, self.generator)
        return self._of(network, inputs, targets)

    def validate(self, network: nn.Module) -> float:
        """Over all windows of the validation part, none changed."""
        total, rows = 0.0, np.arange(len(self._validation))
        with torch.inference_mode():
            for start in range(0, len(rows), EVALUATION_BATCH):
                batch = rows[start : start + EVALUATION_BATCH]
                total += self._of(network, *self._validation.batches(batch))[0].item() * len(batch)
        return total / len(rows)

    def _of(self, network: nn.Module, inputs: Inputs, targets: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
        given = [torch.from_numpy(rows).to(self._device) for rows in in_order(inputs)]
        wanted = self._scale.standardised(targets).to(self._device)
        if not isinstance(network, CrossLSTM):
            moments = network(*given)
            return torch.nn.functional.mse_loss(moments, wanted), moments.new_zeros(())
        moments, cells = network.with_cells(*given)
        beyond = torch.relu(cells.abs() - self._cell_limit)
        return torch.nn.functional.mse_loss(moments, wanted), beyond.square().sum(dim=-1).mean()


class TowardsSource:
    """Another objective, with a pull of every trained weight back to where it started (L2-SP; Li et al. 2018, ICML).

    ``strength`` times half the sum of squared distances is added to the penalty.
    """

    def __init__(self, objective: Objective, network: nn.Module, strength: float) -> None:
        self._objective, self._strength = objective, strength
        self._source = [p.detach().clone() for p in network.parameters()]

    @property
    def items(self) -> int:
        """Of the objective."""
        return self._objective.items

    @property
    def generator(self) -> np.random.Generator:
        """Of the objective."""
        return self._objective.generator

    def validate(self, network: nn.Module) -> float:
        """Of the objective, without the pull."""
        return self._objective.validate(network)

    def loss(self, network: nn.Module, items: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """The objective's, with the pull in the penalty."""
        loss, penalty = self._objective.loss(network, items)
        for now, source in zip(network.parameters(), self._source):
            if now.requires_grad:
                penalty = penalty + 0.5 * self._strength * (now - source).square().sum()
        return loss, penalty
