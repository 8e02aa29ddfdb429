"""A report as one HTML file: no script, nothing loaded from elsewhere, plots as inline SVG.

The page's elements are in ``report.html``, which escapes whatever it is given; here are the texts that go into it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.budgets import deployed
from benchmarks.records import Report, Run
from benchmarks.report import devices as report_devices
from benchmarks.report import intervals as report_intervals
from benchmarks.report import plots as report_plots
from benchmarks.report.headline import leading, sentences, tiles
from benchmarks.report.how import how
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
)
from toolkit import __version__
from toolkit.files import write_bytes
from toolkit.html_text import own_markup, template


@dataclass(frozen=True)
class Cell:
    """A cell: ``small`` stands below the text, ``over`` marks a broken bound, ``key`` is the colour of a row."""

    text: str
    small: str = ""
    over: bool = False
    key: str = ""


@dataclass(frozen=True)
class Table:
    """Headings, in which a newline is a break, and rows."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def write(report: Report, path: Path) -> None:
    """Write the page whole or not at all; OutputError if it cannot be written."""
    write_bytes(path, page(report).encode())


def page(report: Report) -> str:
    """The page's text."""
    asked = [run for run in deployed(report.runs) if run.measured.target in report.targets]
    return template("benchmarks.report", "report.html").render(
        title=f"Bench of {report.bundle['name']}",
        style=own_markup("benchmarks.report", "style.css"),
        badges=_badges(report),
        sentences=sentences(report),
        budgets=[
            *({"what": "Budget broken", "text": str(one)} for one in report.budgets.broken),
            *({"what": "Budget not judged", "text": str(one)} for one in report.budgets.not_judged),
        ],
        tiles=tiles(report),
        rows=_rows(report),
        summary=_summary(report),
        more=_more(report),
        gait=[(task, panels) for task, panels in report_plots.gait_cycles(report).items() if panels],
        errors=report_plots.error_by_joint(report),
        increases=report_plots.increase_by_task(report, asked),
        latencies=report_plots.latencies(report),
        devices=_devices(report),
        intervals=_intervals(report),
        notes={
            "summary": _summary_note(report),
            "gait": _gait_note(report),
            "latency": _latency_note(report),
        },
        how=how(report),
        command=report.command,
        version=__version__,
    )


def _badges(report: Report) -> list[dict[str, str]]:
    data, budgets = report.data, report.budgets
    badges = [{"kind": "kind", "text": KIND_NAMES[data.kind]}]
    badges.append({"kind": "", "text": f"{data.part} part of {data.source}"})
    if budgets.broken:
        badges.append({"kind": "broken", "text": "budget broken"})
    elif budgets.not_judged:
        badges.append({"kind": "broken", "text": "budget not judged"})
    elif budgets.max_rmse_increase_pct is not None or budgets.max_p99_us is not None:
        badges.append({"kind": "kept", "text": "budgets kept"})
    return badges


def _rows(report: Report) -> list[dict[str, Any]]:
    """The rows that have run all windows, for legends; ticked: the baseline and the first of those that lead."""
    shown = [report.baseline, *[run for run in leading(report) if run.measured.rows is None][:1]]
    return [
        {"key": report_plots.series_class(place), "name": row_name(run), "ticked": run in shown}
        for place, run in enumerate(report.runs)
    ]


def _named(report: Report, run: Run, small: str = "") -> Cell:
    return Cell(row_name(run), small, key=report_plots.series_class(report.runs.index(run)))


def _summary(report: Report) -> Table:
    head = (
        "row", "RMSE", "R²", "RMSE against\nfloat", "error against\nfloat", "p50 µs", "p99 µs",
        "p99 of\nperiod", "model kB", "arena kB",
    )  # fmt: skip
    return Table(head, [list(_summary_row(report, run)) for run in report.runs])


