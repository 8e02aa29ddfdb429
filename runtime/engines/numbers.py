"""Into and out of a graph's integers, as TFLite's QUANTIZE and DEQUANTIZE do it and the generated C does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.storage import TensorFormat, decode, encode


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
        """``values`` in this shape as the graph stores them; see :func:`quantization.arithmetic.storage.encode`."""
        return encode(values.reshape(self.shape), self._format)

    def decode(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """``(q - zero point) * scale`` in float32, flat."""
        return decode(values.reshape(-1), self._format)

    @property
    def _format(self) -> TensorFormat:
        return TensorFormat("", self.shape, self.dtype, self.scale, self.zero_point)
