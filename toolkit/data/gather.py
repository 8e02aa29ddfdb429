"""Windows that are gathered when asked for: row numbers into features, of which a window takes 200 times the memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class FeatureTable(Protocol):
    """Features (rows, channels) of one recording's stream, float32, in memory or in a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and channels."""

    def __getitem__(self, rows: Rows | slice) -> NDArray[np.float32]: ...


class _Part:
    """Consecutive rows of a table, read when asked for."""

    def __init__(self, table: FeatureTable, first: int, stop: int) -> None:
        self._table, self._first = table, first
        self.shape = (stop - first, *table.shape[1:])

    def __getitem__(self, rows: Rows | slice) -> NDArray[np.float32]:
        if isinstance(rows, slice):
            start, stop, step = rows.indices(self.shape[0])
            return self._table[slice(self._first + start, self._first + max(start, stop), step)]
        return self._table[np.asarray(rows) + self._first]


def part_of(table: FeatureTable, first: int, stop: int) -> FeatureTable:
    """Rows ``first`` to ``stop`` of a table; of one in a file nothing is read yet, of one in memory nothing is copied."""
    return table[first:stop] if isinstance(table, np.ndarray) else _Part(table, first, stop)


class GatheredInputs(Mapping[str, NDArray[np.float32]]):
    """{stream: (n, window, channels)} of windows that end at row ``last`` of the features of recording ``owner``.

    ``inputs[name]`` gathers all windows of a stream at once and keeps them; :meth:`gather` makes a few and keeps none.
    """

    def __init__(
        self,
        features: Sequence[Mapping[str, FeatureTable]],
        owner: NDArray[np.int32],
        last: Rows,
        window: int,
    ) -> None:
        self._features, self._owner, self._last, self._window = features, owner, last, window
        self._names = tuple(features[0]) if features else ()
        self._whole: dict[str, NDArray[np.float32]] = {}

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._whole:
            self._whole[name] = self._gathered(name, np.arange(len(self._last)))
        return self._whole[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def gather(self, index: Rows | slice) -> dict[str, NDArray[np.float32]]:
        """The windows at ``index`` of every stream, in that order."""
        rows = np.arange(len(self._last))[index]
        return {
            name: self._whole[name][rows] if name in self._whole else self._gathered(name, rows)
            for name in self._names
        }

    def take(self, index: Rows | slice) -> GatheredInputs:
        """The same of the windows at ``index`` only; nothing is gathered."""
        return GatheredInputs(self._features, self._owner[index], self._last[index], self._window)

    def _gathered(self, name: str, rows: Rows) -> NDArray[np.float32]:
        channels = self._features[0][name].shape[1]
        result = np.empty((len(rows), self._window, channels), np.float32)
        owner, last = self._owner[rows], self._last[rows]
        span = np.arange(1 - self._window, 1)
        order = np.argsort(owner, kind="stable")
        edges = np.flatnonzero(np.diff(owner[order], prepend=-1, append=-1))
        for first, stop in pairwise(edges):
            own = order[first:stop]
            result[own] = self._features[owner[own[0]]][name][last[own][:, None] + span]
        return result
