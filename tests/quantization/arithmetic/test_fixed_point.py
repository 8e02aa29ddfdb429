"""Fixed-point arithmetic of the integer reference against its definition in plain Python integers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantization.arithmetic import gemmlowp
from quantization.arithmetic.activations import gate_table, sigmoid_table
from quantization.arithmetic.fixed_point import (
    multiply_by_quantized_multiplier,
    multiply_by_quantized_multiplier_64,
    multiply_with_single_rounding,
    power_of_two_exponent,
    quantize_multiplier,
    rounding_divide_by_power_of_two,
    saturating_rounding_doubling_high_multiply,
    wrap,
)

INT32 = st.integers(-(2**31), 2**31 - 1)


def as_array(value: int) -> np.ndarray:
    return np.array([value], np.int64)


def truncated(numerator: int, denominator: int) -> int:
    """C division."""
    quotient = abs(numerator) // denominator
    return quotient if numerator >= 0 else -quotient


@given(INT32, INT32)
@settings(max_examples=300, deadline=None)
def test_high_multiply_is_gemmlowps_text(a: int, b: int) -> None:
    product = a * b
    nudge = 2**30 if product >= 0 else 1 - 2**30
    expected = 2**31 - 1 if a == b == -(2**31) else truncated(product + nudge, 2**31)
    assert saturating_rounding_doubling_high_multiply(as_array(a), b)[0] == expected


@given(INT32, st.integers(0, 31))
@settings(max_examples=300, deadline=None)
def test_rounding_division_is_to_nearest_halves_away_from_zero(value: int, exponent: int) -> None:
    exact = Fraction(value, 2**exponent)
    magnitude = math.floor(abs(exact) + Fraction(1, 2))
    expected = magnitude if value >= 0 else -magnitude
    assert rounding_divide_by_power_of_two(as_array(value), exponent)[0] == expected


@given(st.floats(2.0**-31, 2.0**20))
@settings(max_examples=300, deadline=None)
def test_quantized_multiplier_holds_31_bits(real: float) -> None:
    multiplier, shift = quantize_multiplier(real)
    assert 2**30 <= multiplier < 2**31
    # Half a unit in the 31st bit.
    assert abs(multiplier * 2.0 ** (shift - 31) / real - 1) <= 2.0**-31


def test_quantized_multiplier_at_its_ends() -> None:
    assert quantize_multiplier(0.0) == (0, 0)
    assert quantize_multiplier(1.0) == (2**30, 1)
    assert quantize_multiplier(2.0**-33) == (0, 0)
    # The fraction rounds up to 1, and the shift takes it.
    assert quantize_multiplier(1.0 - 2.0**-40) == (2**30, 1)


# Factors below 64: at 64 the left shift is 7, and 2**24 shifted by 7 wraps in 32 bits, as the kernels' C does too.
# Below 2^6 when it is rounded to 31 bits too: from there on 2^24 is shifted out of 32 bits, as it is in the C++.
@given(st.integers(-(2**24), 2**24), st.floats(2.0**-20, 2.0**6 * (1 - 2.0**-31), exclude_max=True))
@settings(max_examples=300, deadline=None)
def test_scaling_is_the_real_product_within_a_rounding(value: int, real: float) -> None:
    multiplier, shift = quantize_multiplier(real)
    exact = value * multiplier * 2.0 ** (shift - 31)
    # Two roundings of half a step each; one for the single-rounding form.
    assert abs(multiply_by_quantized_multiplier(as_array(value), multiplier, shift)[0] - exact) <= 1.0
    assert abs(multiply_with_single_rounding(as_array(value), multiplier, shift)[0] - exact) <= 0.5
    # The multiplier cut to 16 bits: half a unit in its last place, or almost two at the cap of 0x7FFF.
    wide = multiply_by_quantized_multiplier_64(as_array(value), multiplier, shift)[0]
    assert abs(wide - exact) <= 0.5 + abs(exact) * 2.0**-14


def test_double_rounding_shows() -> None:
    """33 / 64 is above a half: one rounding gives 1; the first of two gives exactly a half of a negative and rounds away."""
    multiplier, shift = quantize_multiplier(2.0**-6)
    assert multiply_with_single_rounding(as_array(-32), multiplier, shift)[0] == 0
    assert multiply_by_quantized_multiplier(as_array(-32), multiplier, shift)[0] == -1


def test_wrap_is_a_c_cast() -> None:
    values = np.array([-32769, -32768, 32767, 32768, 65536 + 5], np.int64)
    assert wrap(values, 16).tolist() == values.astype(np.int16).tolist() == [32767, -32768, 32767, -32768, 5]


@pytest.mark.parametrize(("scale", "exponent"), [(2.0**-15, -15), (2.0**-9, -9), (0.001, -10), (1.0, 0)])
def test_power_of_two_exponent(scale: float, exponent: int) -> None:
    assert power_of_two_exponent(scale) == exponent


def test_sigmoid_table_is_the_published_one_where_it_can_be_checked_by_hand() -> None:
    table = sigmoid_table()
    assert len(table) == 256
    # First entries, the first that is not a rounded sample (4: 35492.36), and the last ones.
    assert table[:5].tolist() == [32768, 33451, 34133, 34813, 35493]
    assert table[28] == 49975
    assert table[253:].tolist() == [65534, 65534, 65535]


@pytest.mark.parametrize("semantics", ["tflm", "litert"])
def test_all_65536_activations_are_close_monotone_and_symmetric(semantics: str) -> None:
    x = np.arange(-32768, 32768) / 4096.0
    sigmoid, tanh = gate_table("sigmoid", semantics), gate_table("tanh", semantics)
    # Largest errors over all inputs in steps of 2**-15, as in docs/INTEGER.md.
    bounds = {"tflm": (1.03, 1.49), "litert": (6.4, 11.8)}[semantics]
    assert np.abs(sigmoid - 32768 / (1 + np.exp(-x))).max() <= bounds[0]
    assert np.abs(tanh - 32768 * np.tanh(x)).max() <= bounds[1]
    assert sigmoid.min() >= 0
    assert max(sigmoid.max(), tanh.max()) <= 32767
    assert tanh[32768] == 0
    assert sigmoid[32768] == 16384


@given(st.integers(-(2**31), -1))
@settings(max_examples=200, deadline=None)
def test_fixed_point_exponential(raw: int) -> None:
    """Q5.26 as in softmax. The Taylor series about -1/8 is cut after the fourth order: it misses (1/8)**5 / 5!."""
    result = gemmlowp.exp_on_negative_values(as_array(raw), 5, 32)[0]
    assert abs(result / 2.0**31 - math.exp(raw / 2.0**26)) < 0.125**5 / 120 + 2.0**-29


@given(st.integers(1, 2**31 - 1))
@settings(max_examples=200, deadline=None)
def test_reciprocal(raw: int) -> None:
    """1 / (1 + x) for x in (0, 1)."""
    result = gemmlowp.one_over_one_plus_x(as_array(raw), 32)[0]
    assert abs(result / 2.0**31 - 1 / (1 + raw / 2.0**31)) < 2.0**-27
