"""Into and out of a graph's integers, as TFLite's QUANTIZE and DEQUANTIZE do it and the generated C does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Form:
    """How a graph's input or output is stored; ``scale`` 0 means float32."""

    place: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    @classmethod
    def of(cls, detail: dict[str, Any]) -> Form:
        """From the description that a TFLite interpreter gives of a tensor."""
        scale, zero_point = detail["quantization"]
        shape = tuple(int(v) for v in detail["shape"])
        return cls(int(detail["index"]), shape, np.dtype(detail["dtype"]), float(scale), int(zero_point))

    def encode(self, values: NDArray[np.float32]) -> NDArray[Any]:
        """``round(x / scale) + zero point`` in this shape, saturated; float32 quotient, halves away from zero."""
        if not self.scale:
            return values.reshape(self.shape)
        quotient = (values / np.float32(self.scale)).astype(np.float64)
        steps = np.trunc(quotient + np.copysign(0.5, quotient)) + self.zero_point
        limits = np.iinfo(self.dtype)
        whole: NDArray[Any] = np.clip(steps, limits.min, limits.max).astype(self.dtype)
        return whole.reshape(self.shape)

    def decode(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """``(q - zero point) * scale`` in float32, flat."""
        if not self.scale:
            return np.array(values, np.float32).reshape(-1)
        steps = values.astype(np.int32).reshape(-1) - self.zero_point
        return np.asarray(steps.astype(np.float32) * np.float32(self.scale), np.float32)
