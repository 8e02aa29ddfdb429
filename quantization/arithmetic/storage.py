"""Into and out of a graph's integers: one function each way, so that every engine gets the same numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TensorFormat:
    """How a graph's input or output is stored; ``scale`` 0 means that it is float32."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float = 0.0
    zero_point: int = 0


def encode(values: NDArray[np.float32], form: TensorFormat) -> NDArray[Any]:
    """``round(x / scale) + zero point``, saturated; ties away from zero and a float32 quotient, as TFLite's QUANTIZE.

    Float graphs take the values as they are.
    """
    if not form.scale:
        return np.ascontiguousarray(values, form.dtype)
    quotient = (values / np.float32(form.scale)).astype(np.float64)
    steps = np.trunc(quotient + np.copysign(0.5, quotient)) + form.zero_point
    limits = np.iinfo(form.dtype)
    return np.ascontiguousarray(np.clip(steps, limits.min, limits.max), form.dtype)


def decode(values: NDArray[Any], form: TensorFormat) -> NDArray[np.float32]:
    """``(q - zero point) * scale`` in float32; float outputs as they are."""
    if not form.scale:
        return np.asarray(values, np.float32)
    steps = values.astype(np.int32) - form.zero_point
    return np.asarray(steps.astype(np.float32) * np.float32(form.scale), np.float32)
