"""The training loop: an objective is minimised, the best epoch's weights are kept, every epoch can be the last. Needs torch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toolkit.errors import UsageError
from toolkit.learning.objective import Objective
from toolkit.learning.recipe import Epoch, Recipe, Step


class Loop:
    """State of one training run: between two epochs, all of it is what :meth:`tensors` and :meth:`numbers` give."""

    def __init__(self, network: nn.Module, objective: Objective, recipe: Recipe, seed: int) -> None:
        self.network, self.objective, self.recipe = network, objective, recipe
        self.order = np.random.default_rng(seed)
        self.steps = math.ceil(objective.items / recipe.batch)
        trained = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, recipe.learning_rate, weight_decay=recipe.weight_decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, recipe.learning_rate, total_steps=recipe.epochs * self.steps, pct_start=0.15
        )
        self.average = copy.deepcopy(network).requires_grad_(False)
        self.updates = 0
        self.history: list[Epoch] = []
        self.best = (math.inf, 0)
        self.weights = copy.deepcopy(network.state_dict())

    def run(
        self,
        progress: Callable[[Step], None] | None = None,
        after_epoch: Callable[[Loop], None] | None = None,
    ) -> None:
        """The epochs that are left; leaves the best weights in the network. ``after_epoch`` may save what there is."""
        while len(self.history) < self.recipe.epochs and not self._out_of_patience:
            number = len(self.history) + 1
            train_loss = self._epoch(number, progress)
            validation_loss = self.objective.validate(self.average.eval())
            self.history.append(Epoch(number, train_loss, validation_loss))
            if validation_loss < self.best[0]:
                self.best = (validation_loss, number)
                self.weights = copy.deepcopy(self.average.state_dict())
            self._report(progress, number, self.steps, train_loss)
            if after_epoch is not None:
                after_epoch(self)
        self.network.load_state_dict(self.weights)

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights are kept; 0 before the first."""
        return self.best[1]

    @property
    def _out_of_patience(self) -> bool:
        return len(self.history) - self.best_epoch >= self.recipe.patience

    def _epoch(self, number: int, progress: Callable[[Step], None] | None) -> float:
        self.network.train()
        order: NDArray[np.int64] = self.order.permutation(self.objective.items)
        total, seen = 0.0, 0
        for step in range(1, self.steps + 1):
            rows = order[(step - 1) * self.recipe.batch : step * self.recipe.batch]
            loss, penalty = self.objective.loss(self.network, rows)
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
                self._report(progress, number, step, total / seen)
        return total / seen

    def _update_average(self) -> None:
        """One step of the moving average; the first steps keep less, so that it forgets the initial weights."""
        self.updates += 1
        keep = min(self.recipe.averaging, self.updates / (self.updates + 9))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.network.parameters()):
                kept.lerp_(new, 1 - keep)
            for mean, now in zip(self.average.buffers(), self.network.buffers()):
                mean.copy_(now)

    def _report(
        self, progress: Callable[[Step], None] | None, epoch: int, step: int, train_loss: float
    ) -> None:
        if progress is not None:
            last = self.history[-1] if self.history else None
            progress(Step(epoch, self.recipe.epochs, step, self.steps, train_loss, last, self.best_epoch))

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the run: weights, their average, the best ones, the optimizer's moments, torch's generator."""
        found = {
            f"{part}.{name}": value
            for part, state in (
                ("network", self.network.state_dict()),
                ("average", self.average.state_dict()),
                ("best", self.weights),
            )
            for name, value in state.items()
        }
        for place, state in self.optimizer.state_dict()["state"].items():
            found |= {f"optimizer.{place}.{name}": value for name, value in state.items()}
        return found | {"torch": torch.get_rng_state()}

    def numbers(self) -> dict[str, object]:
        """Every number of the run, as plain JSON."""
        return {
            "updates": self.updates,
            "history": [[e.number, e.train_loss, e.validation_loss] for e in self.history],
            "best": list(self.best),
            "order": self.order.bit_generator.state,
            "chance": self.objective.generator.bit_generator.state,
        }

    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, object]) -> None:
        """Stand where the run stood that gave ``tensors`` and ``numbers``. LookupError, TypeError, ValueError, RuntimeError if
        they are of another run."""
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "best": {}, "optimizer": {}}
        for key, value in tensors.items():
            part, _, name = key.partition(".")
            if part != "torch":
                parts[part][name] = value
        self.network.load_state_dict(parts["network"])
        self.average.load_state_dict(parts["average"])
        self.weights = parts["best"]
        self._restore_optimizer(parts["optimizer"], int(str(numbers["updates"])))
        history: Any = numbers["history"]
        self.history = [Epoch(int(n), float(t), float(v)) for n, t, v in history]
        best: Any = numbers["best"]
        self.best = (float(best[0]), int(best[1]))
        self.order.bit_generator.state = numbers["order"]  # type: ignore[assignment]
        self.objective.generator.bit_generator.state = numbers["chance"]  # type: ignore[assignment]
        torch.set_rng_state(tensors["torch"])

    def _restore_optimizer(self, moments: dict[str, Tensor], updates: int) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in moments.items():
            place, _, name = key.partition(".")
            state.setdefault(int(place), {})[name] = value
        self.updates = updates
        if updates:
            # The schedule is a function of the step's number: one step from the last but one sets rate and momentum.
            self.schedule.load_state_dict({"last_epoch": updates - 1, "_step_count": updates})
            self.schedule.step()
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
