"""The plots of the HTML report, each an SVG text made from a report's records."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.accuracy import Scores
from benchmarks.evaluation.gait_cycles import curve
from benchmarks.records import Report, Run
from benchmarks.report.svg import Panel
from benchmarks.report.text import microseconds, short_joint

_WIDTH = 340
#: Colours that the style sheet has for rows.
SERIES = 12


def series_class(place: int) -> str:
    """The style of the row at ``place`` in a report, the same in every plot and table."""
    return f"s{place % SERIES}"


def gait_cycles(report: Report) -> dict[str, list[Panel]]:
    """By task, one panel a joint: reference (mean and deviation) and every row's mean over whole gait cycles."""
    target = report.data.windows.targets.astype(np.float64)
    tasks = np.array(report.data.task)
    ranges = [_padded(float(column.min()), float(column.max())) for column in target.T]
    result: dict[str, list[Panel]] = {}
    for task in sorted(set(report.data.task)):
        rows = np.flatnonzero(tasks == task)
        panels = [
            _gait_panel(report, rows, joint, task, ranges[joint]) for joint in range(len(report.data.joints))
        ]
        result[task] = [panel for panel in panels if panel is not None]
    return result


def _gait_panel(
    report: Report, rows: NDArray[np.int64], joint: int, task: str, limits: tuple[float, float]
) -> Panel | None:
    units = report.data.units.take(rows)
    reference = curve(report.data.windows.targets[rows, joint].astype(np.float64), units)
    if reference is None:
        return None
    name = short_joint(report.data.joints[joint])
    panel = Panel(
        _WIDTH,
        210,
        (0, 100),
        limits,
        describe=f"{name} moment over the gait cycle, {task}, mean of {reference.cycles} cycles",
        kind="gait",
    )
    panel.axes("gait cycle, %", "Nm/kg")
    percent = np.linspace(0.0, 100.0, 101)
    panel.band(percent, reference.mean - reference.deviation, reference.mean + reference.deviation, "ref")
    panel.line(percent, reference.mean, "ref")
    for place, run in enumerate(report.runs):
        own = curve(run.measured.estimates[rows, joint].astype(np.float64), units)
        if own is not None:
            panel.line(percent, own.mean, f"{series_class(place)} row{place}")
    panel.text(panel.x.start + 6, panel.y.stop + 12, name, "heading")
    return panel


def error_by_joint(report: Report) -> list[Panel]:
    """One panel a joint: RMSE of every row, by task and over all tasks."""
    tasks = sorted(set(report.data.task))
    highest = max(
        run.accuracy.per_task_joint[task][joint].rmse
        for run in report.runs
        for task in tasks
        for joint in report.data.joints
    )
    panels = []
    for joint in report.data.joints:
        rows = [(task, [run.accuracy.per_task_joint[task][joint] for run in report.runs]) for task in tasks]
        rows.append(("all", [run.accuracy.per_joint[joint] for run in report.runs]))
        panels.append(_error_panel(report, short_joint(joint), rows, highest))
    return panels


def _error_panel(
    report: Report, joint: str, rows: Sequence[tuple[str, list[Scores]]], highest: float
) -> Panel:
    panel = _row_panel([name for name, _ in rows], (0.0, 1.06 * highest), describe=f"RMSE of {joint} by task")
    panel.axes("RMSE, Nm/kg", y_ticks=False, x_ticks=4)
    _row_names(panel, [name for name, _ in rows])
    lanes = _lanes(len(report.runs))
    for place, (task, cells) in enumerate(rows):
        for series, (run, scores) in enumerate(zip(report.runs, cells)):
            tip = f"{task}, {run.measured.name}: {scores.rmse:.4f} Nm/kg"
            panel.dot(
                scores.rmse, place + lanes[series], series_class(series), tip, 3.5 if len(lanes) <= 5 else 2.6
            )
    panel.text(panel.x.start, 14, joint, "heading")
    return panel


