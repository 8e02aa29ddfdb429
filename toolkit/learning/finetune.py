"""A few strides of a new person or task adapt a checkpoint; what and for how long, they alone decide. Needs torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.contract import ModelInput, Normaliser
from toolkit.errors import UsageError
from toolkit.learning.batches import WindowBatches
from toolkit.learning.fit import predict, reproducible
from toolkit.learning.known_states import KnownStates, StatesObjective
from toolkit.learning.objective import Objective, TargetScale, TowardsSource, WindowObjective
from toolkit.learning.recipe import Recipe
from toolkit.learning.strides import Rows
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.network import CrossLSTM
from toolkit.records import Windows

Policy = Literal["auto", "all", "fusion-and-head", "head", "normaliser", "none"]
#: What ``auto`` chooses from; ``none`` is the source checkpoint as it is.
CANDIDATES: tuple[Policy, ...] = ("normaliser", "head", "fusion-and-head", "all")
#: Which weights each policy trains, by the beginning of their names in the network.
_TRAINED: dict[str, tuple[str, ...]] = {
    "all": ("",),
    "fusion-and-head": ("attention.", "norm.", "head_"),
    "head": ("head_",),
}

#: Gradient steps of an adaptation, at most, and after how many the held-out strides are looked at.
STEPS, LOOK = 60, 10
BATCH = 64
LEARNING_RATE = {"all": 1e-3, "fusion-and-head": 1e-3, "head": 2e-3}
#: Strength of the pull towards the source weights.
PULL = 0.01
#: Parts of the given strides that are held out in turn.
FOLDS = 3
#: ``auto`` leaves the checkpoint as it is unless every held-out part gains, and all together this share of its RMSE ...
LEAST_GAIN = 0.02
#: ... and there are so many strides: parts of one stride do not say what another one gains (docs/LEARNING.md).
LEAST_STRIDES = 2
#: Strides of the source that a new person's normaliser is worth: w = n / (n + this).
NORMALISER_STRIDES = 4.0


@dataclass(frozen=True, eq=False)
class Adapted:
    """``policy`` is what was done, ``steps`` how long. ``held_out``: RMSE, Nm/kg, of each policy on held-out strides."""

    checkpoint: Checkpoint
    policy: Policy
    steps: int
    held_out: dict[str, float]


def adapt(
    checkpoint: Checkpoint,
    windows: Windows,
    chosen: Sequence[Rows],
    policy: Policy = "auto",
    *,
    seed: int = 0,
    pull: float = PULL,
) -> Adapted:
    """Adapt to the strides ``chosen`` (rows of ``windows``, which are cut by the checkpoint's contract).

    How many steps, and with ``auto`` which policy, is chosen by cross-validation inside the given strides: a part of them is
    held out in turn (of one stride, a third of it). Weights are pulled towards the source's (L2-SP; Li et al. 2018, ICML).
    The same input gives the same weights. Raises UsageError.
    """
    if policy not in get_args(Policy):
        raise UsageError(f"policy is {policy!r}; allowed: {', '.join(get_args(Policy))}")
    if not len(chosen) or not sum(map(len, chosen)):
        raise UsageError("there is no stride to adapt to; give at least 1")
    if policy == "none" or (policy == "auto" and len(chosen) < LEAST_STRIDES):
        return Adapted(checkpoint, "none", 0, {})
    with reproducible():
        parts = _parts(chosen)
        candidates = CANDIDATES if policy == "auto" else (policy,)
        rows = np.concatenate(chosen)
        work = _Work(checkpoint, windows, rows, seed, pull)
        base = work.errors("none", parts, len(chosen))[0]
        found = {name: work.errors(name, parts, len(chosen)) for name in candidates}
        held_out = {"none": _rmse(base)} | {name: _rmse(errors) for name, (errors, _) in found.items()}
        if policy == "auto":
            candidates = tuple(name for name in candidates if _gains(base, found[name][0]))
        if not candidates:
            return Adapted(checkpoint, "none", 0, held_out)
        best = min(candidates, key=lambda name: held_out[name])
        steps = found[best][1]
        return Adapted(work.result(best, rows, len(chosen), steps), best, steps, held_out)


def individual(checkpoint: Checkpoint, windows: Windows, chosen: Sequence[Rows], seed: int = 0) -> CrossLSTM:
    """A network of the checkpoint's sizes that learns from ``chosen`` alone, from random weights, in Nm/kg.

    Its number of steps is not chosen, for there is nobody else to choose it on: four times those of an adaptation.
    """
    with reproducible():
        torch.manual_seed(seed)
        network = CrossLSTM(checkpoint.config)
        train = WindowBatches(windows.take(np.concatenate(chosen)))
        scale = TargetScale.of(train.targets)
        objective = WindowObjective(train, train, scale, Recipe().cell_limit, seed)
        _descend(network, objective, 4 * STEPS, 3e-3, seed)
        scale.fold_into(network.head_output)
        return network.eval()


class _Work:
    """One person's windows and the source, asked again and again."""

    def __init__(self, checkpoint: Checkpoint, windows: Windows, rows: Rows, seed: int, pull: float) -> None:
        self.checkpoint, self.windows, self.seed, self.pull = checkpoint, windows, seed, pull
        self._rows = rows

    @cached_property
    def states(self) -> KnownStates:
        """The source's states of all rows, for the policies that leave its LSTMs as they are."""
        return KnownStates(CrossLSTM.from_checkpoint(self.checkpoint), self.windows, self._rows)

    def errors(
        self, policy: Policy, parts: Sequence[tuple[Rows, Rows]], strides: int
    ) -> tuple[NDArray[np.float64], int]:
        """Mean squared error of each part that was held out, (parts,), at the number of steps that is best over all parts."""
        if policy in ("none", "normaliser"):
            values = []
            for learn, held in parts:
                network, told = self._start(policy, learn, strides)
                values.append(_square(network, told.take(held)))
            return np.array(values), 0
        table = np.array([self._look(policy, learn, held, strides) for learn, held in parts])
        best = int(table.mean(axis=0).argmin())
        return table[:, best], (best + 1) * LOOK

    def _look(self, policy: Policy, learn: Rows, held: Rows, strides: int) -> list[float]:
        """Mean squared error on ``held`` after every LOOK steps on ``learn``."""
        network, _ = self._start(policy, learn, strides)
        objective, scale = self._objective(network, policy, learn)
        seen: list[float] = []
        rest = self.windows.take(held)

        def look(step: int) -> None:
            if step % LOOK:
                return
            if policy == "all":
                estimate = predict(network, WindowBatches(rest))
            else:
                estimate = self.states.predict(network, held)
            seen.append(_mean_square(estimate * scale.std + scale.mean, rest))

        _descend(network, objective, STEPS, LEARNING_RATE[policy], self.seed, look)
        return seen

    def result(self, policy: Policy, rows: Rows, strides: int, steps: int) -> Checkpoint:
        """The source adapted to ``rows`` for ``steps``, as a checkpoint."""
        network, told = self._start(policy, rows, strides)
        contract = self.checkpoint.contract
        if policy == "normaliser":
            contract = dataclasses.replace(contract, inputs=self._inputs(rows, strides))
        else:
            objective, scale = self._objective(network, policy, rows)
            _descend(network, objective, steps, LEARNING_RATE[policy], self.seed)
            scale.fold_into(network.head_output)
        people = sorted({told.recordings[i].person for i in told.recording[rows]})
        note = {
            "policy": policy,
            "steps": steps,
            "strides": strides,
            "people": people,
            "source": self.checkpoint.hash,
        }
        provenance = {**self.checkpoint.provenance, "finetuned": note}
        return dataclasses.replace(
            self.checkpoint, contract=contract, weights=network.to_weights(), provenance=provenance
        )

    def _start(self, policy: Policy, rows: Rows, strides: int) -> tuple[CrossLSTM, Windows]:
        network = CrossLSTM.from_checkpoint(self.checkpoint)
        if policy != "normaliser":
            return network, self.windows
        return network, renormalised(self.windows, self.checkpoint, self._inputs(rows, strides))

    def _inputs(self, rows: Rows, strides: int) -> tuple[ModelInput, ...]:
        """The contract's inputs with a normaliser between the source's and that of ``rows``."""
        weight = strides / (strides + NORMALISER_STRIDES)
        return tuple(
            dataclasses.replace(
                item,
                normaliser=_blended(item.normaliser, self.windows.inputs[item.stream.name][rows], weight),
            )
            for item in self.checkpoint.contract.inputs
        )

    def _objective(self, network: CrossLSTM, policy: Policy, rows: Rows) -> tuple[TowardsSource, TargetScale]:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith(_TRAINED[policy]))
        scale = TargetScale.of(self.windows.targets[rows])
        scale.take_from(network.head_output)
        objective: Objective
        if policy == "all":
            train = WindowBatches(self.windows.take(rows))
            objective = WindowObjective(train, train, scale, Recipe().cell_limit, self.seed)
        else:
            objective = StatesObjective(self.states, self.windows, rows, scale, self.seed)
        return TowardsSource(objective, network, self.pull), scale


