"""A report as tables for a terminal of 80 columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.budgets import deployed
from benchmarks.evaluation.accuracy import Interval
from benchmarks.records import Report, Run
from benchmarks.report import devices as report_devices
from benchmarks.report import pi as report_pi
from benchmarks.report.text import (
    microseconds,
    number,
    share,
    signed,
)

#: What each kind of data is called wherever a person reads it.
KIND_NAMES = {
    "synthetic": "synthetic gait",
    "virtual-imu": "measured gait, virtual IMU",
    "measured": "measured",
}
WIDTH = 80


def show(report: Report, console: Console | None = None) -> None:
    """Print the report: accuracy and latency of each row, the deployed rows by joint and task, notes."""
    console = console or Console(width=WIDTH, highlight=False)
    console.print(_heading(report))
    console.print(_accuracy_table(report))
    console.print(_latency_table(report))
    console.print(_joint_table(report))
    if report.devices:
        report_devices.show(report, console)
    for line in _notes(report):
        console.print(line, style="dim")
    for one in report.budgets.broken:
        console.print(Text(f"budget broken: {one}", style="bold red"))


def _heading(report: Report) -> Text:
    data = report.data
    people, cycles = len(data.people), data.units.whole_cycles
    counted = f"{len(data.windows):,} of {data.available:,} windows"
    return Text.assemble(
        ("Accuracy and latency of ", "bold"),
        (str(report.bundle["name"]), "bold cyan"),
        "\n",
        f"{KIND_NAMES[data.kind]} ({data.source}), {data.part} part: {counted},\n"
        f"{cycles} gait cycles, {people} {'person' if people == 1 else 'people'}, "
        f"{len(set(data.task))} {'task' if len(set(data.task)) == 1 else 'tasks'}\n",
    )


def _new_table(title: str) -> Table:
    whole = Text(title, overflow="ignore")  # a str would be broken at the table's width
    return Table(
        title=whole, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 1)
    )


def _accuracy_table(report: Report) -> Table:
    table = _new_table("Accuracy, all joints (moments in Nm/kg)")
    table.add_column("engine", no_wrap=True)
    for heading in (
        "\nRMSE",
        "95 %\ninterval",
        "\nR2",
        "peak\nerror",
        "RMSE\nvs float",
        "error\nvs float",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for run in report.runs:
        scores = run.accuracy.overall
        table.add_row(
            row_name(run),
            number(scores.rmse, 4),
            interval(scores.rmse_interval, 3),
            number(scores.r2, 3),
            number(scores.peak_error, 3),
            "baseline" if run.measured.is_baseline else f"{signed(scores.rmse_increase_pct)} %",
            "" if run.measured.is_baseline else f"{number(scores.error_vs_float_pct, 2)} %",
        )
    return table


def _latency_table(report: Report) -> Table:
    period = next((r.measured.latency.sample_period_us for r in report.runs if r.measured.latency), math.nan)
    threads = f"{report.threads} thread{'s' if report.threads > 1 else ''}"
    table = _new_table(f"\nLatency of one inference (us, {threads}; a sample comes every {period:,.0f} us)")
    table.add_column("engine", no_wrap=True)
    for heading in ("p50", "p90", "p99", "max", "n", "p99 of\nperiod", "model\nkB", "arena\nkB"):
        table.add_column(heading, justify="right")
    for run in report.runs:
        time, size = run.measured.latency, run.measured.size
        times = (
            [microseconds(v) for v in (time.p50_us, time.p90_us, time.p99_us, time.max_us)]
            + [f"{time.n:,}", share(time.p99_share_pct)]
            if time
            else ["-"] * 6
        )
        arena = f"{size.arena_bytes / 1000:.1f}" if size.arena_bytes else ""
        table.add_row(row_name(run), *times, f"{size.model_bytes / 1000:.1f}", arena)
    return table


def _joint_table(report: Report) -> Table:
    shown = deployed(report.runs)[:1] or [report.baseline]
    run = shown[0]
    table = _new_table(f"\nRMSE of {run.measured.name} by task and joint (float), Nm/kg")
    table.add_column("task")
    for joint in report.data.joints:
        table.add_column(short_joint(joint), justify="right")
    table.add_column("all", justify="right")
    accuracy, base = run.accuracy, report.baseline.accuracy
    for task in accuracy.per_task:
        own, other = accuracy.per_task_joint[task], base.per_task_joint[task]
        cells = [_pair(own[j].rmse, other[j].rmse) for j in report.data.joints]
        table.add_row(task, *cells, _pair(accuracy.per_task[task].rmse, base.per_task[task].rmse))
    cells = [_pair(accuracy.per_joint[j].rmse, base.per_joint[j].rmse) for j in report.data.joints]
    table.add_row("all", *cells, _pair(accuracy.overall.rmse, base.overall.rmse), style="bold")
    cells = [number(accuracy.per_joint[j].r2, 3) for j in report.data.joints]
    table.add_row("R2", *cells, number(accuracy.overall.r2, 3))
    return table


def _notes(report: Report) -> Sequence[str]:
    lines = ["", f"Times are measured on {report.machine['processor']}."]
    if any(not run.measured.judged_latency for run in report.runs):
        lines.append("tflm's time on this machine says nothing about a microcontroller.")
    if any(run.from_window for run in report.runs):
        lines.append("An int8 stream is compared with the float stream; the float stream with float windows.")
        ratio = _stream_ratio(report)
        if ratio is not None:
            lines.append(f"One int8 stream step takes 1/{ratio:.1f} of the int8 window on LiteRT (p50).")
    over = report.baseline.accuracy.overall.rmse_interval
    if over is not None:
        lines.append(f"Intervals: bootstrap over {over.units} {over.over}, seed {report.seed}.")
    lines += report_pi.notes(report)
    lines += _not_run(report)
    lines.append(f"again: {report.command}")
    return lines


def _not_run(report: Report) -> Sequence[str]:
    """A line for each engine and reason, with all graphs that it concerns."""
    graphs: dict[tuple[str, str, str], list[str]] = {}
    for one in report.skipped:
        graphs.setdefault((one.target, one.engine, one.reason), []).append(f"{one.scheme} {one.graph}")
    return [
        f"not run{'' if target == 'host' else f' on {target}'}: {engine} {', '.join(named)}: {reason}"
        for (target, engine, reason), named in graphs.items()
    ]


def _stream_ratio(report: Report) -> float | None:
    """Median time of the int8 window over that of one int8 stream step, on LiteRT in this run."""
    times = {
        run.measured.graph: run.measured.latency.p50_us
        for run in report.runs
        if run.measured.latency
        and (run.measured.engine, run.measured.scheme, run.measured.converter, run.measured.target)
        == ("litert", "int8", "edgetool", "host")
    }
    return times["window"] / times["stream"] if {"window", "stream"} <= set(times) else None


def row_name(run: Run) -> str:
    """What a table calls a row; the host and the window graph go without saying."""
    measured = run.measured
    graph = "" if measured.graph == "window" else f" {measured.graph}"
    where = "" if measured.target == "host" else f"\n  on {measured.target.partition('?')[0]}"
    peer = "" if measured.converter == "edgetool" else f"\n  by {measured.converter}"
    return f"{measured.engine} {measured.scheme}{graph}{where}{peer}"


def _pair(own: float, other: float) -> str:
    return f"{number(own, 4)} ({number(other, 4)})"


def short_joint(name: str) -> str:
    """``knee_extension_moment`` as "knee extension"."""
    return name.removesuffix("_moment").replace("_", " ")


def interval(value: Interval | None, digits: int) -> str:
    """Both ends, or "-"."""
    return f"{value.low:.{digits}f}-{value.high:.{digits}f}" if value else "-"
