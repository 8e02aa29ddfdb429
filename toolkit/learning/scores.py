"""How good a float model is on windows: RMSE and R2 of each moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.records import Windows


def score(
    names: Sequence[str], reference: NDArray[np.floating[Any]], estimate: NDArray[np.floating[Any]]
) -> dict[str, Any]:
    """Scores of estimates (n, outputs) against reference moments (n, outputs), both Nm/kg.

    ``rmse`` is over all moments together; ``per_joint`` holds ``rmse`` and ``r2`` = 1 - SS_residual / SS_total
    of each, R2 None where the reference does not vary. Values are rounded to six decimals.
    """
    error = estimate.astype(np.float64) - reference.astype(np.float64)
    squares = (error**2).mean(axis=0)
    variance = reference.astype(np.float64).var(axis=0)
    return {
        "windows": len(reference),
        "rmse": round(float(np.sqrt(squares.mean())), 6),
        "per_joint": {
            name: {
                "rmse": round(float(np.sqrt(square)), 6),
                "r2": round(float(1 - square / spread), 6) if spread > 0 else None,
            }
            for name, square, spread in zip(names, squares, variance)
        },
    }


def score_people(
    names: Sequence[str], windows: Windows, estimate: NDArray[np.floating[Any]]
) -> dict[str, dict[str, Any]]:
    """:func:`score` of each person of ``windows``, in the order of the recordings."""
    people = np.array([recording.person for recording in windows.recordings])[windows.recording]
    return {
        person: score(names, windows.targets[people == person], estimate[people == person])
        for person in dict.fromkeys(recording.person for recording in windows.recordings)
        if (people == person).any()
    }