def _parts(chosen: Sequence[Rows]) -> list[tuple[Rows, Rows]]:
    """(learn, held out) rows, each stride held out once; a single stride is parted into stretches instead."""
    pieces = list(chosen) if len(chosen) > 1 else np.array_split(chosen[0], FOLDS)
    number = min(FOLDS, len(pieces))
    return [
        (
            np.concatenate([piece for place, piece in enumerate(pieces) if place % number != turn]),
            np.concatenate(pieces[turn::number]),
        )
        for turn in range(number)
    ]


def _descend(
    network: CrossLSTM,
    objective: Objective,
    steps: int,
    rate: float,
    seed: int,
    look: Callable[[int], None] = lambda step: None,
) -> None:
    """Adam at a constant rate on batches drawn without putting back, over and over."""
    order = np.random.default_rng(seed)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], rate)
    left: Rows = np.zeros(0, np.int64)
    for step in range(1, steps + 1):
        if not len(left):
            left = order.permutation(objective.items)
        rows, left = left[:BATCH], left[BATCH:]
        network.train()
        loss, penalty = objective.loss(network, rows)
        optimizer.zero_grad()
        (loss + penalty).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        network.eval()
        look(step)


def _square(network: CrossLSTM, windows: Windows) -> float:
    """Mean squared error, (Nm/kg)^2."""
    return _mean_square(predict(network, WindowBatches(windows)), windows)


