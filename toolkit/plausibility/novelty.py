"""Whether the rows of the last half second are like any that training people gave: known at once, and not of which sensor.

A row of the model's inputs is held against the second moments of all rows of training people. What one sensor reads goes with
what the others read: an IMU that turned by 20 degrees breaks that within a few rows, long before four seconds of walking can be
judged. The distance (Mahalanobis 1936; 1 for the mean of training rows) is smoothed exponentially. float32, one operation at a
time, as in generated C.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]

#: Of what is new, this part a row: about a third of a second.
RATE = np.float32(1.0 / 32.0)
#: What was novel is familiar again below this part of the limit.
RELEASE = np.float32(0.75)


class Novelty:
    """``factors``: the packed lower triangle that whitens a row; ``limit``: of the smoothed distance."""

    def __init__(self, factors: Values, limit: float, columns: int) -> None:
        self._triangle = np.zeros((columns, columns), np.float32)
        self._triangle[np.tril_indices(columns)] = factors
        self._limit = np.float32(limit)
        self.reset()

    def reset(self) -> None:
        """The next row is the first."""
        self.value, self.novel = np.float32(0.0), False

    def append(self, rows: Values) -> list[bool]:
        """Take normalised ``rows`` (rows, columns); after each, whether it is novel."""
        result = []
        for distance in distances(self._triangle, np.asarray(rows, np.float32)):
            self.value = np.float32(self.value + (distance - self.value) * RATE)
            self.novel = bool(self.value > (self._limit * RELEASE if self.novel else self._limit))
            result.append(self.novel)
        return result


def distances(triangle: Values, rows: Values) -> Values:
    """The squared length of L x for each row x: (rows,). Sums run over columns in order."""
    terms = triangle[None] * rows[:, None, :]
    lengths = np.add.accumulate(terms, axis=2, dtype=np.float32)[:, :, -1]
    result: Values = np.add.accumulate(lengths * lengths, axis=1, dtype=np.float32)[:, -1]
    return result
