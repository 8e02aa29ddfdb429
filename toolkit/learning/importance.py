"""What a Cross-LSTM's estimates rest on: permuted sensors, Shapley values, integrated gradients, attention. Needs torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toolkit.contract import SensorContract
from toolkit.data.imus import imus
from toolkit.learning.batches import WindowBatches, in_order
from toolkit.learning.fit import predict
from toolkit.model.config import STREAMS
from toolkit.model.network import CrossAttention, CrossLSTM
from toolkit.records import Windows

Float = NDArray[np.float64]

#: Windows are permuted in blocks of this many seconds, so that what replaces a window is from elsewhere in the gait cycle.
BLOCK_S = 0.5
#: Permutations that are averaged, and orders of groups that Shapley values are averaged over.
REPEATS, ORDERS = 4, 8
#: Steps of the integral from nothing to the window.
INTEGRAL_STEPS = 16


@dataclass(frozen=True)
class Group:
    """Channels that come and go together: one IMU, one EMG electrode, or any others. ``places`` are those in the stream."""

    name: str
    stream: str
    places: tuple[int, ...]


def sensors(contract: SensorContract) -> list[Group]:
    """Each IMU by its segment, and every other channel by itself."""
    groups = []
    for item in contract.inputs:
        found = imus(item.stream)
        taken = {place for imu in found for place in imu.places}
        groups += [Group(imu.segment, item.stream.name, imu.places) for imu in found]
        groups += [
            Group(channel.name, item.stream.name, (place,))
            for place, channel in enumerate(item.stream.channels)
            if place not in taken
        ]
    return groups


def permuted_errors(network: CrossLSTM, windows: Windows, group: Group, seed: int) -> Float:
    """Squared errors (n, outputs) with the group's channels from other times of the same person; mean of the repeats.

    Whole windows are exchanged, in blocks of half a second: what is inside a window stays as it was (Breiman 2001, Machine
    Learning 45:5, with blocks because neighbours are alike).
    """
    total: Float = np.zeros(windows.targets.shape)
    people = np.array([recording.person for recording in windows.recordings])[windows.recording]
    for repeat in range(REPEATS):
        order = np.arange(len(windows))
        for place, person in enumerate(dict.fromkeys(people)):
            rows = np.flatnonzero(people == person)
            order[rows] = rows[_blocks(windows, rows, np.random.default_rng([seed, repeat, place]))]
        values = {name: array.copy() for name, array in windows.inputs.items()}
        columns = list(group.places)
        values[group.stream][:, :, columns] = windows.inputs[group.stream][order][:, :, columns]
        changed = Windows(values, windows.targets, windows.recording, windows.time_s, windows.recordings)
        total += _squares(network, changed)
    return total / REPEATS


def _blocks(windows: Windows, rows: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """An order of ``rows`` in which blocks of consecutive windows have changed places and begin elsewhere."""
    time = windows.time_s[rows]
    step = float(np.median(np.abs(np.diff(time)))) if len(rows) > 1 else 1.0
    size = max(1, round(BLOCK_S / max(step, 1e-3)))
    shifted = np.roll(np.arange(len(rows)), int(generator.integers(size)))
    pieces = np.array_split(shifted, max(1, len(rows) // size))
    return np.concatenate([pieces[i] for i in generator.permutation(len(pieces))])


def _squares(network: CrossLSTM, windows: Windows) -> Float:
    estimate = predict(network, WindowBatches(windows)).astype(np.float64)
    squares: Float = (estimate - windows.targets) ** 2
    return squares


def permutation_gains(
    network: CrossLSTM, windows: Windows, groups: Sequence[Group], seed: int = 0
) -> tuple[Float, Float]:
    """By how much each window's squared error rises without each group, (groups, n, outputs), and the errors as they are."""
    base = _squares(network, windows)
    return np.stack([permuted_errors(network, windows, group, seed) - base for group in groups]), base


