"""Rounding of weights to int8: to the nearest, or with each error fed forward to weights that are not yet rounded.

The second is Optimal Brain Quantization in the form of GPTQ (Frantar et al. 2023, arXiv:2210.17323): columns are rounded
in order, and the error of a column, weighted by the inverse of the inputs' second moments, is taken off the columns
still to come, so that the product with typical inputs changes least. The bias is the last column and is
never rounded to int8: what is left over ends there.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]
Rounding = Literal["nearest", "compensated"]

#: Share of the mean second moment added to each, so that dead inputs and few windows leave the inverse sound.
_DAMPING = 0.01


def symmetric_scale(weight: NDArray[np.floating]) -> float:
    """Largest magnitude over 127, a float32 value; 1/127 for an all-zero matrix. -128 is never used."""
    largest = float(np.abs(weight).max(initial=0.0))
    return float(np.float32(largest / 127)) if largest > 0 else float(np.float32(1 / 127))


def round_weights(
    weight: Values, bias: Values, column_scales: Values, moments: Values | None, rounding: Rounding
) -> tuple[NDArray[np.int8], Values]:
    """int8 weights (rows, columns) and the corrected bias (rows,).

    ``column_scales`` (columns,) or (rows, columns) is the scale of each weight; ``moments`` (columns + 1, columns + 1) the
    second moments of the inputs with a 1 appended, for ``compensated``.
    """
    scales = np.broadcast_to(column_scales, weight.shape)
    if rounding == "nearest" or moments is None:
        return _nearest(weight, scales).astype(np.int8), bias
    work = np.concatenate([weight, bias[:, None]], axis=1).astype(np.float64)
    factor = _upper_factor(moments)
    stored = np.zeros(weight.shape)
    for column in range(weight.shape[1]):
        scale = scales[:, column]
        stored[:, column] = _nearest(work[:, column], scale)
        error = (work[:, column] - stored[:, column] * scale) / factor[column, column]
        work[:, column + 1 :] -= error[:, None] * factor[column, column + 1 :]
    return stored.astype(np.int8), work[:, -1]


def _nearest(values: Values, scale: Values) -> Values:
    result: Values = np.clip(np.rint(values / scale), -127, 127)
    return result


def _upper_factor(moments: Values) -> Values:
    """Upper Cholesky factor of the inverse of the damped second moments."""
    damped = moments.copy()
    places = np.arange(len(damped))
    damped[places, places] += _DAMPING * max(float(np.mean(np.diag(moments)[:-1])), 1e-12)
    inverse = np.linalg.inv(damped)
    result: Values = np.linalg.cholesky((inverse + inverse.T) / 2).T
    return result
