"""The temporal convolutional network of Bai, Kolter & Koltun (2018, arXiv:1803.01271). Needs torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolkit.learning.baselines.network import Baseline
from toolkit.model.config import ModelConfig

KERNEL = 3
DROPOUT = 0.1


class _Block(nn.Module):
    """Two causal convolutions of one dilation, with dropout and a residual."""

    def __init__(self, inputs: int, width: int, dilation: int) -> None:
        super().__init__()
        self.past = (KERNEL - 1) * dilation
        self.first = nn.Conv1d(inputs, width, KERNEL, dilation=dilation)
        self.second = nn.Conv1d(width, width, KERNEL, dilation=dilation)
        self.dropout = nn.Dropout(DROPOUT)
        self.shortcut = nn.Conv1d(inputs, width, 1) if inputs != width else nn.Identity()

    def forward(self, rows: Tensor) -> Tensor:
        """(n, inputs, T) -> (n, width, T)."""
        found = rows
        for convolution in (self.first, self.second):
            found = torch.relu(convolution(nn.functional.pad(found, (self.past, 0))))
            found = self.dropout(found)
        result: Tensor = torch.relu(found + self.shortcut(rows))
        return result


class Tcn(Baseline):
    """Blocks of dilation 1, 2, 4, ... until they see the whole window; the newest step into the head."""

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__(config, width)
        dilations, sees = [1], 1 + 2 * (KERNEL - 1)
        while sees < config.window:
            dilations.append(2 * dilations[-1])
            sees += 2 * (KERNEL - 1) * dilations[-1]
        widths = [self.channels] + [width] * len(dilations)
        self.blocks = nn.Sequential(*(_Block(a, b, d) for a, b, d in zip(widths, widths[1:], dilations)))
        self._width = width

    def features(self, rows: Tensor) -> Tensor:
        """(n, T, channels) -> (n, width)."""
        found: Tensor = self.blocks(rows.transpose(1, 2))[:, :, -1]
        return found

    def feature_macs(self) -> int:
        """Of all steps of a window."""
        per_step = sum(
            module.in_channels * module.out_channels * module.kernel_size[0]
            for module in self.modules()
            if isinstance(module, nn.Conv1d)
        )
        return int(per_step) * self.config.window
