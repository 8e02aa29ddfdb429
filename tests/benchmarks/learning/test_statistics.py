"""Intervals and tests whose unit is the person, against figures that can be worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.learning.statistics import (
    cluster_test,
    critical_difference,
    holm,
    interval,
    mean_ranks,
    wilcoxon,
)


def test_wilcoxon_of_six_people_who_all_agree() -> None:
    # All six signs equal: 2 of 2^6 sign patterns are as extreme.
    assert wilcoxon(np.array([1.0, 2, 3, 4, 5, 6])) == pytest.approx(2 / 64)
    # One small one the other way: rank sum 1; patterns with a sum of at most 1 are {} and {1}, on either side.
    assert wilcoxon(np.array([-1.0, 2, 3, 4, 5, 6])) == pytest.approx(4 / 64)
    assert wilcoxon(np.array([1.0, 2, 3, 4, 5])) is None
    assert wilcoxon(np.zeros(8)) is None


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.04 times 3, 2, 1; each at least the one before.
    assert holm([0.04, 0.01, None, 0.02]) == pytest.approx([0.04, 0.03, None, 0.04])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_interval_needs_five_people_and_holds_the_mean() -> None:
    values = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    found = interval(values)
    assert found is not None and 0.1 < found[0] < 0.3 < found[1] < 0.5
    assert interval(values[:4]) is None
    assert interval(np.full(5, 0.2)) == pytest.approx((0.2, 0.2))


def test_a_difference_between_40_and_60_percent_is_found_there() -> None:
    generator = np.random.default_rng(0)
    curves = 0.1 * generator.standard_normal((8, 101))
    curves[:, 40:61] += 1.0
    clusters = [one for one in cluster_test(curves) if one.p < 0.05]
    assert [(one.start, one.stop) for one in clusters] == [(40, 60)]
    # Of 2^8 sign flips only all and none give so heavy a cluster.
    assert clusters[0].p == pytest.approx(2 / 256) and clusters[0].mass > 0
    assert cluster_test(curves[:5]) == []


def test_where_nothing_differs_a_cluster_is_found_as_often_as_the_level_says() -> None:
    """100 noise curves, smooth as gait curves are: 5 % false alarms, which is at most 11 of 100 in 99 of 100 such tests."""
    generator = np.random.default_rng(1)
    alarms = 0
    for _ in range(100):
        noise = generator.standard_normal((6, 101 + 20))
        smooth = np.stack([np.convolve(row, np.ones(21), "valid") for row in noise])
        alarms += any(one.p < 0.05 for one in cluster_test(smooth))
    assert alarms <= 11


def test_mean_ranks_and_critical_difference() -> None:
    scores = np.array([[0.1, 0.2, 0.3], [0.1, 0.3, 0.2], [0.2, 0.2, 0.1]])
    assert mean_ranks(scores) == pytest.approx([(1 + 1 + 2.5) / 3, (2 + 3 + 2.5) / 3, (3 + 2 + 1) / 3])
    # Demsar 2006, table 5: q of 4 models is 2.569; with 14 data sets the critical difference is 1.25.
    assert critical_difference(14, 4) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(5, 4) is None
