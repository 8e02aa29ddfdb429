"""Budgets and evidence of a validation, on a report whose figures are known: int8 is 20 % worse than float by construction."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records import Report
from benchmarks.report import json_file as report_json
from benchmarks.validation.bounds import FIGURES, Bounds, read_bounds
from benchmarks.validation.evidence import four_digits, lasting, times
from benchmarks.validation.validate import judge_target
from benchmarks.validation.verdict import Check
from tests.benchmarks.report.small_report import small_report
from toolkit.errors import InputError, UsageError

TARGET = "qemu:cortex-m4"
FIRST = {"window": 7, "output": 2, "device": 40, "reference": 41, "tensor": "imu/softmax"}


def device_report(**changed: Any) -> Report:
    """The small report with its int8 rows as a device's window and stream."""
    report = small_report()
    run = next(run for run in report.runs if run.measured.scheme == "int8")
    figures = {
        "bit_exact": {"compared": 200, "differing": 0, "first": None},
        "self_test": "passed",
        "flash_bytes": {"label": "measured", "library": 91_000, "image": 105_000},
        "ram_bytes": {"label": "measured", "library": 9_700, "library_with_stack": 10_600, "image": 20_000},
        "stack_bytes": {"label": "emulated", "value": 888, "at_start": 824},
        "resent_requests": 3,
        "damaged_frames": 1,
    }
    rows = []
    for graph, count in (("window", 2_948_437.25), ("stream", 116_946.5)):
        counted = {"label": "emulated", "median": round(count), "mean": count, "most": round(count) + 40}
        measured = dataclasses.replace(
            run.measured,
            target=TARGET,
            engine="firmware",
            graph=graph,
            latency=None,
            figures={**figures, "instructions": counted, **changed},
        )
        rows.append(dataclasses.replace(run, measured=measured))
    return dataclasses.replace(report, devices=tuple(rows))


def bounds_of(tmp_path: Path, text: str) -> Bounds:
    file = tmp_path / "budgets.toml"
    file.write_text(text)
    return read_bounds(file, (TARGET,))


def by_name(checks: list[Check]) -> dict[tuple[str, str], Check]:
    return {(check.row, check.name): check for check in checks}


def test_each_budget_is_held_against_its_own_figure(tmp_path: Path) -> None:
    text = (
        "rmse_increase_pct = 19.0\nerror_vs_float_pct = 5\nwindow_instructions = 3_400_000\n"
        "step_instructions = 116_000\nflash_bytes = 91_000\nram_bytes = 10_667\np99_ms = 5\n"
    )
    checks, missing = judge_target(device_report(), TARGET, bounds_of(tmp_path, text))
    found = by_name(checks)
    # int8 is off by 0.12 Nm/kg where float is off by 0.1, in every window.
    assert found["window", "rmse_increase_pct"].value == pytest.approx(20.0, abs=1e-4)
    assert not found["window", "rmse_increase_pct"].passed
    # 0.02 of a deviation of sqrt((0.5 + 2) / 2) = 1.118 (a sine of amplitude 1 and one of 2): 1.789 %.
    assert found["stream", "error_vs_float_pct"].value == pytest.approx(1.7889, abs=1e-3)
    assert found["window", "window_instructions"].passed
    assert not found["stream", "step_instructions"].passed
    assert found["image", "flash_bytes"].passed, "a value at its bound is within it"
    assert not found["image", "ram_bytes"].passed
    assert [one.name for one in missing] == ["p99_ms"]
    assert ("window", "step_instructions") not in found


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"bit_exact": {"compared": 200, "differing": 177, "first": FIRST}}, "differing_outputs"),
        ({"self_test": "failed"}, "failed_self_test"),
        ({"self_test": "not_run"}, "failed_self_test"),
    ],
)
def test_bit_exactness_and_golden_vectors_need_no_budget(changed: dict[str, Any], name: str) -> None:
    assert all(check.passed for check in judge_target(device_report(), TARGET, Bounds())[0])
    checks, _ = judge_target(device_report(**changed), TARGET, Bounds())
    assert {check.name for check in checks if not check.passed} == {name}


def test_a_difference_is_told_with_its_count_and_the_first_wrong_tensor() -> None:
    report = device_report(bit_exact={"compared": 200, "differing": 177, "first": FIRST})
    failed = [check for check in judge_target(report, TARGET, Bounds())[0] if not check.passed]
    detail = "177 of 200 windows differ; first window 7, output 2: 40 instead of 41; the first wrong tensor is imu/softmax"
    assert failed[0].detail == detail
    assert str(failed[0]) == f"differing_outputs of {TARGET} window is 177, the bound is 0: {detail}"


def test_a_broken_bound_is_told_in_whole_instructions() -> None:
    check = Check(TARGET, "window", "window_instructions", 2_945_981.0, 2_900_000.0, "emulated")
    assert str(check) == f"window_instructions of {TARGET} window is 2,945,981, the bound is 2,900,000"


