"""exp, logistic, tanh and reciprocals in gemmlowp's fixed point, for 16-bit and 32-bit raw values.

A fixed-point number with ``integer_bits`` has ``bits - 1 - integer_bits`` fractional bits. Its raw integer is kept
in an int64 array; sums and differences wrap at ``bits`` bits as they do in C.

Source: gemmlowp ``fixedpoint/fixedpoint.h``: exp_on_negative_values, one_over_one_plus_x_for_x_in_0_1,
one_minus_x_over_one_plus_x_for_x_in_0_1, logistic, tanh. Newton-Raphson constants 48/17 and 32/17: the
minimax start for 1/d on [1/2, 1].
"""

from __future__ import annotations

import math

import numpy as np

from quantization.arithmetic.fixed_point import (
    Integers,
    rounding_divide_by_power_of_two,
    saturating_rounding_doubling_high_multiply,
    wrap,
)

#: exp(-2**k) in Q0.31 for k = -2 ... 4: the factors of the barrel shifter.
EXP_OF_POWERS = tuple((k, math.floor(math.exp(-(2.0**k)) * 2**31 + 0.5)) for k in range(-2, 5))


def constant(value_32: int, bits: int) -> int:
    """A constant given for 32-bit raw values, rounded to ``bits`` bits (``RescaleConstantInitializer``)."""
    return int(rounding_divide_by_power_of_two(np.array(value_32, np.int64), 32 - bits))


def multiply(a: Integers, b: Integers | int, bits: int) -> Integers:
    """Product of two fixed-point numbers; the integer bits of the operands add up."""
    return saturating_rounding_doubling_high_multiply(a, b, bits)


def multiply_by_power_of_two(values: Integers, exponent: int, bits: int) -> Integers:
    """``SaturatingRoundingMultiplyByPOT``: shift left saturating, or right rounding."""
    if exponent <= 0:
        return rounding_divide_by_power_of_two(values, -exponent)
    limit = (1 << (bits - 1 - exponent)) - 1
    shifted = values << exponent
    shifted = np.where(values > limit, (1 << (bits - 1)) - 1, shifted)
    return np.where(values < -limit, -(1 << (bits - 1)), shifted)


def _exp_between_minus_one_quarter_and_0(values: Integers, bits: int) -> Integers:
    """exp of a Q0 number in [-1/4, 0): Taylor expansion to the fourth order about -1/8."""
    exp_minus_one_eighth = constant(1895147668, bits)
    one_third = constant(715827883, bits)
    x = wrap(values + (1 << (bits - 1 - 3)), bits)
    x2 = multiply(x, x, bits)
    x3 = multiply(x2, x, bits)
    x4_over_4 = multiply_by_power_of_two(multiply(x2, x2, bits), -2, bits)
    thirds = multiply(wrap(x4_over_4 + x3, bits), one_third, bits)
    series = multiply_by_power_of_two(wrap(thirds + x2, bits), -1, bits)
    product = multiply(wrap(x + series, bits), exp_minus_one_eighth, bits)
    total = exp_minus_one_eighth + product
    # AddSaturatingIf16Bit: 16-bit sums saturate, 32-bit sums wrap.
    return np.clip(total, -(1 << 15), (1 << 15) - 1) if bits == 16 else wrap(total, 32)


def exp_on_negative_values(values: Integers, integer_bits: int, bits: int) -> Integers:
    """exp(x) for x <= 0 as a Q0 number; exp(0) is the largest one.

    The fraction below 1/4 goes through the Taylor expansion; each further set bit 2**k of -x multiplies by exp(-2**k).
    """
    fractional_bits = bits - 1 - integer_bits
    quarter = 1 << (fractional_bits - 2)
    reduced = (values & (quarter - 1)) - quarter
    result = _exp_between_minus_one_quarter_and_0(multiply_by_power_of_two(reduced, integer_bits, bits), bits)
    remainder = wrap(reduced - values, bits)
    for k, factor in EXP_OF_POWERS:
        if integer_bits > k:
            is_set = (remainder & (1 << (fractional_bits + k))) != 0
            result = np.where(is_set, multiply(result, constant(factor, bits), bits), result)
    if integer_bits > 5:
        clamp = constant(-(1 << (36 - integer_bits)), bits)
        result = np.where(values < clamp, 0, result)
    return np.where(values == 0, (1 << (bits - 1)) - 1, result)


