"""Which rows a budget is held against, and what a broken one says."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benchmarks.budgets import (
    check,
    deployed,
    require_kept,
    require_sensible,
)
from benchmarks.targets import require_known
from tests.benchmarks.report.small_report import small_report
from toolkit.errors import BudgetError, UsageError


def test_budgets_that_hold() -> None:
    report = small_report(int8_off=0.0005, max_rmse_increase=1.0, max_p99_us=2098)
    assert report.budgets.broken == ()
    require_kept(report.budgets)


def test_rmse_budget_names_row_value_and_bound() -> None:
    report = small_report(int8_off=0.02, max_rmse_increase=1.5)
    with pytest.raises(BudgetError) as caught:
        require_kept(report.budgets)
    assert caught.value.exit_code == 1
    assert str(caught.value) == (
        "budget broken: rmse_increase_pct of host litert int8 window is 20, the bound is 1.5; "
        "rmse_increase_pct of host tflm int8 window is 20, the bound is 1.5"
    )


def test_time_budget_is_for_int8_where_it_is_deployed() -> None:
    # p99 of 100 times from 2,000 us on is 2,098. TFLM's time on a workstation (9,098) is not judged, nor torch's.
    broken = small_report(max_p99_us=2097).budgets.broken
    assert [(one.budget, one.row, one.value) for one in broken] == [
        ("p99_us", "host litert int8 window", 2098)
    ]


def test_a_figure_that_is_no_number_breaks_its_bound() -> None:
    run = small_report().runs[2]
    lost = replace(
        run, accuracy=replace(run.accuracy, overall=replace(run.accuracy.overall, rmse_increase_pct=math.nan))
    )
    assert len(check([lost], max_rmse_increase_pct=5.0).broken) == 1


def test_a_float_bundle_is_held_to_budgets_too() -> None:
    runs = [run for run in small_report().runs if run.measured.scheme == "float32"]
    assert [run.measured.engine for run in deployed(runs)] == ["litert"]
    assert len(check(runs, max_p99_us=1.0).broken) == 1


@pytest.mark.parametrize(("pct", "p99"), [(math.nan, None), (math.inf, None), (None, 0.0), (None, -1.0)])
def test_bounds_that_make_no_sense(pct: float | None, p99: float | None) -> None:
    with pytest.raises(UsageError, match=r"--max-"):
        require_sensible(pct, p99)


def test_targets_that_are_not_known() -> None:
    with pytest.raises(UsageError, match=r"target 'moon' is not known; allowed: host"):
        require_known(["moon"])
    with pytest.raises(UsageError, match="given twice"):
        require_known(["host", "host"])
    with pytest.raises(UsageError, match="no target"):
        require_known([])