def increase_by_task(report: Report, runs: Sequence[Run]) -> list[Panel]:
    """One panel a deployed row: RMSE increase over float by task, with its bootstrap interval."""
    ends = [0.0]
    for run in runs:
        for scores in [*run.accuracy.per_task.values(), run.accuracy.overall]:
            ends.append(scores.rmse_increase_pct)
            if scores.rmse_increase_interval:
                ends += [scores.rmse_increase_interval.low, scores.rmse_increase_interval.high]
    bound = report.budgets.max_rmse_increase_pct
    finite = [v for v in [*ends, *([bound] if bound is not None else [])] if math.isfinite(v)]
    limits = _padded(min(finite), max(finite))
    return [_increase_panel(report, run, limits, bound) for run in runs]


def _increase_panel(report: Report, run: Run, limits: tuple[float, float], bound: float | None) -> Panel:
    rows = [*run.accuracy.per_task.items(), ("all", run.accuracy.overall)]
    names = [name for name, _ in rows]
    panel = _row_panel(
        names, limits, top=38, describe=f"RMSE increase of {run.measured.name} over float by task"
    )
    panel.axes("RMSE increase over float, %", y_ticks=False)
    panel.rule(0.0, "zero")
    if bound is not None:
        panel.rule(bound, "bound", "budget", height=-12, anchor="middle")
    _row_names(panel, names)
    css = series_class(report.runs.index(run))
    for place, (name, scores) in enumerate(rows):
        around = scores.rmse_increase_interval
        if around:
            panel.whisker(around.low, around.high, place, css)
        if math.isfinite(scores.rmse_increase_pct):
            tip = f"{name}: {scores.rmse_increase_pct:+.2f} %"
            panel.dot(scores.rmse_increase_pct, place, css, tip, 4.5)
    panel.text(panel.x.start, 14, run.measured.name, "heading")
    return panel


def latencies(report: Report) -> list[Panel]:
    """One panel a measured row: a histogram of single-call times, all on one logarithmic axis."""
    timed = [(i, run) for i, run in enumerate(report.runs) if run.measured.latency]
    every = [t for _, run in timed if run.measured.latency for t in run.measured.latency.samples_us]
    if not every:
        return []
    edges = np.geomspace(min(every) / 1.05, max(every) * 1.05, 90)
    return [_latency_panel(run, series_class(i), edges) for i, run in timed]


def _latency_panel(run: Run, css: str, edges: NDArray[np.float64]) -> Panel:
    time = run.measured.latency
    assert time is not None
    counts, _ = np.histogram(time.samples_us, edges)
    panel = Panel(
        _WIDTH,
        150,
        (float(edges[0]), float(edges[-1])),
        (0.0, 1.35 * float(counts.max() or 1)),
        describe=f"Distribution of {time.n} latencies of {run.measured.name}",
        margins=(22, 12, 34, 12),
        log_x=True,
        kind="latency",
    )
    panel.axes("microseconds (logarithmic)", y_ticks=False)
    panel.bars(edges, counts.astype(np.float64), css)
    late = panel.x(time.p99_us) > 0.8 * _WIDTH
    early = panel.x(time.p50_us) < 0.2 * _WIDTH
    panel.rule(time.p50_us, "mark", f"p50 {microseconds(time.p50_us)}", anchor="start" if early else "end")
    panel.rule(
        time.p99_us, "mark", f"p99 {microseconds(time.p99_us)}", height=13, anchor="end" if late else "start"
    )
    panel.text(panel.x.start, 14, run.measured.name, "heading")
    return panel


def _row_panel(names: Sequence[str], limits: tuple[float, float], *, describe: str, top: int = 24) -> Panel:
    height = 26 * len(names) + 38 + top
    return Panel(
        _WIDTH,
        height,
        limits,
        (len(names) - 0.5, -0.5),
        describe=describe,
        margins=(top, 12, 38, 78),
        kind="rows",
    )


def _row_names(panel: Panel, names: Sequence[str]) -> None:
    for place, name in enumerate(names):
        css = "tick end strong" if place == len(names) - 1 else "tick end"
        panel.text(panel.x.start - 8, panel.y(place) + 3.5, name, css)


def _lanes(number: int) -> list[float]:
    """Heights that keep the series of one row apart, in rows."""
    step = min(0.2, 0.8 / number)
    return [step * (i - (number - 1) / 2) for i in range(number)]


def _padded(low: float, high: float) -> tuple[float, float]:
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin
