"""What a report says first: how the rows of the targets that were asked for did, in the order in which they were named."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.budgets import deployed
from benchmarks.records import Report, Run
from benchmarks.report.text import count, microseconds, milliseconds, number, row_name, share, signed


def leading(report: Report) -> list[Run]:
    """The deployed rows of the targets that were asked for, in that order; the float baseline if there are none."""
    rows = deployed((*report.runs, *report.devices))
    asked = [run for target in report.targets for run in rows if run.measured.target == target]
    return asked or [report.baseline]


def sentences(report: Report) -> list[str]:
    """One or two for each target, then the float model's figures."""
    rows = [run for run in leading(report) if not run.measured.is_baseline]
    found = []
    for target in report.targets:
        own = [run for run in rows if run.measured.target == target]
        if own:
            found.append(_of_target(target, own))
        else:
            found.append(f"{target} has no row of the bundle's graphs.")
    base = report.baseline.accuracy.overall
    return [
        *found,
        f"The float model estimates joint moments with an RMSE of {number(base.rmse, 4)} Nm/kg (R² {number(base.r2, 3)}).",
    ]


def tiles(report: Report) -> list[tuple[str, str]]:
    """A figure and what it is, of the row that leads."""
    run = leading(report)[0]
    scores, latency, figures = run.accuracy.overall, run.measured.latency, run.measured.figures
    name = row_name(run)
    found = [
        (f"{signed(scores.rmse_increase_pct)} %", f"RMSE of {name} against float"),
        (number(scores.r2, 3), f"R² of {name}, all joints"),
    ]
    if "bit_exact" in figures:
        exact = figures["bit_exact"]
        what = f"{_runs(run)} that differ from the integer reference in any bit"
        found.append((f"{exact['differing']:,} of {exact['compared']:,}", what))
    if "instructions" in figures:
        found.append(
            (
                count(figures["instructions"]["median"]),
                f"instructions a {_unit(run)}, emulated{_estimate(figures)}",
            )
        )
    if latency:
        where = f" on {latency.processor}" if latency.processor else ""
        what = f"p99 latency of {name}{where}, {share(latency.p99_share_pct)} of a sample period"
        found.append((f"{microseconds(latency.p99_us)} µs", what))
    if "flash_bytes" in figures:
        ram = figures["ram_bytes"]["library_with_stack"] / 1000
        found.append(
            (f"{figures['flash_bytes']['library'] / 1000:.1f} kB", f"flash; {ram:.1f} kB RAM with stack")
        )
    else:
        of_float = 100 * run.measured.size.model_bytes / report.baseline.measured.size.model_bytes
        kilobytes = f"{run.measured.size.model_bytes / 1000:.0f} kB"
        found.append((kilobytes, f"model file, {of_float:.0f} % of the float weights"))
    return found


def differences(run: Run) -> str:
    """How many outputs of a device's row are wrong, and the first wrong tensor: "177 of 200 windows differ; ..."."""
    exact = run.measured.figures["bit_exact"]
    counted = f"{exact['differing']:,} of {exact['compared']:,} {_runs(run)}"
    first = exact["first"]
    if first is None:
        return f"{counted} differ"
    if "window" in first:
        where = f"window {first['window']}"
    else:
        where = f"recording {first['recording']}, step {first['step']}"
    text = f"{counted} differ; first {where}, output {first['output']}: {first['device']} instead of {first['reference']}"
    return f"{text}; the first wrong tensor is {first['tensor']}" if first.get("tensor") else text


def _of_target(target: str, rows: list[Run]) -> str:
    worst = max(rows, key=lambda run: _or_lowest(run.accuracy.overall.rmse_increase_pct))
    scores = worst.accuracy.overall
    of = f"the least accurate of {len(rows)} rows" if len(rows) > 1 else "its one row"
    words = [
        f"On {target} the RMSE changes by {signed(scores.rmse_increase_pct)} % and the output differs from the float "
        f"output by {number(scores.error_vs_float_pct, 2)} % of the moments’ standard deviation "
        f"({worst.measured.name}, {of})."
    ]
    exact = [run for run in rows if "bit_exact" in run.measured.figures]
    wrong = [run for run in exact if run.measured.figures["bit_exact"]["differing"]]
    words += [f"WRONG: {differences(run)}." for run in wrong]
    if exact and not wrong:
        counted = " and ".join(
            f"{run.measured.figures['bit_exact']['compared']:,} {_runs(run)}" for run in exact
        )
        words.append(f"All {counted} give the integer reference’s outputs, bit for bit.")
    words += [text for run in rows[:2] if (text := _work(run))]
    return " ".join(words)


def _or_lowest(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def _work(run: Run) -> str:
    """What one inference of a device takes, with the label of each figure."""
    figures, latency = run.measured.figures, run.measured.latency
    if "instructions" in figures:
        return f"A {_unit(run)} takes {count(figures['instructions']['median'])} instructions (emulated{_estimate(figures)})."
    if latency and "bit_exact" in figures:
        return f"A {_unit(run)} takes {milliseconds(latency.p50_us)} ms on {latency.processor} (measured)."
    return ""


def _estimate(figures: Mapping[str, Any]) -> str:
    time = figures.get("time_us")
    if time is None:
        return ""
    return f"; about {milliseconds(time['value'])} ms on {time['part']} at {time['clock_hz'] / 1e6:.0f} MHz, estimated"


def _unit(run: Run) -> str:
    return "step" if run.measured.graph == "stream" else "window"


def _runs(run: Run) -> str:
    return "steps" if run.measured.graph == "stream" else "windows"
