"""Figures that a person can work out on paper, and intervals that hold what they should."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.evaluation.accuracy import (
    Reference,
    bootstrap,
    increase_pct,
    judge,
    peak_error,
)
from benchmarks.evaluation.gait_cycles import Units


def units_of(cycle: list[int]) -> Units:
    number = np.array(cycle)
    return Units(number, np.ones(max(cycle) + 1, bool), np.linspace(0, 1, len(cycle)), number, "gait cycles")


def one_joint(target: list[float], estimate: list[float], baseline: list[float], cycle: list[int]):
    reference = Reference(
        ("knee",),
        np.array([target]).T,
        np.array([baseline]).T,
        ("level",) * len(target),
        units_of(cycle),
    )
    return judge(reference, np.array([estimate]).T)


def test_figures_of_four_windows_by_hand() -> None:
    # Errors 1, 0, 0, -1: mean square 1/2. Reference -1..2 has range 3, mean 0.5, squared deviations 5.
    got = one_joint([-1, 0, 1, 2], [0, 0, 1, 1], [-1, 0, 1, 1], [0, 0, 1, 1]).overall
    assert got.windows == 4
    assert got.rmse == pytest.approx(math.sqrt(0.5))
    assert got.nrmse_pct == pytest.approx(100 * math.sqrt(0.5) / 3)
    assert got.r2 == pytest.approx(1 - 2 / 5)
    # Deviations (-1.5,-.5,.5,1.5) and (-.5,-.5,.5,.5): sum of products 2, squares 5 and 1.
    assert got.r == pytest.approx(2 / math.sqrt(5 * 1))
    # Cycle 0 peaks at -1 (estimate reaches 0), cycle 1 at 2 (estimate reaches 1).
    assert got.peak_error == pytest.approx(1.0)
    assert got.max_error == pytest.approx(1.0)
    # Float errs by 1 in one window of four: RMSE 0.5, so the increase is sqrt(2) - 1.
    assert got.rmse_increase_pct == pytest.approx(100 * (math.sqrt(2) - 1))
    # Differs from float by 1 in one window: RMS 0.5 over a deviation of sqrt(5 / 4).
    assert got.error_vs_float_pct == pytest.approx(100 * 0.5 / math.sqrt(1.25))


def test_several_joints_and_tasks() -> None:
    # Joint a errs by 0.3 everywhere, joint b by 0.4: RMSE over both is sqrt((0.09 + 0.16) / 2).
    target = np.array([[0.0, 5.0], [1.0, 7.0], [2.0, 9.0], [3.0, 11.0]])
    reference = Reference(
        ("a", "b"), target, target + 0.1, ("level", "level", "stairs", "stairs"), units_of([0, 0, 1, 1])
    )
    got = judge(reference, target + np.array([0.3, 0.4]))
    assert got.overall.rmse == pytest.approx(math.sqrt(0.125))
    assert got.per_joint["a"].rmse == pytest.approx(0.3)
    assert got.per_joint["b"].rmse == pytest.approx(0.4)
    assert list(got.per_task) == ["level", "stairs"]
    assert got.per_task["stairs"].windows == 2
    assert got.per_task_joint["stairs"]["b"].rmse == pytest.approx(0.4)
    # Variances 1.25 and 5 about each joint's own mean; the difference from float is 0.2 and 0.3.
    assert got.overall.error_vs_float_pct == pytest.approx(100 * math.sqrt(0.065 / 3.125))
    assert got.overall.rmse_increase_pct == pytest.approx(100 * (math.sqrt(0.125) / 0.1 - 1))


def test_an_engine_equal_to_float_has_no_increase() -> None:
    target = np.sin(np.arange(200.0))[:, None]
    float_moments = target + 0.1 * np.cos(np.arange(200.0))[:, None]
    reference = Reference(
        ("hip",), target, float_moments, ("level",) * 200, units_of(np.repeat(range(20), 10).tolist())
    )
    got = judge(reference, float_moments).overall
    assert (got.rmse_increase_pct, got.error_vs_float_pct) == (0.0, 0.0)
    assert got.rmse_increase_interval is not None
    assert (got.rmse_increase_interval.low, got.rmse_increase_interval.high) == (0.0, 0.0)


def test_what_cannot_be_computed_is_nan_and_not_a_number_made_up() -> None:
    got = one_joint([2, 2, 2], [2, 2, 3], [2, 2, 2], [0, 0, 0]).overall
    assert math.isnan(got.r2) and math.isnan(got.r) and math.isnan(got.nrmse_pct)
    assert math.isnan(got.rmse_increase_pct) and math.isnan(got.error_vs_float_pct)
    assert got.rmse == pytest.approx(math.sqrt(1 / 3))
    assert got.rmse_interval is None  # one cycle cannot be resampled
    assert increase_pct(0.0, 0.0) == 0.0


def test_peak_uses_the_sign_of_the_reference_and_only_whole_cycles() -> None:
    target = np.array([[0.1], [-2.0], [0.5], [9.0]])
    estimate = np.array([[4.0], [-1.5], [0.5], [0.0]])
    units = Units(
        np.array([0, 0, 0, 1]), np.array([True, False]), np.zeros(4), np.array([0, 0, 0, 1]), "gait cycles"
    )
    assert peak_error(target, estimate, units) == pytest.approx(0.5)


def test_bootstrap_interval_covers_the_truth_at_its_level() -> None:
    # 40 cycles of 10 windows, errors of true RMS sqrt(0.5^2 + 1) with a shared part in each cycle. A 95 % interval from 40
    # units covers 0.85 to 1.0 of 200 repeats (binomial spread at 0.95 is 0.015; the percentile method is a little short).
    truth, hits = math.sqrt(0.25 + 1.0), 0
    cycle = np.repeat(np.arange(40), 10)
    for seed in range(200):
        random = np.random.default_rng(seed)
        error = 0.5 * random.standard_normal(40)[cycle] + random.standard_normal(400)
        zero = np.zeros((400, 1))
        interval, _ = bootstrap(zero, error[:, None], zero, units_of(cycle.tolist()), seed)
        assert interval is not None and interval.units == 40
        hits += interval.low <= truth <= interval.high
    assert 0.85 <= hits / 200 <= 1.0


def test_bootstrap_is_paired_and_seeded() -> None:
    # Every error is 10 % larger than float's in every cycle: the increase is 10 % in every resample.
    cycle = np.repeat(np.arange(12), 5)
    base = np.random.default_rng(1).standard_normal((60, 1))
    zero = np.zeros((60, 1))
    one, increase = bootstrap(zero, 1.1 * base, base, units_of(cycle.tolist()), 3)
    two, _ = bootstrap(zero, 1.1 * base, base, units_of(cycle.tolist()), 3)
    other, _ = bootstrap(zero, 1.1 * base, base, units_of(cycle.tolist()), 4)
    assert one == two and one != other
    assert increase is not None and one is not None
    assert increase.low == pytest.approx(10.0) and increase.high == pytest.approx(10.0)
    assert one.high - one.low > 0.05


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"estimate has shape"):
        one_joint([1, 2], [1, 2, 3], [1, 2], [0, 0])
    with pytest.raises(ValueError, match="must be"):
        Reference(("a", "b"), np.zeros((3, 1)), np.zeros((3, 1)), ("x",) * 3, units_of([0, 0, 0]))
