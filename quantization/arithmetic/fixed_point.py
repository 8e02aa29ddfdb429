"""Integer arithmetic that every quantized kernel of TensorFlow Lite stands on, on int64 numpy arrays.

Real multipliers are written as ``multiplier * 2**(shift - 31)`` with a 31-bit integer ``multiplier``. All
functions take and return int64 arrays that hold values of the narrower type named in their docstring, so
that wrapping and saturation are explicit. Shapes broadcast: a per-channel multiplier is an array on the last axis.

Sources: tflite-micro ``tensorflow/lite/kernels/internal/common.cc`` and ``quantization_util.cc``, gemmlowp
``fixedpoint/fixedpoint.h``; Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference" (arXiv:1712.05877), section 2.2.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import ModelFileError

Integers = NDArray[np.int64]

INT32_MAX = 2**31 - 1


def wrap(values: Integers, bits: int) -> Integers:
    """Two's complement wrap-around to ``bits`` bits, as a C cast to a narrower signed type does."""
    half = np.int64(1) << np.int64(bits - 1)
    wrapped: Integers = ((values + half) & ((np.int64(1) << np.int64(bits)) - np.int64(1))) - half
    return wrapped


def saturate(values: Integers, bits: int) -> Integers:
    """Clamp to the range of a signed integer of ``bits`` bits."""
    return np.clip(values, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def round_half_away(value: float) -> int:
    """``TfLiteRound``: to the nearest integer, halves away from zero (C ``round``)."""
    return math.floor(value + 0.5) if value >= 0 else -math.floor(-value + 0.5)


#: The largest shift to the left that a 32-bit sum allows.
MOST_SHIFT = 30


def quantize_multiplier(real: float, most_shift: int = MOST_SHIFT) -> tuple[int, int]:
    """Split a positive real factor into ``(multiplier, shift)``: real ~ multiplier * 2**(shift - 31).

    The multiplier has 31 bits, its top bit set. Factors under 2**-32 become (0, 0), as in
    ``QuantizeMultiplier`` of quantization_util.cc. A shift above ``most_shift``, at which the kernels' result is
    undefined, is a ModelFileError.
    """
    if real == 0.0:
        return 0, 0
    if not 0.0 < real < 2.0**most_shift:
        raise ModelFileError(
            f"its scales have the ratio {real:.3g}; the kernels compute ratios above 0 and below 2^{most_shift}: the "
            "output's scale does not fit those of the inputs"
        )
    fraction, shift = math.frexp(real)
    multiplier = round_half_away(fraction * 2**31)
    if multiplier == 2**31:
        multiplier //= 2
        shift += 1
    if shift > most_shift:
        return 2**31 - 1, most_shift
    if shift < -31:
        return 0, 0
    return multiplier, shift


def quantize_multipliers(
    reals: NDArray[np.float64], most_shift: int = MOST_SHIFT
) -> tuple[Integers, Integers]:
    """:func:`quantize_multiplier` of each factor; two arrays of the same shape."""
    pairs = [quantize_multiplier(float(real), most_shift) for real in reals.reshape(-1)]
    multiplier = np.array([m for m, _ in pairs], np.int64).reshape(reals.shape)
    shift = np.array([s for _, s in pairs], np.int64).reshape(reals.shape)
    return multiplier, shift


def rounding_divide_by_power_of_two(values: Integers, exponent: Integers | int) -> Integers:
    """``RoundingDivideByPOT``: divide by 2**exponent (0 to 31), to nearest, halves away from zero.

    gemmlowp adds 1 to the floor when the remainder exceeds (2**exponent - 1) // 2, plus one if the value is
    negative. That is the same as adding half a unit, less one if negative, and taking the floor.
    """
    exponent = np.asarray(exponent, np.int64)
    half = (np.int64(1) << exponent) >> np.int64(1)
    nudge = half - ((values < 0) & (exponent > 0))
    result: Integers = (values + nudge) >> exponent
    return result


def saturating_rounding_doubling_high_multiply(a: Integers, b: Integers | int, bits: int = 32) -> Integers:
    """``SaturatingRoundingDoublingHighMul``: round(a * b / 2**(bits - 1)), saturated.

    gemmlowp adds 2**(bits-2), or 1 - 2**(bits-2) to a negative product, and divides with truncation towards
    zero. For every integer that is the floor of (a * b + 2**(bits-2)) / 2**(bits-1). Only the most negative
    value times itself saturates.
    """
    product = a * b
    high: Integers = (product + (np.int64(1) << np.int64(bits - 2))) >> np.int64(bits - 1)
    saturated: Integers = np.minimum(high, 2 ** (bits - 1) - 1)
    return saturated


def multiply_by_quantized_multiplier(
    values: Integers, multiplier: Integers | int, shift: Integers | int
) -> Integers:
    """``MultiplyByQuantizedMultiplier(int32_t x, ...)``, the double-rounding form that both engines are built with.

    x is shifted left by max(shift, 0) in 32 bits (it wraps), multiplied with rounding, then divided by
    2**max(-shift, 0) with rounding. Two roundings: the result can differ by one from round(x * real).
    """
    shift = np.asarray(shift, np.int64)
    left = np.maximum(shift, 0)
    if np.any(left):
        values = wrap(values << left, 32)
    high = saturating_rounding_doubling_high_multiply(values, multiplier)
    right = np.maximum(-shift, 0)
    return rounding_divide_by_power_of_two(high, right) if np.any(right) else high


def multiply_by_quantized_multiplier_64(
    values: Integers, multiplier: Integers | int, shift: Integers | int
) -> Integers:
    """``MultiplyByQuantizedMultiplier(int64_t x, ...)``: what kernels with 16-bit activations use.

    The multiplier is reduced to 16 bits (rounded, at most 0x7FFF), there is one rounding (half up), and the result
    is cut to 32 bits. x must be in [-2**47, 2**47).
    """
    multiplier = np.asarray(multiplier, np.int64)
    reduced = np.where(multiplier < 0x7FFF0000, (multiplier + (1 << 15)) >> 16, 0x7FFF)
    total = 15 - np.asarray(shift, np.int64)
    result: Integers = (values * reduced + (np.int64(1) << (total - 1))) >> total
    return wrap(result, 32)


def multiply_with_single_rounding(
    values: Integers, multiplier: Integers | int, shift: Integers | int
) -> Integers:
    """round(x * multiplier * 2**(shift - 31)), halves up: one rounding with the whole 31-bit multiplier.

    Desktop LiteRT's FULLY_CONNECTED does this (ruy ``apply_multiplier.cc``, ``MultiplyByQuantizedMultiplier``).
    """
    total = 31 - np.asarray(shift, np.int64)
    result: Integers = (values * multiplier + (np.int64(1) << (total - 1))) >> total
    return result


def power_of_two_exponent(scale: float) -> int:
    """``CheckedLog2``: the exponent p nearest to log2(scale), in single precision.

    TFLM ignores that ``scale`` may not be 2**p; the caller checks it if it matters.
    """
    log2 = np.log(np.float32(scale)) * (np.float32(1.0) / np.log(np.float32(2.0)))
    return round_half_away(float(log2))