def shapley(network: CrossLSTM, windows: Windows, groups: Sequence[Group], seed: int = 0) -> Float:
    """Shapley values of the estimates over groups by sampling (captum; Castro et al. 2009), (groups, n, outputs), Nm/kg.

    A group that is absent reads its mean over training, which is 0 after normalising.
    """
    from captum.attr import ShapleyValueSampling

    inputs, mask = _tensors(windows), _mask(windows, groups)
    parts = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for output in range(windows.targets.shape[1]):
            method = ShapleyValueSampling(_One(network, output))
            with torch.no_grad():
                found = method.attribute(inputs, feature_mask=mask, n_samples=ORDERS)
            parts.append([_of_group(found, group, network.config.streams)[:, -1] for group in groups])
    return np.stack([np.stack(part) for part in parts], axis=-1).astype(np.float64)


def _of_group(found: Sequence[Tensor], group: Group, streams: Sequence[str]) -> NDArray[np.float32]:
    """A group's value, which captum writes at each of its inputs, (n, steps)."""
    values: NDArray[np.float32] = found[streams.index(group.stream)][:, :, group.places[0]].detach().numpy()
    return values


def _mask(windows: Windows, groups: Sequence[Group]) -> tuple[Tensor, ...]:
    masks = []
    for stream in (name for name in STREAMS if name in windows.inputs):
        channels = windows.inputs[stream].shape[2]
        row = torch.full((1, 1, channels), len(groups), dtype=torch.long)
        for number, group in enumerate(groups):
            if group.stream == stream:
                row[0, 0, list(group.places)] = number
        masks.append(row.expand(1, windows.inputs[stream].shape[1], channels).contiguous())
    return tuple(masks)


def integrated_gradients(network: CrossLSTM, windows: Windows) -> dict[str, Float]:
    """Mean absolute integrated gradient (Sundararajan et al. 2017) by stream, (steps, channels), over windows and outputs."""
    from captum.attr import IntegratedGradients

    inputs = _tensors(windows)
    total: dict[str, Float] = {}
    for output in range(windows.targets.shape[1]):
        method = IntegratedGradients(_One(network, output))
        found = method.attribute(inputs, n_steps=INTEGRAL_STEPS, internal_batch_size=1024)
        for stream, values in zip(network.config.streams, found):
            mean = values.detach().abs().mean(dim=0).numpy().astype(np.float64)
            total[stream] = total.get(stream, np.zeros_like(mean)) + mean / windows.targets.shape[1]
    return total


def first_step_share(gradients: Mapping[str, Float]) -> float:
    """Share of the first time step in all integrated gradients, times the number of steps: 1 is an even spread.

    Recurrent networks that start from a zero state can pile attributions up there, where the window is cut and not where the
    body moved; far above 1, shares over time are not to be trusted.
    """
    steps = sum(values.sum(axis=1) for values in gradients.values())
    whole = np.asarray(steps, np.float64)
    return float(whole[0] / whole.sum() * len(whole)) if whole.sum() > 0 else 1.0


def attention_weights(network: CrossLSTM, windows: Windows) -> dict[str, Float]:
    """Attention weights of each query, mean over heads, (n, steps): ``imu`` asks the EMG's states, ``emg`` the IMU's,
    one alone its own."""
    result: dict[str, Float] = {}
    with torch.inference_mode():
        states = {s: network.lstm[s](t)[0] for s, t in zip(network.config.streams, _tensors(windows))}
        for stream in network.config.streams:
            layer = network.attention[stream]
            assert isinstance(layer, CrossAttention)
            query, memory = states[stream][:, -1], states[network.config.asked_by(stream)]
            rows, steps, hidden = memory.shape
            size = hidden // network.config.heads
            q = layer.query(query).view(rows, -1, 1, size)
            k = layer.key(memory).view(rows, steps, -1, size).transpose(1, 2)
            weights = torch.softmax(q @ k.transpose(2, 3) * size**-0.5, dim=-1)
            result[stream] = weights.mean(dim=1)[:, 0].numpy().astype(np.float64)
    return result


class _One(nn.Module):
    """One output of a network."""

    def __init__(self, network: CrossLSTM, output: int) -> None:
        super().__init__()
        self.network, self.output = network, output

    def forward(self, *inputs: Tensor) -> Tensor:
        moments: Tensor = self.network(*inputs)[:, self.output]
        return moments


def _tensors(windows: Windows) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(np.ascontiguousarray(rows)) for rows in in_order(windows.inputs))
