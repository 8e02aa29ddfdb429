"""Eight networks of the family as people write them in PyTorch, and how they export them.

Sizes are those of the field, small enough for tests: 64 units and windows of 64 are taken by ``benchmarks.studies.imports``.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


@dataclass(frozen=True)
class Sizes:
    """``streams``: channels of each input; ``window``: T; ``hidden``: units."""

    streams: tuple[int, ...]
    window: int = 12
    hidden: int = 8
    outputs: int = 3


class SingleLstm(nn.Module):
    """One LSTM, the last step, two dense layers."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.rnn = nn.LSTM(s.streams[0], s.hidden, batch_first=True)
        self.head = nn.Sequential(nn.Linear(s.hidden, s.hidden), nn.ReLU(), nn.Linear(s.hidden, s.outputs))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.rnn(x)[0][:, -1])
        return result


class Gru(nn.Module):
    """A GRU, dropout, the last step."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.rnn = nn.GRU(s.streams[0], s.hidden, batch_first=True)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(s.hidden, s.outputs)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.rnn(x)
        result: Tensor = self.out(self.drop(states[:, -1, :]))
        return result


class BiLstm(nn.Module):
    """Two bidirectional layers with dropout between, their last step."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.rnn = nn.LSTM(
            s.streams[0], s.hidden, num_layers=2, dropout=0.2, bidirectional=True, batch_first=True
        )
        self.out = nn.Linear(2 * s.hidden, s.outputs)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.out(self.rnn(x)[0][:, -1])
        return result


class CnnLstm(nn.Module):
    """Convolution, batch norm, pooling over time, then an LSTM."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(s.streams[0], s.hidden, 5, padding=2),
            nn.BatchNorm1d(s.hidden),
            nn.ReLU(),
            nn.MaxPool1d(2),
        )
        self.rnn = nn.LSTM(s.hidden, s.hidden, batch_first=True)
        self.out = nn.Linear(s.hidden, s.outputs)
        norm = self.conv[1]
        assert isinstance(norm, nn.BatchNorm1d)
        assert norm.running_mean is not None and norm.running_var is not None
        nn.init.normal_(norm.running_mean, std=0.2)
        nn.init.uniform_(norm.running_var, 0.3, 2.0)
        nn.init.uniform_(norm.weight, 0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(x.transpose(1, 2)).transpose(1, 2)
        result: Tensor = self.out(self.rnn(features)[0][:, -1])
        return result


class _TcnBlock(nn.Module):
    """A causal dilated convolution with weight norm and a residual (Bai et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.cut = 2 * dilation
        self.conv = weight_norm(nn.Conv1d(inputs, outputs, 3, padding=self.cut, dilation=dilation))
        self.skip = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.drop = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.drop(torch.relu(self.conv(x)[:, :, : -self.cut]))
        return torch.relu(y + self.skip(x))


class Tcn(nn.Module):
    """Three blocks of dilation 1, 2, 4; the last step."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        widths = (s.streams[0], s.hidden, s.hidden)
        self.blocks = nn.Sequential(*(_TcnBlock(w, s.hidden, 2**i) for i, w in enumerate(widths)))
        self.out = nn.Linear(s.hidden, s.outputs)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.out(self.blocks(x.transpose(1, 2))[:, :, -1])
        return result


class Transformer(nn.Module):
    """A projection with learnt positions, two encoder layers, the mean over time."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.embed = nn.Linear(s.streams[0], s.hidden)
        self.positions = nn.Parameter(0.1 * torch.randn(1, s.window, s.hidden))
        layer = nn.TransformerEncoderLayer(
            s.hidden, 2, 2 * s.hidden, batch_first=True, activation="gelu", norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(s.hidden, s.outputs)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.out(self.encoder(self.embed(x) + self.positions).mean(dim=1))
        return result


class HerCrossLstm(nn.Module):
    """A Cross-LSTM that is not ours: four heads, an output projection, queries over all steps and a mean over them."""

    def __init__(self, s: Sizes, *, need_weights: bool = False) -> None:
        super().__init__()
        self.need_weights = need_weights
        self.motion = nn.LSTM(s.streams[0], s.hidden, batch_first=True)
        self.muscle = nn.LSTM(s.streams[1], s.hidden, batch_first=True)
        self.ask_muscle = nn.MultiheadAttention(s.hidden, 4, batch_first=True)
        self.ask_motion = nn.MultiheadAttention(s.hidden, 4, batch_first=True)
        self.norms = nn.ModuleList([nn.LayerNorm(s.hidden), nn.LayerNorm(s.hidden)])
        self.head = nn.Sequential(
            nn.Linear(2 * s.hidden, s.hidden), nn.ReLU(), nn.Linear(s.hidden, s.outputs)
        )
        for attention in (self.ask_muscle, self.ask_motion):
            nn.init.normal_(attention.in_proj_bias, std=0.2)
            nn.init.normal_(attention.out_proj.bias, std=0.2)

    def forward(self, imu: Tensor, emg: Tensor) -> Tensor:
        hi, he = self.motion(imu)[0], self.muscle(emg)[0]
        r = self.norms[0](hi + self.ask_muscle(hi, he, he, need_weights=self.need_weights)[0])
        s = self.norms[1](he + self.ask_motion(he, hi, hi, need_weights=self.need_weights)[0])
        result: Tensor = self.head(torch.cat([r, s], -1).mean(1))
        return result


def her_with_weights(s: Sizes) -> nn.Module:
    """The same with the attention weights asked for, which torch computes by other ops."""
    return HerCrossLstm(s, need_weights=True)


#: Name -> (what makes it, number of inputs).
NETWORKS: dict[str, tuple[Callable[[Sizes], nn.Module], int]] = {
    "lstm": (SingleLstm, 1),
    "gru": (Gru, 1),
    "bilstm": (BiLstm, 1),
    "cnn-lstm": (CnnLstm, 1),
    "tcn": (Tcn, 1),
    "transformer": (Transformer, 1),
    "her-cross-lstm": (HerCrossLstm, 2),
    "her-with-weights": (her_with_weights, 2),
}


def made(name: str, sizes: Sizes, seed: int = 0) -> nn.Module:
    """The network in eval mode with weights drawn from ``seed``."""
    torch.manual_seed(seed)
    return NETWORKS[name][0](sizes).eval()


@cache
def exported_by_name(name: str, sizes: Sizes) -> bytes:
    """The ``.pt2`` of :func:`made`, on one window a stream: exporting takes a second, and several tests read the same."""
    return exported(made(name, sizes), tuple(torch.zeros(1, sizes.window, c) for c in sizes.streams))


def exported(network: nn.Module, inputs: tuple[Tensor, ...]) -> bytes:
    """The ``.pt2`` of :func:`torch.export.save`, undecomposed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of flat weights that torch itself assigns
        program = torch.export.export(network, inputs)
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
    return buffer.getvalue()