def _mean_square(estimate: NDArray[np.floating[Any]], windows: Windows) -> float:
    return float(((estimate.astype(np.float64) - windows.targets) ** 2).mean())


def _rmse(squares: NDArray[np.float64]) -> float:
    return float(np.sqrt(squares.mean()))


def _gains(base: NDArray[np.float64], new: NDArray[np.float64]) -> bool:
    """Whether each held-out part is better, and all together by enough."""
    return bool((new < base).all() and _rmse(new) < (1 - LEAST_GAIN) * _rmse(base))


def _blended(source: Normaliser, rows: NDArray[np.float32], weight: float) -> Normaliser:
    """The source's normaliser moved by ``weight`` towards that of ``rows`` (n, window, channels), which it normalised.

    A channel that is dead in ``rows`` keeps the source's.
    """
    newest = rows[:, -1].astype(np.float64)
    mean, std = np.array(source.mean), np.array(source.std)
    moved_mean, moved_std = mean + std * newest.mean(axis=0), std * newest.std(axis=0)
    alive = newest.std(axis=0) > 1e-6
    return Normaliser(
        tuple(float(v) for v in np.where(alive, (1 - weight) * mean + weight * moved_mean, mean)),
        tuple(
            float(v)
            for v in np.where(alive, std ** (1 - weight) * np.maximum(moved_std, 1e-12) ** weight, std)
        ),
    )


def renormalised(windows: Windows, checkpoint: Checkpoint, inputs: Sequence[ModelInput]) -> Windows:
    """Windows that the checkpoint's contract normalised, as ``inputs`` normalise them."""
    values = {}
    for old, new in zip(checkpoint.contract.inputs, inputs):
        name = old.stream.name
        scale = np.array(old.normaliser.std) / np.array(new.normaliser.std)
        shift = (np.array(old.normaliser.mean) - np.array(new.normaliser.mean)) / np.array(new.normaliser.std)
        values[name] = (windows.inputs[name] * scale + shift).astype(np.float32)
    return dataclasses.replace(windows, inputs=values)
