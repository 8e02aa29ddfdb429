"""Training what follows the LSTMs: their states of each window are computed once, and not in every step. Needs torch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toolkit.learning.objective import EVALUATION_BATCH, TargetScale
from toolkit.learning.strides import Rows
from toolkit.model.network import CrossLSTM
from toolkit.records import Windows


class KnownStates:
    """Hidden states of the streams of the windows ``rows``, as ``network`` has them, whose LSTMs are not trained."""

    def __init__(self, network: CrossLSTM, windows: Windows, rows: Rows) -> None:
        self._rows = np.unique(rows)
        parts: list[list[Tensor]] = [[] for _ in network.config.streams]
        with torch.no_grad():
            for start in range(0, len(self._rows), EVALUATION_BATCH):
                some = self._rows[start : start + EVALUATION_BATCH]
                for stream, found in zip(network.config.streams, parts):
                    found.append(network.lstm[stream](torch.from_numpy(windows.inputs[stream][some]))[0])
        self._states = [torch.cat(found) for found in parts]

    def fused(self, network: CrossLSTM, rows: Rows) -> Tensor:
        """Moments (n, outputs) of the windows ``rows`` by the rest of ``network``."""
        places = torch.from_numpy(np.searchsorted(self._rows, rows))
        return network.fused(*(states[places] for states in self._states))

    def predict(self, network: CrossLSTM, rows: Rows) -> NDArray[np.float32]:
        """The same without gradients."""
        with torch.no_grad():
            result: NDArray[np.float32] = self.fused(network, rows).numpy()
        return result


class StatesObjective:
    """Mean squared error over the windows ``rows``. There is no penalty: cell states are those of the source."""

    def __init__(
        self, states: KnownStates, windows: Windows, rows: Rows, scale: TargetScale, seed: int
    ) -> None:
        self._states, self._rows = states, rows
        self._wanted = scale.standardised(windows.targets[rows])
        self.generator = np.random.default_rng(seed)

    @property
    def items(self) -> int:
        """Windows."""
        return len(self._rows)

    def loss(self, network: nn.Module, items: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Of the windows ``items``."""
        assert isinstance(network, CrossLSTM)
        moments = self._states.fused(network, self._rows[items])
        return nn.functional.mse_loss(moments, self._wanted[torch.from_numpy(items)]), moments.new_zeros(())

    def validate(self, network: nn.Module) -> float:
        """Of all."""
        with torch.no_grad():
            return float(self.loss(network, np.arange(self.items))[0])
