"""A Transformer encoder (Vaswani et al. 2017) with sinusoidal positions; its newest step into the head. Needs torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from toolkit.learning.baselines.network import Baseline
from toolkit.model.config import ModelConfig

HEADS = 4
LAYERS = 2
DROPOUT = 0.1


class Transformer(Baseline):
    """Two layers of four heads; the feed-forward part is twice as wide as the rest."""

    positions: Tensor

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__(config, width)
        self.embed = nn.Linear(self.channels, width)
        layer = nn.TransformerEncoderLayer(
            width, HEADS, 2 * width, DROPOUT, batch_first=True, norm_first=False
        )
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.register_buffer("positions", _positions(config.window, width), persistent=False)
        self._width = width

    def features(self, rows: Tensor) -> Tensor:
        """(n, T, channels) -> (n, width)."""
        found: Tensor = self.encoder(self.embed(rows) + self.positions)[:, -1]
        return found

    def feature_macs(self) -> int:
        """Of all steps of a window: projections, feed-forward, scores and their weighted sums."""
        steps, width = self.config.window, self._width
        layer = steps * 8 * width * width + 2 * steps * steps * width
        return steps * self.channels * width + LAYERS * layer


def _positions(steps: int, width: int) -> Tensor:
    time = torch.arange(steps, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000.0) / width))
    return torch.stack([torch.sin(time * rate), torch.cos(time * rate)], dim=2).flatten(1)[:, :width]
