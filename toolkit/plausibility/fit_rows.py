"""What single rows are held against: the second moments of training people's, and how far a person left out is from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.plausibility.novelty import RATE

Float = NDArray[np.float64]
Values = NDArray[np.float32]

#: Added to the variance of every column of a row, which is about 1.
_RIDGE = 1e-3


def fit_rows(people: Mapping[str, Sequence[Values]]) -> tuple[Values, float]:
    """The packed triangle that whitens a row of the model's inputs, and the largest smoothed distance of anybody whom it does
    not know. ``people``: each one's recordings, (rows, columns) normalised."""
    squares = {person: _squares(theirs) for person, theirs in people.items()}
    most = 0.0
    for person, theirs in people.items():
        others = _whitening([squares[one] for one in people if one != person])
        most = max(most, *(_most_novel(rows, others) for rows in theirs))
    triangle = _whitening(list(squares.values()))
    return np.asarray(triangle[np.tril_indices(len(triangle))], np.float32), most


def _squares(recordings: Sequence[Values]) -> tuple[Float, int]:
    """Sum of the products of columns over all rows, and how many rows."""
    rows = np.concatenate(recordings).astype(np.float64)
    return rows.T @ rows, len(rows)


def _whitening(squares: Sequence[tuple[Float, int]]) -> Float:
    """Lower triangle over the root of its columns: a mean row has the length 1."""
    covariance = np.sum([one for one, _ in squares], axis=0) / sum(count for _, count in squares)
    columns = len(covariance)
    factor = np.linalg.cholesky(covariance + np.eye(columns) * _RIDGE)
    result: Float = np.linalg.inv(factor) / np.sqrt(columns)
    return result


def _most_novel(rows: Values, triangle: Float) -> float:
    """The largest smoothed distance of ``rows`` that follow each other."""
    value = largest = 0.0
    for distance in np.square(rows.astype(np.float64) @ triangle.T).sum(axis=1).tolist():
        value += (distance - value) * float(RATE)
        largest = max(largest, value)
    return largest