def test_a_targets_own_table_stands_in_for_the_general_bounds(tmp_path: Path) -> None:
    text = f'window_instructions = 1\nflash_bytes = 1\n[target."{TARGET}"]\nwindow_instructions = 3e6\n'
    bounds = bounds_of(tmp_path, text)
    assert bounds.of(TARGET) == {"window_instructions": 3e6, "flash_bytes": 1}
    assert bounds.of("qemu:cortex-m55") == {"window_instructions": 1, "flash_bytes": 1}


def test_a_bound_of_the_target_that_it_cannot_give_is_an_error_with_its_line(tmp_path: Path) -> None:
    bounds = bounds_of(tmp_path, f'flash_bytes = 99_000\n\n[target."{TARGET}"]\np99_ms = 5\n')
    with pytest.raises(InputError, match=r"budgets.toml:4: qemu:cortex-m4 has no figure for p99_ms"):
        judge_target(device_report(), TARGET, bounds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "flash_bytes = 1\nflsh_bytes = 2\n",
            r":2: there is no budget 'flsh_bytes'; allowed: rmse_increase_pct",
        ),
        ('[target."qemu:x"]\nram_bytes = 1\nstack = 2\n', r":3: there is no budget 'stack'"),
        ("flash_bytes = '9 kB'\n", r":1: flash_bytes is '9 kB'; give a number"),
        ("\np99_ms = true\n", r":2: p99_ms is True; give a number"),
        ("ram_bytes = -1\n", r":1: ram_bytes is -1; it must be at least 0"),
        ("ram_bytes = nan\n", r":1: ram_bytes is nan; give a number"),
        ("ram_bytes = 1\nram_bytes = 2\n", r":2: not TOML"),
        ("target = 3\n", r":1: target must hold tables"),
    ],
)
def test_a_file_that_says_what_is_not_allowed(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=r"budgets\.toml" + message):
        bounds_of(tmp_path, text)


def test_an_increase_may_be_bounded_below_zero(tmp_path: Path) -> None:
    assert bounds_of(tmp_path, "rmse_increase_pct = -1\n").general == {"rmse_increase_pct": -1.0}


def test_a_figure_that_is_not_a_number_never_passes() -> None:
    assert not Check("host", "row", "rmse_increase_pct", float("nan"), 1e9, "computed").passed


def test_time_is_judged_where_it_is_measured_only() -> None:
    report = small_report()
    rows = {run.measured.engine: run for run in report.runs if run.measured.scheme == "int8"}
    # The slowest of 100 calls of 2,000 to 2,099 us, nearest rank: the 99th.
    assert FIGURES["p99_ms"](rows["litert"]) == (pytest.approx(2.098), "measured")
    assert FIGURES["p99_ms"](rows["tflm"]) is None, "TFLM's time on a workstation is that of no deployment"
    latency = rows["litert"].measured.latency
    assert latency is not None
    emulated = dataclasses.replace(
        rows["litert"].measured, latency=dataclasses.replace(latency, label="emulated")
    )
    assert FIGURES["p99_ms"](dataclasses.replace(rows["litert"], measured=emulated)) is None


def test_a_target_without_int8_rows_is_refused() -> None:
    with pytest.raises(UsageError, match="gave no row of an int8 graph"):
        judge_target(small_report(), TARGET, Bounds())


@pytest.mark.parametrize(
    ("value", "rounded"), [(2_948_437.25, 2_948_000), (116_946.5, 116_900), (0.0, 0.0), (-12.3456, -12.35)]
)
def test_four_digits(value: float, rounded: float) -> None:
    assert four_digits(value) == rounded


def test_evidence_keeps_nothing_of_the_moment() -> None:
    value = report_json.to_json(device_report())
    kept = lasting(value)
    assert set(kept) == {"schema", "data", "skipped", "bundle", "settings", "runs"}
    device = next(run for run in kept["runs"] if run["target"] == TARGET)
    assert device["figures"]["instructions"] == {"label": "emulated", "mean": 2_948_000.0}
    assert "resent_requests" not in device["figures"]
    assert all("latency" not in run for run in kept["runs"])
    assert [row["engine"] for row in times(value)] == ["litert", "tflm"]


def test_the_evidence_has_no_stack_that_depends_on_an_interrupts_moment() -> None:
    kept = [run for run in lasting(report_json.to_json(device_report()))["runs"] if run["target"] == TARGET]
    for run in kept:
        assert run["figures"]["stack_bytes"] == {"label": "emulated", "at_start": 824}
        assert run["figures"]["ram_bytes"] == {"label": "measured", "library": 9_700, "image": 20_000}


def test_ram_has_room_for_an_interrupt_whether_or_not_one_came() -> None:
    # 9,700 of state, 824 of stack at the start, 104 + 40 for an interrupt.
    assert judged_ram(value=824) == judged_ram(value=888) == 10_668
    # What was seen counts if it is more.
    assert judged_ram(value=1_500) == 11_200


def judged_ram(value: int) -> float:
    report = device_report(stack_bytes={"label": "emulated", "value": value, "at_start": 824})
    figure = FIGURES["ram_bytes"](report.devices[0])
    assert figure is not None
    return figure[0]
