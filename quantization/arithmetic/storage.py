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


def quantized(
    values: NDArray[np.floating[Any]], scale: float | np.float32, zero_point: int, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """``clamp(round(x / scale) + zero point)`` as ``dtype``: a quotient in single precision, halves away from zero.

    It is QUANTIZE of float32 wherever edgetool does it. Source: TensorFlow, ``AffineQuantize`` of
    ``tensorflow/lite/kernels/internal/reference/quantize.h``, the same in tflite-micro.
    """
    quotient = (np.asarray(values, np.float32) / np.float32(scale)).astype(np.float64)
    steps = np.trunc(quotient + np.copysign(0.5, quotient)) + zero_point
    limits = np.iinfo(dtype)
    return np.ascontiguousarray(np.clip(steps, limits.min, limits.max), dtype)


def encode(values: NDArray[np.float32], form: TensorFormat) -> NDArray[Any]:
    """:func:`quantized` as the graph stores it; float graphs take the values as they are."""
    if not form.scale:
        return np.ascontiguousarray(values, form.dtype)
    return quantized(values, form.scale, form.zero_point, form.dtype)


def decode(values: NDArray[Any], form: TensorFormat) -> NDArray[np.float32]:
    """``(q - zero point) * scale`` in float32; float outputs as they are."""
    if not form.scale:
        return np.asarray(values, np.float32)
    steps = values.astype(np.int32) - form.zero_point
    return np.asarray(steps.astype(np.float32) * np.float32(form.scale), np.float32)
