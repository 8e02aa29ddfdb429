"""From scales and zero points to the integers a kernel works with: products of scales, activation ranges.

Scales are float32 in a .tflite. Whether a kernel multiplies them in single or double precision changes the last
bit of a multiplier, so each function here says which.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.fixed_point import (
    MOST_SHIFT,
    Integers,
    quantize_multiplier,
    quantize_multipliers,
    round_half_away,
)
from toolkit.errors import ModelFileError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Affine:
    """Quantization of a tensor: real = scale * (q - zero_point), q signed with ``bits`` bits.

    ``scale`` is float32 (1,), or (channels,) for a per-channel tensor, whose zero point is 0.
    """

    scale: Floats
    zero_point: int
    bits: int

    @property
    def single(self) -> np.float32:
        """The one scale of a per-tensor quantization."""
        return np.float32(self.scale.reshape(-1)[0])

    @property
    def range(self) -> tuple[int, int]:
        """Least and largest integer of the type."""
        return -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1


def activation_range(activation: str, output: Affine) -> tuple[int, int]:
    """Clamping range of a fused activation: NONE, RELU, RELU6 or RELU_N1_TO_1.

    Source: ``CalculateActivationRangeQuantized`` of tflite-micro ``tensorflow/lite/kernels/kernel_util.cc``; the
    bound is zero_point + round(bound / scale) in single precision.
    """
    low, high = output.range

    def quantized(bound: float) -> int:
        return output.zero_point + round_half_away(float(np.float32(bound) / output.single))

    if activation == "RELU":
        low = max(low, quantized(0.0))
    elif activation == "RELU6":
        low, high = max(low, quantized(0.0)), min(high, quantized(6.0))
    elif activation == "RELU_N1_TO_1":
        low, high = max(low, quantized(-1.0)), min(high, quantized(1.0))
    elif activation != "NONE":
        raise ModelFileError(f"fused activation {activation} is not in the integer reference")
    return low, high


def matmul_multiplier(left: Affine, right: Affine, output_scale: float) -> tuple[Integers, Integers]:
    """Multiplier and shift of left * right / output, all in double; arrays on the channel axis if ``right`` is per channel.

    Source: ``GetQuantizedConvolutionMultipler`` and ``PopulateConvolutionQuantizationParams`` of kernel_util.cc. TFLM
    multiplies the scales in double; published copies of the function that do so in single precision are older.
    """
    reals = float(left.single) * right.scale.astype(np.float64) / float(output_scale)
    # Sums of 16-bit activations have 64 bits, and their multiplier 16.
    multiplier, shift = quantize_multipliers(reals, 14 if left.bits == 16 else MOST_SHIFT)
    return (multiplier, shift) if reals.size > 1 else (multiplier[0], shift[0])


def matmul_multiplier_from_single(left: Affine, right: Affine, output_scale: float) -> tuple[int, int]:
    """The same with left * right in single precision, as desktop LiteRT does for BATCH_MATMUL."""
    real = float(np.float32(left.single * right.single)) / float(output_scale)
    return quantize_multiplier(real, 14 if left.bits == 16 else MOST_SHIFT)


def ratio_multiplier(numerator: float, denominator: float) -> tuple[int, int]:
    """Multiplier and shift of a quotient of scales in double precision."""
    return quantize_multiplier(float(numerator) / float(denominator))