def _summary_row(report: Report, run: Run) -> Iterator[Cell]:
    scores, measured = run.accuracy.overall, run.measured
    time, size = measured.latency, measured.size
    broken = {one.budget for one in report.budgets.broken if one.row == f"{measured.target} {measured.name}"}
    yield _named(report, run, time.processor if time else "")
    yield Cell(number(scores.rmse, 4), interval(scores.rmse_interval, 3))
    yield Cell(number(scores.r2, 3))
    if measured.is_baseline:
        yield Cell("baseline")
        yield Cell("")
    else:
        increase = f"{signed(scores.rmse_increase_pct)} %"
        yield Cell(increase, _range(run), over="rmse_increase_pct" in broken)
        yield Cell(f"{number(scores.error_vs_float_pct, 2)} %")
    yield Cell(microseconds(time.p50_us) if time else "-")
    yield Cell(microseconds(time.p99_us) if time else "-", over="p99_us" in broken)
    yield Cell(share(time.p99_share_pct) if time else "-")
    yield Cell(f"{size.model_bytes / 1000:.1f}")
    yield Cell(f"{size.arena_bytes / 1000:.1f}" if size.arena_bytes else "")


def _range(run: Run) -> str:
    around = run.accuracy.overall.rmse_increase_interval
    return f"{signed(around.low)} to {signed(around.high)}" if around else "-"


def _more(report: Report) -> Table:
    head = ["row", "nRMSE", "r", "peak error", "largest error", "p90 µs", "max µs", "calls"]
    head += [f"R² {short_joint(joint)}" for joint in report.data.joints]
    rows = []
    for run in report.runs:
        scores, time = run.accuracy.overall, run.measured.latency
        cells = [f"{number(scores.nrmse_pct, 1)} %", number(scores.r, 3)]
        cells += [number(scores.peak_error, 3), number(scores.max_error, 3)]
        cells += [microseconds(time.p90_us), microseconds(time.max_us), f"{time.n:,}"] if time else ["-"] * 3
        cells += [number(run.accuracy.per_joint[joint].r2, 3) for joint in report.data.joints]
        rows.append([_named(report, run), *map(Cell, cells)])
    return Table(head, rows)


def _devices(report: Report) -> dict[str, Any] | None:
    """What the section of devices holds; ``lead``: whether it comes first. None if there are none."""
    if not report.devices:
        return None

    def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
        return Table(head, [[Cell(text) for text in row] for row in rows])

    return {
        "note": " ".join(report_devices.notes(report)),
        "accuracy": table(report_devices.ACCURACY_HEAD, report_devices.accuracy_rows(report)),
        "memory": table(report_devices.MEMORY_HEAD, report_devices.memory_rows(report)),
        "lead": leading(report)[0].measured.rows is not None,
    }


def _intervals(report: Report) -> dict[str, Any] | None:
    """What the section of error bars holds; None without them."""
    run = report_intervals.judged_run(report)
    if run is None or run.coverage is None:
        return None
    cells = report_intervals.rows(run.coverage, report.data.joints)
    return {
        "note": f"Of {row_name(run)}: share of reference moments inside their interval, and in brackets the mean half "
        f"width in Nm/kg. {report_intervals.sentence(run.coverage)}",
        "table": Table(report_intervals.heading(report.data.joints), [list(map(Cell, row)) for row in cells]),
    }


def _summary_note(report: Report) -> str:
    around = report.baseline.accuracy.overall.rmse_interval
    note = f"{len(report.data.windows):,} windows of {report.data.available:,}, the same for every row. Moments in Nm/kg."
    if around:
        level = f"{100 * around.level:.0f} %"
        note += f" Small figures: {level} bootstrap interval over {around.units} {around.over}."
    if any(run.from_window for run in report.runs):
        note += " An int8 stream is compared with the float stream, all else with the float model on windows."
    return " ".join([note, *not_compared(report)])


def _gait_note(report: Report) -> str:
    cycles = report.data.units.whole_cycles
    if not cycles:
        return "The recordings carry no heel strikes, so there are no gait cycles to draw."
    return (
        f"Means over {cycles} whole gait cycles, from heel strike to heel strike. "
        "Tick a row to draw it; the vertical scale of a joint is the same in every task."
    )


def _latency_note(report: Report) -> str:
    times = [run.measured.latency for run in report.runs if run.measured.latency]
    if not times:
        return "No latency was measured."
    note = (
        f"Measured on {report.machine['processor']}, {report.threads} thread{'s' if report.threads > 1 else ''}, after "
        f"warm-up, engines taking turns, single calls from Python; a sample comes every {times[0].sample_period_us:,.0f} µs."
    )
    if any(not run.measured.judged_latency for run in report.runs):
        note += " TensorFlow Lite Micro is run for its integers: its time on this machine says nothing about a microcontroller."
    return note