def _reciprocal_of_half_denominator(values: Integers, bits: int) -> Integers:
    """2 / (1 + x) in Q2 for a Q0 number x in (0, 1): three Newton-Raphson steps."""
    one = (1 << (bits - 1)) - 1
    total = values + one
    # RoundingHalfSum: (sum + sign) / 2 with truncation; here the sum is never negative.
    half_denominator = (total + 1) >> 1
    x = wrap(constant(1515870810, bits) + multiply(half_denominator, constant(-1010580540, bits), bits), bits)
    one_in_q2 = 1 << (bits - 1 - 2)
    for _ in range(3):
        error = wrap(one_in_q2 - multiply(half_denominator, x, bits), bits)
        x = wrap(x + multiply_by_power_of_two(multiply(x, error, bits), 2, bits), bits)
    return x


def one_over_one_plus_x(values: Integers, bits: int) -> Integers:
    """1 / (1 + x) as a Q0 number, for a Q0 number x in (0, 1)."""
    return multiply_by_power_of_two(_reciprocal_of_half_denominator(values, bits), 1, bits)


def one_minus_x_over_one_plus_x(values: Integers, bits: int) -> Integers:
    """(1 - x) / (1 + x) as a Q0 number, for a Q0 number x in (0, 1)."""
    one_in_q2 = 1 << (bits - 1 - 2)
    difference = wrap(_reciprocal_of_half_denominator(values, bits) - one_in_q2, bits)
    return multiply_by_power_of_two(difference, 2, bits)


def logistic(values: Integers, integer_bits: int, bits: int) -> Integers:
    """1 / (1 + exp(-x)) as a Q0 number, for x with ``integer_bits``."""
    magnitude = np.where(values > 0, values, wrap(-values, bits))
    positive = one_over_one_plus_x(exp_on_negative_values(wrap(-magnitude, bits), integer_bits, bits), bits)
    one = (1 << (bits - 1)) - 1
    result = np.where(values > 0, positive, wrap(one - positive, bits))
    return np.where(values == 0, constant(1 << 30, bits), result)


def tanh(values: Integers, integer_bits: int, bits: int) -> Integers:
    """tanh(x) as a Q0 number, for x with ``integer_bits``: -(1 - exp(2x)) / (1 + exp(2x)) for x < 0."""
    negative = np.where(values < 0, values, wrap(-values, bits))
    # Doubling is exact: the same raw value with one more integer bit.
    magnitude = one_minus_x_over_one_plus_x(exp_on_negative_values(negative, integer_bits + 1, bits), bits)
    result = np.where(values < 0, wrap(-magnitude, bits), magnitude)
    return np.where(values == 0, 0, result)


def leading_zeros_32(values: Integers) -> Integers:
    """Number of leading zero bits of each value read as an unsigned 32-bit integer; 32 for zero."""
    # frexp of an integer below 2**53 is exact, so its exponent is the bit length.
    _, bit_length = np.frexp((values & 0xFFFFFFFF).astype(np.float64))
    return 32 - bit_length.astype(np.int64)


def reciprocal(values: Integers, integer_digits: int) -> tuple[Integers, Integers]:
    """``GetReciprocal``: (Q0.31 of 1 / mantissa, number of bits of x above one) for positive 32-bit x."""
    headroom_plus_one = leading_zeros_32(values)
    bits_over_unit = integer_digits - headroom_plus_one
    fraction = wrap((values << headroom_plus_one) - (np.int64(1) << 31), 32)
    return one_over_one_plus_x(fraction, 32), bits_over_unit
