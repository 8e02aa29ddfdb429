"""A report as tables for a terminal of 80 columns, what was asked for first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.evaluation.accuracy import Scores
from benchmarks.records import Report, Run
from benchmarks.report import devices as report_devices
from benchmarks.report import intervals
from benchmarks.report import pi as report_pi
from benchmarks.report.headline import leading, sentences
from benchmarks.report.table import new_table
from benchmarks.report.text import (
    KIND_NAMES,
    interval,
    microseconds,
    not_compared,
    number,
    row_name,
    share,
    short_joint,
    signed,
    signed_by,
)
from toolkit import terminal
from toolkit.printable import terminal_text

#: Joints of one table: more would not fit 80 columns.
_JOINTS = 3


def show(report: Report, console: Console | None = None) -> None:
    """Print the report: what was asked for, accuracy and latency of each row, the leading row by joint and task, notes."""
    console = console or terminal.console()
    console.print(_heading(report))
    for sentence in sentences(report):
        console.print(Text(terminal_text(sentence)))
    devices_lead = leading(report)[0].measured.rows is not None
    if devices_lead:
        report_devices.show(report, console)
    console.print(_accuracy_table(report))
    console.print(_latency_table(report))
    for table in _joint_tables(report):
        console.print(table)
    _show_intervals(report, console)
    if report.devices and not devices_lead:
        report_devices.show(report, console)
    for line in _notes(report):
        console.print(Text(terminal_text(line)), style="dim")
    failed = [f"budget broken: {one}" for one in report.budgets.broken]
    failed += [f"budget not judged: {one}" for one in report.budgets.not_judged]
    for line in failed:
        console.print(Text(terminal_text(line), style="bold red"))


def _heading(report: Report) -> Text:
    data = report.data
    people, cycles = len(data.people), data.units.whole_cycles
    counted = f"{len(data.windows):,} of {data.available:,} windows"
    return Text.assemble(
        ("Accuracy and latency of ", "bold"),
        (terminal_text(report.bundle["name"]), "bold cyan"),
        f", {signed_by(report)}\n",
        f"{KIND_NAMES[data.kind]} ({terminal_text(data.source)}), {data.part} part: {counted},\n"
        f"{cycles} gait cycles, {people} {'person' if people == 1 else 'people'}, "
        f"{len(set(data.task))} {'task' if len(set(data.task)) == 1 else 'tasks'}\n",
    )


def _accuracy_table(report: Report) -> Table:
    table = new_table("\nAccuracy, all joints (moments in Nm/kg)")
    table.add_column("row", overflow="fold")
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
            Text(row_name(run)),
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
    here = terminal_text(report.machine["processor"])
    table = new_table(
        f"\nLatency of one inference (us, {threads}; a sample comes every {period:,.0f} us)\nmeasured on {here}"
    )
    table.add_column("row", overflow="fold")
    for heading in ("p50", "p90", "p99", "max", "n", "p99 of\nperiod", "model\nkB", "arena\nkB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for run in report.runs:
        time, size = run.measured.latency, run.measured.size
        times = (
            [microseconds(v) for v in (time.p50_us, time.p90_us, time.p99_us, time.max_us)]
            + [f"{time.n:,}", share(time.p99_share_pct)]
            if time
            else ["-"] * 6
        )
        arena = f"{size.arena_bytes / 1000:.1f}" if size.arena_bytes else ""
        elsewhere = time is not None and time.processor not in ("", report.machine["processor"])
        where = f"\n  {terminal_text(time.processor)}" if time is not None and elsewhere else ""
        table.add_row(Text(row_name(run) + where), *times, f"{size.model_bytes / 1000:.1f}", arena)
    return table


def _joint_tables(report: Report) -> Iterator[Table]:
    """The leading row by task and joint, some joints a table; all joints together in the last."""
    run = leading(report)[0]
    of = terminal_text(f"{run.measured.name}{_where(run)}")
    every = report.data.joints
    for first in range(0, len(every), _JOINTS):
        title = "" if first else f"\nRMSE of {of} by task and joint (float), Nm/kg"
        yield _joint_table(run, title, every[first : first + _JOINTS], whole=first + _JOINTS >= len(every))


def _joint_table(run: Run, title: str, joints: Sequence[str], whole: bool) -> Table:
    """``whole``: with a column of all joints together. A float figure is of the rows that ``run`` ran."""
    table = new_table(title)
    table.add_column("task", overflow="fold")
    for joint in joints:
        table.add_column(
            Text(short_joint(joint)),
            justify="right",
            overflow="fold",
            min_width=len(_pair(run.accuracy.overall)),
        )
    if whole:
        table.add_column("all", justify="right", no_wrap=True)
    accuracy = run.accuracy

    def add(name: str, cells: list[str], last: str, style: str = "") -> None:
        table.add_row(Text(terminal_text(name)), *cells, *([last] if whole else []), style=style)

    for task, own in accuracy.per_task_joint.items():
        add(task, [_pair(own[joint]) for joint in joints], _pair(accuracy.per_task[task]))
    add("all", [_pair(accuracy.per_joint[j]) for j in joints], _pair(accuracy.overall), style="bold")
    r2 = [number(accuracy.per_joint[joint].r2, 3) for joint in joints]
    add("R2", r2, number(accuracy.overall.r2, 3))
    return table


def _show_intervals(report: Report, console: Console) -> None:
    """How the error bars hold, some joints a table; nothing for a bundle without them."""
    run = intervals.judged_run(report)
    if run is None or run.coverage is None:
        return
    every = list(report.data.joints)
    for first in range(0, len(every), _JOINTS):
        joints = every[first : first + _JOINTS]
        of = terminal_text(f"{run.measured.name}{_where(run)}")
        title = "" if first else f"\nError bars of {of}: moments inside (mean half width, Nm/kg)"
        table = new_table(title)
        for heading in intervals.heading(joints):
            table.add_column(Text(heading), justify="left" if heading == "task" else "right", overflow="fold")
        for row in intervals.rows(run.coverage, joints):
            table.add_row(
                *(Text(terminal_text(cell)) for cell in row), style="bold" if row[0] == "all" else ""
            )
        console.print(table)
    console.print(Text(terminal_text(intervals.sentence(run.coverage))))


def _where(run: Run) -> str:
    return "" if run.measured.target == "host" else f" on {run.measured.target}"


def _notes(report: Report) -> Sequence[str]:
    lines = ["", *not_compared(report), f"Times are measured on {report.machine['processor']}."]
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


def _pair(scores: Scores) -> str:
    """RMSE, and in brackets that of the float model on the same windows."""
    of_float = scores.rmse / (1 + scores.rmse_increase_pct / 100)
    return f"{number(scores.rmse, 4)} ({number(of_float, 4)})"
