"""The Cross-LSTM in PyTorch, for training and as the float baseline.

It computes what ``toolkit.model.float_reference`` specifies. In this package only this module needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toolkit.model.checkpoint import Checkpoint, Weights
from toolkit.model.config import NORM_EPSILON, ModelConfig


class CrossAttention(nn.Module):
    """One stream's newest state asks the other stream's states; no output projection."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        """Context (n, H) of query (n, H) over memory (n, steps, H)."""
        rows, steps, hidden = memory.shape
        size = hidden // self.heads
        q = self.query(query).view(rows, self.heads, 1, size)
        k = self.key(memory).view(rows, steps, self.heads, size).transpose(1, 2)
        v = self.value(memory).view(rows, steps, self.heads, size).transpose(1, 2)
        weights = torch.softmax(q @ k.transpose(2, 3) * size**-0.5, dim=-1)
        context: Tensor = (weights @ v).reshape(rows, hidden)
        return context

    def stream(self, queries: Tensor, memory: Tensor, window: int) -> Tensor:
        """Context (n, steps, H) of the newest ``steps`` states of a stream over ``memory`` (n, earlier + steps, H) of the
        other: each asks the last ``window`` of those that were there at its time."""
        rows, steps, hidden = queries.shape
        size, earlier = hidden // self.heads, memory.shape[1] - steps
        q = self.query(queries).view(rows, steps, self.heads, size).transpose(1, 2)
        k = self.key(memory).view(rows, -1, self.heads, size).transpose(1, 2)
        v = self.value(memory).view(rows, -1, self.heads, size).transpose(1, 2)
        age = torch.arange(steps, device=q.device)[:, None] + earlier
        age = age - torch.arange(earlier + steps, device=q.device)
        absent = (age < 0) | (age >= window)
        scores = (q @ k.transpose(2, 3) * size**-0.5).masked_fill(absent, -torch.inf)
        context: Tensor = (torch.softmax(scores, dim=-1) @ v).transpose(1, 2).reshape(rows, steps, hidden)
        return context


@dataclass(frozen=True, eq=False)
class Carried:
    """What one stream carries on: LSTM states (layers, n, H), and the hidden states (n, rows, H) that attention may
    still ask."""

    hidden: Tensor
    cell: Tensor
    memory: Tensor


class CrossLSTM(nn.Module):
    """Two LSTM streams fused by residual cross-attention, or one whose attention asks itself; equations in docs/MODEL.md.

    Every method takes the streams that the config has, in its order.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden
        self.lstm = nn.ModuleDict(
            {s: nn.LSTM(config.channels(s), hidden, config.layers, batch_first=True) for s in config.streams}
        )
        self.attention = nn.ModuleDict({s: CrossAttention(hidden, config.heads) for s in config.streams})
        self.norm = nn.ModuleDict(
            {
                s: nn.LayerNorm(hidden, eps=NORM_EPSILON) if config.norm == "layer" else nn.Identity()
                for s in config.streams
            }
        )
        self.head_hidden = nn.Linear(len(config.streams) * hidden, config.head_hidden)
        self.head_output = nn.Linear(config.head_hidden, len(config.outputs))

    def forward(self, imu: Tensor, emg: Tensor | None = None) -> Tensor:
        """Moments (n, outputs) of windows imu (n, T, Ci) and emg (n, T, Ce), normalised; one of them alone is the first.

        The names are those of the inputs where the network is exported.
        """
        return self.with_cells(*((imu,) if emg is None else (imu, emg)))[0]

    def with_cells(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Moments (n, outputs), and the last cell states of all streams and layers (streams x layers, n, H)."""
        states, cells = [], []
        for name, rows in zip(self.config.streams, inputs, strict=True):
            hidden, (_, cell) = self.lstm[name](rows)
            states.append(hidden)
            cells.append(cell)
        return self.fused(*states), torch.cat(cells)

    def fused(self, *hidden: Tensor) -> Tensor:
        """Moments (n, outputs) of the hidden states (n, T, H) of each stream."""
        states = dict(zip(self.config.streams, hidden, strict=True))
        fused = []
        for name in self.config.streams:
            newest = states[name][:, -1]
            context = self.attention[name](newest, states[self.config.asked_by(name)])
            fused.append(self.norm[name](newest + context))
        moments: Tensor = self.head_output(torch.relu(self.head_hidden(torch.cat(fused, dim=-1))))
        return moments

    def stream(
        self, *inputs: Tensor, state: Mapping[str, Carried] | None = None
    ) -> tuple[Tensor, dict[str, Carried]]:
        """Moments (n, steps, outputs) after every row of imu (n, steps, Ci) and emg (n, steps, Ce), and what is carried on.

        ``state`` is what the rows before left; without it the rows begin from nothing. The moment of row t equals that of
        ``float_reference.stream``.
        """
        states: dict[str, Tensor] = {}
        carried: dict[str, Carried] = {}
        memory: dict[str, Tensor] = {}
        for name, rows in zip(self.config.streams, inputs, strict=True):
            before = None if state is None else state[name]
            given = None if before is None else (before.hidden, before.cell)
            states[name], (hidden, cell) = self.lstm[name](rows, given)
            known = states[name] if before is None else torch.cat([before.memory, states[name]], dim=1)
            memory[name] = known
            carried[name] = Carried(hidden, cell, known[:, max(known.shape[1] - self.config.window + 1, 0) :])
        fused = []
        for name in self.config.streams:
            attention, other = self.attention[name], self.config.asked_by(name)
            assert isinstance(attention, CrossAttention)
            context = attention.stream(states[name], memory[other], self.config.window)
            fused.append(self.norm[name](states[name] + context))
        moments: Tensor = self.head_output(torch.relu(self.head_hidden(torch.cat(fused, dim=-1))))
        return moments, carried

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> CrossLSTM:
        """The network with a checkpoint's weights, in evaluation mode, float32."""
        network = cls(checkpoint.config)
        network.load_weights(checkpoint.weights)
        return network.eval()

    def load_weights(self, weights: Weights) -> None:
        """Copy checkpoint weights in; torch's second LSTM bias becomes zero."""
        state: dict[str, Tensor] = {}
        for name, value in weights.items():
            tensor = torch.from_numpy(np.array(value))
            target = torch_name(name)
            state[target] = tensor
            if name.endswith("bias") and ".lstm." in name:
                state[target.replace("bias_ih", "bias_hh")] = torch.zeros_like(tensor)
        self.load_state_dict(state)

    def to_weights(self) -> dict[str, NDArray[np.float32]]:
        """The weights under their checkpoint names, torch's two LSTM biases summed."""
        from toolkit.model.config import weight_shapes

        state = {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}
        weights = {}
        for name in weight_shapes(self.config):
            source = torch_name(name)
            value = state[source]
            if "bias_ih" in source:
                value = value + state[source.replace("bias_ih", "bias_hh")]
            weights[name] = np.array(value, dtype=np.float32)
        return weights


def torch_name(name: str) -> str:
    """The name in this network's state_dict of a checkpoint weight (the first of two LSTM biases)."""
    parts = name.split(".")
    if parts[0] == "head":
        return f"head_{parts[1]}.{parts[2]}"
    if parts[1] == "lstm":
        stream, _, layer, kind = parts
        return f"lstm.{stream}.{'bias_ih' if kind == 'bias' else kind}_l{layer}"
    return ".".join([parts[1], parts[0], *parts[2:]])
