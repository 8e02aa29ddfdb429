"""Windows in, the best weights out. Needs torch."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from toolkit.errors import UsageError
from toolkit.learning.batches import Batches, in_order
from toolkit.learning.loop import Loop
from toolkit.learning.objective import EVALUATION_BATCH, Objective, TargetScale
from toolkit.learning.recipe import Epoch, Recipe, Step
from toolkit.model.network import CrossLSTM

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True, eq=False)
class Fitted(Generic[N]):
    """The network with the best epoch's weights, moments in Nm/kg, and how it went."""

    network: N
    history: tuple[Epoch, ...]
    best_epoch: int


@dataclass(frozen=True)
class Machine:
    """Where training runs: ``cpu``, ``cuda`` or ``cuda:N``, and on how many threads of the processor.

    The number of threads and the kind of device change the order of sums, and so the last digits.
    """

    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise UsageError(f"threads is {self.threads}; it must be at least 1")
        if self.device != "cpu" and not self.device.startswith("cuda"):
            raise UsageError(f"device is {self.device!r}; allowed: cpu, cuda, cuda:N")
        if self.device != "cpu":
            _require_cuda(self.device)


def _require_cuda(device: str) -> None:
    count = torch.cuda.device_count()
    number = device.removeprefix("cuda").removeprefix(":") or "0"
    if not number.isdigit() or int(number) >= count:
        have = f"it has {count}" if count else "it has none that this PyTorch can use"
        raise UsageError(f"device {device} is not in this machine ({have}); use --device cpu")


@contextmanager
def reproducible(threads: int = 1) -> Iterator[None]:
    """So many threads and deterministic algorithms: the order of every sum is fixed. Restored afterwards."""
    before = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs to be deterministic
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(deterministic)


def fit(
    make: Callable[[], N],
    objective: Objective,
    recipe: Recipe,
    seed: int,
    *,
    machine: Machine | None = None,
    progress: Callable[[Step], None] | None = None,
    before: Callable[[Loop], None] | None = None,
    after_epoch: Callable[[Loop], None] | None = None,
) -> Fitted[N]:
    """Train what ``make`` gives from ``seed``; stop when validation has not improved for ``patience`` epochs.

    The network learns standardised moments; whoever calls folds their scale into its last layer. ``before`` may restore an
    interrupted run; ``after_epoch`` may save it. Raises UsageError if the loss stops being finite.
    """
    machine = machine or Machine()
    with reproducible(machine.threads):
        torch.manual_seed(seed)
        network = make().to(machine.device)
        loop = Loop(network, objective, recipe, seed)
        if before is not None:
            before(loop)
        loop.run(progress, after_epoch)
    return Fitted(network.cpu().eval(), tuple(loop.history), loop.best_epoch)


def best_so_far(loop: Loop, scale: TargetScale) -> CrossLSTM:
    """The best epoch's Cross-LSTM of a run that goes on, in Nm/kg, on the processor."""
    network = copy.deepcopy(loop.network)
    assert isinstance(network, CrossLSTM)
    network.load_state_dict(loop.weights)
    network = network.cpu().eval()
    scale.fold_into(network.head_output)
    return network


def predict(network: nn.Module, batches: Batches) -> NDArray[np.float32]:
    """Moments (n, outputs) in Nm/kg of every window, without gradients, on the processor."""
    parts, rows = [], np.arange(len(batches))
    with torch.inference_mode():
        for start in range(0, len(rows), EVALUATION_BATCH):
            inputs, _ = batches.batches(rows[start : start + EVALUATION_BATCH])
            parts.append(network(*(torch.from_numpy(rows) for rows in in_order(inputs))))
    result: NDArray[np.float32] = torch.cat(parts).numpy()
    return result


def largest_cell(network: CrossLSTM, batches: Batches) -> float:
    """Largest absolute LSTM cell state over all windows and steps: what an int8 conversion has to hold."""
    from toolkit.model.float_reference import hidden_states

    weights = network.to_weights()
    largest, rows = 0.0, np.arange(len(batches))
    for start in range(0, len(rows), EVALUATION_BATCH):
        inputs, _ = batches.batches(rows[start : start + EVALUATION_BATCH])
        for stream in network.config.streams:
            for _, cell in hidden_states(weights, network.config, stream, inputs[stream]):
                largest = max(largest, float(np.abs(cell).max()))
    return largest
