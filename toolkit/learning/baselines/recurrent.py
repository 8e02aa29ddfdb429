"""LSTM, BiLSTM, GRU and CNN-LSTM: both streams' channels side by side into one recurrent layer. Needs torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolkit.learning.baselines.network import Baseline
from toolkit.model.config import ModelConfig

#: Gates of a cell, each a product with the input and one with the last state.
_GATES = {"lstm": 4, "gru": 3}


def _cell_macs(gates: int, inputs: int, width: int, steps: int) -> int:
    return steps * gates * width * (inputs + width)


class Recurrent(Baseline):
    """One layer of LSTM (Hochreiter & Schmidhuber 1997) or GRU (Cho et al. 2014), its newest state into the head.

    Bidirectional (Schuster & Paliwal 1997), the second layer reads the window from its end, and so sees nothing later either.
    """

    def __init__(self, config: ModelConfig, width: int, *, cell: str = "lstm", both: bool = False) -> None:
        super().__init__(config, width * (2 if both else 1))
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        self.layer = kind(self.channels, width, batch_first=True, bidirectional=both)
        self._cell, self._width, self._ways = cell, width, 2 if both else 1

    def features(self, rows: Tensor) -> Tensor:
        """(n, T, channels) -> the last state of each direction, (n, width or 2 width)."""
        _, last = self.layer(rows)
        states = last[0] if isinstance(last, tuple) else last
        newest: Tensor = states.transpose(0, 1).flatten(1)
        return newest

    def feature_macs(self) -> int:
        """Of all steps of a window."""
        one = _cell_macs(_GATES[self._cell], self.channels, self._width, self.config.window)
        return self._ways * one


class CnnLstm(Baseline):
    """A causal convolution of 5 samples, then an LSTM."""

    KERNEL = 5

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__(config, width)
        self.convolution = nn.Conv1d(self.channels, width, self.KERNEL)
        self.layer = nn.LSTM(width, width, batch_first=True)
        self._width = width

    def features(self, rows: Tensor) -> Tensor:
        """(n, T, channels) -> (n, width)."""
        padded = nn.functional.pad(rows.transpose(1, 2), (self.KERNEL - 1, 0))
        states, _ = self.layer(torch.relu(self.convolution(padded)).transpose(1, 2))
        newest: Tensor = states[:, -1]
        return newest

    def feature_macs(self) -> int:
        """Of all steps of a window."""
        steps, width = self.config.window, self._width
        return steps * self.KERNEL * self.channels * width + _cell_macs(4, width, width, steps)
