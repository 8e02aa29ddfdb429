"""A stress test as a table for a terminal of 80 columns."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from benchmarks.report.table import new_table
from benchmarks.report.text import KIND_NAMES
from benchmarks.stress.records import StressReport, StressRow
from toolkit import terminal
from toolkit.printable import terminal_text

#: Reasons of a row that are shown: the most frequent.
_REASONS = 2


def show(report: StressReport, console: Console | None = None) -> None:
    """Print what was tried on whom, the rows without and then with calibration, and how to run it again."""
    console = console or terminal.console()
    data = report.data
    kinds = ", ".join(KIND_NAMES[kind] for kind in data["kinds"])
    console.print(
        Text.assemble(
            ("Stress test of ", "bold"),
            (terminal_text(report.bundle["name"]), "bold cyan"),
            f"\n{kinds}: {len(data['people'])} people, {data['recordings']} recordings, tasks {', '.join(data['tasks'])}",
        )
    )
    for calibrated, title in _parts(report):
        rows = [row for row in report.rows if row.calibrated is calibrated]
        if rows:
            console.print(_table(rows, title))
    for line in notes(report):
        console.print(Text(terminal_text(line)), style="dim")
    for line in report.broken:
        console.print(Text(f"bound broken: {terminal_text(line)}", style="bold red"))


def _parts(report: StressReport) -> tuple[tuple[bool, str], ...]:
    before = "happened after calibration" if report.data["asks_for_calibration"] else "as worn"
    return ((False, f"\nSensors {before}"), (True, "\nCalibrated with the sensors as they are"))


def _table(rows: list[StressRow], title: str) -> object:
    table = new_table(title)
    table.add_column("what", overflow="fold", min_width=29)
    for heading in ("RMSE\nNm/kg", "\nmore", "not\nok", "in\nbars", "seen\nafter"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("reasons", overflow="fold")
    for row in rows:
        table.add_row(Text(f"{row.name} {row.size}".strip()), *cells(row), Text(reasons(row)))
    return table


def cells(row: StressRow) -> list[str]:
    """RMSE, its increase, share not ok, coverage and delay of a row, as shown."""
    rmse, increase = row.overall.rmse, row.overall.rmse_increase_pct
    return [
        "-" if rmse is None else f"{rmse:.3f}",
        percent(increase),
        f"{100 * row.not_ok:.0f} %",
        "-" if row.coverage is None else f"{100 * row.coverage:.0f} %",
        "-" if row.delay_s is None else f"{row.delay_s:.1f} s",
    ]


def percent(increase: float | None) -> str:
    """An increase with its sign, whole; "-" where nothing is shown."""
    return "-" if increase is None else f"{round(increase) + 0.0:+.0f} %"


def reasons(row: StressRow) -> str:
    """The reasons that most moments give, if any do."""
    common = [name for name, share in row.reasons.items() if share >= 0.05]
    return ", ".join(common[:_REASONS])


def notes(report: StressReport) -> list[str]:
    """What the columns mean, and the command."""
    return [
        "",
        "not ok: share of estimates, from 5 s after the change, that are not ok.",
        "in bars: share of moments inside their error bar, of those that have one.",
        "noticed after: median over recordings.",
        f"again: {report.command}",
    ]
