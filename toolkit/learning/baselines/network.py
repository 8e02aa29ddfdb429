"""What all baseline networks share: the two streams side by side, and the Cross-LSTM's head. Needs torch."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from toolkit.model.config import ModelConfig


class Baseline(nn.Module, ABC):
    """Takes and gives what a Cross-LSTM of ``config`` does; :meth:`features` is what differs."""

    def __init__(self, config: ModelConfig, features: int) -> None:
        super().__init__()
        self.config = config
        self.channels = config.imu_channels + config.emg_channels
        self._features = features
        self.head_hidden = nn.Linear(features, config.head_hidden)
        self.head_output = nn.Linear(config.head_hidden, len(config.outputs))

    def forward(self, imu: Tensor, emg: Tensor | None = None) -> Tensor:
        """Moments (n, outputs) of windows imu (n, T, Ci) and emg (n, T, Ce), normalised; one of them alone is the first."""
        found = self.features(imu if emg is None else torch.cat([imu, emg], dim=-1))
        moments: Tensor = self.head_output(torch.relu(self.head_hidden(found)))
        return moments

    @abstractmethod
    def features(self, rows: Tensor) -> Tensor:
        """What the head sees (n, features) of windows (n, T, channels)."""

    @abstractmethod
    def feature_macs(self) -> int:
        """Multiply-accumulates of :meth:`features` for one window."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one window."""
        head = self.config.head_hidden * (self._features + len(self.config.outputs))
        return self.feature_macs() + head


def weight_count(network: nn.Module) -> int:
    """Number of trained weights; of PyTorch's two LSTM or GRU biases a deployed cell has one, and a checkpoint too."""
    return sum(parameter.numel() for name, parameter in network.named_parameters() if "bias_hh" not in name)
