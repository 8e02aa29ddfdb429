"""Networks of the family, drawn: one to three inputs, recurrent, convolutional or attention branches, norms, heads and layers.

A seed gives the same network everywhere. Each input runs through a branch to steps (1, T, H); the branches are then fused,
perhaps each asking the next one (cross-attention), and reduced over time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

#: What is drawn: kinds of branches, of norms within them, and of ways over time.
BRANCHES = ("lstm", "gru", "bilstm", "tcn", "cnn-lstm", "transformer")
NORMS = ("none", "layer", "batch")
REDUCTIONS = ("last", "mean", "attention", "flatten")


@dataclass(frozen=True)
class Drawn:
    """One drawn network: ``widths`` of its inputs, ``branches`` and all else that was drawn."""

    seed: int
    widths: tuple[int, ...]
    window: int
    hidden: int
    layers: int
    heads: int
    norm: str
    branches: tuple[str, ...]
    reduction: str
    cross: bool
    outputs: int

    @property
    def words(self) -> str:
        """What was drawn, in a few words."""
        parts = [f"{'+'.join(self.branches)} {self.layers}x{self.hidden}", f"T {self.window}", self.reduction]
        parts += [f"{self.norm} norm"] if self.norm != "none" else []
        return ", ".join([*parts, *([f"cross {self.heads}"] if self.cross else [])])

    @property
    def is_recurrent(self) -> bool:
        """True if nothing of it is a convolution or self-attention."""
        return set(self.branches) <= {"lstm", "gru", "bilstm"}


def draw(seed: int, branches: tuple[str, ...] = BRANCHES, reductions: tuple[str, ...] = REDUCTIONS) -> Drawn:
    """What the seed draws."""
    generator = torch.Generator().manual_seed(seed)

    def one(*choices: object) -> object:
        return choices[int(torch.randint(len(choices), (), generator=generator))]

    inputs = int(str(one(1, 1, 2, 2, 3)))
    kind = str(one(*branches))
    kinds = tuple(str(one(kind, kind, *branches)) for _ in range(inputs))
    return Drawn(
        seed,
        tuple(int(str(one(3, 5, 8, 9))) for _ in range(inputs)),
        int(str(one(8, 12, 16))),
        int(str(one(8, 12, 16))),
        int(str(one(1, 1, 2))),
        int(str(one(1, 2, 4))),
        str(one(*NORMS)),
        kinds,
        str(one(*reductions)),
        inputs > 1 and bool(one(True, False)),
        int(str(one(1, 3))),
    )


class _Causal(nn.Module):
    """A causal convolution with a residual; zeros before the first step, or with ``valid`` a shorter result."""

    def __init__(self, inputs: int, outputs: int, dilation: int, norm: str, *, valid: bool) -> None:
        super().__init__()
        self.cut, self.valid = 2 * dilation, valid
        conv = nn.Conv1d(inputs, outputs, 3, padding=0 if valid else self.cut, dilation=dilation)
        self.conv = weight_norm(conv) if norm == "none" else conv
        self.norm: nn.Module = nn.BatchNorm1d(outputs) if norm == "batch" else nn.Identity()
        self.skip = nn.Conv1d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        y = torch.relu(self.norm(y if self.valid else y[:, :, : -self.cut]))
        return torch.relu(y + self.skip(x[:, :, self.cut :] if self.valid else x))


class _Branch(nn.Module):
    """Steps (1, T, H) of one input."""

    def __init__(self, kind: str, width: int, d: Drawn) -> None:
        super().__init__()
        self.kind = kind
        hidden = d.hidden // 2 if kind == "bilstm" else d.hidden
        if kind in ("tcn", "cnn-lstm"):
            widths = [width, *[d.hidden] * (d.layers - 1)]
            self.blocks = nn.Sequential(
                *(_Causal(w, d.hidden, 2**i, d.norm, valid=False) for i, w in enumerate(widths))
            )
        if kind == "transformer":
            layer = nn.TransformerEncoderLayer(
                d.hidden,
                d.heads,
                2 * d.hidden,
                batch_first=True,
                activation="gelu",
                norm_first=d.norm == "layer",
            )
            self.embed = nn.Linear(width, d.hidden)
            self.encoder = nn.TransformerEncoder(layer, d.layers, enable_nested_tensor=False)
        elif kind != "tcn":
            cell = nn.GRU if kind == "gru" else nn.LSTM
            inputs = d.hidden if kind == "cnn-lstm" else width
            self.rnn = cell(inputs, hidden, d.layers, batch_first=True, bidirectional=kind == "bilstm")
        self.norm: nn.Module = nn.LayerNorm(d.hidden) if d.norm == "layer" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if self.kind in ("tcn", "cnn-lstm"):
            x = self.blocks(x.transpose(1, 2)).transpose(1, 2)
        if self.kind == "transformer":
            x = self.encoder(self.embed(x))
        elif self.kind != "tcn":
            x = self.rnn(x)[0]
        result: Tensor = self.norm(x)
        return result


class DrawnNetwork(nn.Module):
    """The network; its inputs are called a, b, c."""

    def __init__(self, d: Drawn) -> None:
        super().__init__()
        self.drawn = d
        self.branches = nn.ModuleList(_Branch(kind, w, d) for kind, w in zip(d.branches, d.widths))
        count = len(d.widths)
        asking = d.reduction == "attention" or d.cross
        self.attention = nn.ModuleList(
            nn.MultiheadAttention(d.hidden, d.heads, batch_first=True) for _ in range(count if asking else 0)
        )
        features = d.hidden * count * (d.window if d.reduction == "flatten" else 1)
        self.head = nn.Sequential(nn.Linear(features, d.hidden), nn.ReLU(), nn.Linear(d.hidden, d.outputs))

    def _reduced(self, number: int, steps: list[Tensor]) -> Tensor:
        d, own = self.drawn, steps[number]
        if d.reduction == "attention" or d.cross:
            other = steps[(number + 1) % len(steps)]
            asking = own if d.reduction in ("mean", "flatten") else own[:, -1:]
            own = asking + self.attention[number](asking, other, other, need_weights=False)[0]
        if d.reduction == "mean":
            return own.mean(1)
        return own.flatten(1) if d.reduction == "flatten" else own[:, -1]

    def forward(self, a: Tensor, b: Tensor | None = None, c: Tensor | None = None) -> Tensor:
        steps = [branch(x) for branch, x in zip(self.branches, (a, b, c)) if x is not None]
        result: Tensor = self.head(torch.cat([self._reduced(n, steps) for n in range(len(steps))], -1))
        return result


def made(d: Drawn) -> DrawnNetwork:
    """The network in eval mode, weights and statistics of its batch norms drawn from the seed."""
    torch.manual_seed(d.seed)
    network = DrawnNetwork(d)
    for module in network.modules():
        if (
            isinstance(module, nn.BatchNorm1d)
            and module.running_mean is not None
            and module.running_var is not None
        ):
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()
