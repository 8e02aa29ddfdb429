"""A multilayer perceptron on the whole window at once. Needs torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolkit.learning.baselines.network import Baseline
from toolkit.model.config import ModelConfig


class Mlp(Baseline):
    """One layer of ReLU over all samples of the window, then the head."""

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__(config, width)
        self.layer = nn.Linear(config.window * self.channels, width)

    def features(self, rows: Tensor) -> Tensor:
        """(n, T, channels) -> (n, width)."""
        return torch.relu(self.layer(rows.flatten(1)))

    def feature_macs(self) -> int:
        """Of the one layer."""
        return self.layer.in_features * self.layer.out_features
