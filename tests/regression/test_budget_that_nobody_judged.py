"""``bench --on qemu:cortex-m4 --max-p99-us 1`` passed: an emulated core has no latency, and a bound without a figure held.

It is now *not judged*, which the report, the JSON and the error say, and the exit code is 1.
"""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from benchmarks.budgets import check, require_kept
from benchmarks.records import Run
from benchmarks.report import html, json_file
from benchmarks.report.console import show
from tests.benchmarks.report.small_report import small_report
from toolkit.errors import BudgetError


def emulated() -> Run:
    """An int8 row as an emulated core gives it: without a time."""
    run = small_report().runs[2]
    measured = replace(run.measured, target="qemu:cortex-m4", engine="firmware", latency=None)
    return replace(run, measured=measured)


def test_a_bound_on_time_is_not_judged_where_no_time_is_measured() -> None:
    budgets = check([small_report().runs[0], emulated()], max_p99_us=1.0, targets=["qemu:cortex-m4"])
    assert budgets.broken == ()
    with pytest.raises(BudgetError, match="budget not judged: p99_us on qemu:cortex-m4: no time") as caught:
        require_kept(budgets)
    assert caught.value.exit_code == 1


def test_one_target_that_has_a_time_does_not_answer_for_another() -> None:
    runs = [*small_report().runs, emulated()]
    budgets = check(runs, max_p99_us=1e9, targets=["host", "qemu:cortex-m4"])
    assert [one.target for one in budgets.not_judged] == ["qemu:cortex-m4"]
    assert check(runs, max_p99_us=1e9, targets=["host"]).not_judged == ()


def test_a_target_without_a_row_is_not_judged() -> None:
    budgets = check(small_report().runs, max_rmse_increase_pct=100, targets=["host", "serial:/dev/x"])
    assert [(one.target, one.name) for one in budgets.not_judged] == [("serial:/dev/x", "rmse_increase_pct")]


def test_console_page_and_json_say_so() -> None:
    report = small_report()
    runs = (report.runs[0], emulated())
    budgets = check(runs, max_p99_us=1.0, targets=["qemu:cortex-m4"])
    report = replace(report, runs=runs, budgets=budgets, targets=("qemu:cortex-m4",))
    text = io.StringIO()
    show(report, Console(file=text, width=80))
    assert "budget not judged: p99_us on qemu:cortex-m4" in text.getvalue()
    page = html.page(report)
    assert "Budget not judged" in page and "budgets kept" not in page
    assert json_file.to_json(report)["budgets"]["not_judged"][0]["name"] == "p99_us"
