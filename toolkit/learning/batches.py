"""Windows by their index: what training draws its batches from, in memory or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from toolkit.model.config import STREAMS
from toolkit.records import Windows

Inputs = dict[str, NDArray[np.float32]]


def in_order(inputs: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """The streams in the order in which a network takes them: imu, emg, or the one that there is."""
    return [inputs[stream] for stream in STREAMS if stream in inputs]


class Batches(Protocol):
    """Model-ready windows of one part of the data, of which a few are asked for at a time.

    ``targets`` is float32 (n, outputs) in Nm/kg, of all windows.
    """

    @property
    def targets(self) -> NDArray[np.float32]:
        """Reference moments of every window."""

    def __len__(self) -> int: ...

    def batches(self, indices: NDArray[np.int64]) -> tuple[Inputs, NDArray[np.float32]]:
        """Inputs {stream: (rows, window, channels)}, normalised, and targets (rows, outputs) at ``indices``."""


class WindowBatches:
    """:class:`Windows` as :class:`Batches`: those at the indices are gathered, and no others."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self.targets = windows.targets

    def __len__(self) -> int:
        return len(self.targets)

    def batches(self, indices: NDArray[np.int64]) -> tuple[Inputs, NDArray[np.float32]]:
        """Copies of the rows at ``indices``."""
        return self._windows.gather(indices), self.targets[indices]
