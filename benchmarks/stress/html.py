"""A stress test as one HTML file: a heat map of what each perturbation costs and whether it is noticed. No script."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report.text import KIND_NAMES, short_joint
from benchmarks.stress.console import percent, reasons
from benchmarks.stress.records import JointScore, StressReport, StressRow
from toolkit import __version__
from toolkit.files import write_bytes
from toolkit.html_text import own_markup, template

#: An increase of the RMSE, percent, up to which a cell has each of the five shades.
_SHADES = (5.0, 20.0, 50.0, 150.0)


@dataclass(frozen=True)
class HeatCell:
    """``shade`` 0 (fine) to 4 (far off); None for a cell without a colour. ``missed``: wrong, and still said to be ok."""

    text: str
    shade: int | None = None
    missed: bool = False


def write(report: StressReport, path: Path) -> None:
    """Write the page whole or not at all; OutputError if it cannot be written."""
    write_bytes(path, page(report).encode())


def page(report: StressReport) -> str:
    """The page's text."""
    asks = report.data["asks_for_calibration"]
    parts = [(False, "Sensors changed after calibration" if asks else "Sensors as worn")]
    parts += [(True, "Calibrated with the sensors as they are")] if asks else []
    return template("benchmarks.stress", "stress.html").render(
        title=f"Stress test of {report.bundle['name']}",
        style=own_markup("benchmarks.report", "style.css"),
        badges=[{"kind": "kind", "text": KIND_NAMES[kind]} for kind in report.data["kinds"]],
        sentences=_about(report),
        head=[
            "what",
            "size",
            "all",
            *map(short_joint, report.joints),
            "not ok",
            "in the\nbars",
            "seen\nafter",
            "reasons",
        ],
        parts=[
            (heading, [_row(row) for row in report.rows if row.calibrated is calibrated])
            for calibrated, heading in parts
        ],
        shades=[
            f"up to {_SHADES[0]:g} %",
            *(f"to {high:g} %" for high in _SHADES[1:]),
            f"above {_SHADES[-1]:g} %",
        ],
        command=report.command,
        version=__version__,
    )


def _about(report: StressReport) -> list[str]:
    data = report.data
    worst = [row for row in report.rows if not row.calibrated and _missed(row)]
    lines = [
        f"{len(data['people'])} people, {data['recordings']} recordings, tasks {', '.join(data['tasks'])}.",
        "Each row is one way to wear, mix up or break sensors; the cells show how much larger the RMSE is than with "
        "sensors as they should be.",
    ]
    if worst:
        names = ", ".join(f"{row.name} {row.size}" for row in worst[:6])
        more = f" and {len(worst) - 6} more" if len(worst) > 6 else ""
        lines.append(f"Wrong by half or more, yet most estimates still ok: {names}{more}.")
    return lines


def _row(row: StressRow) -> list[HeatCell]:
    covered = "-" if row.coverage is None else f"{100 * row.coverage:.0f} %"
    return [
        HeatCell(row.name),
        HeatCell(row.size),
        _increase(row.overall),
        *map(_increase, row.per_joint.values()),
        HeatCell(f"{100 * row.not_ok:.0f} %", missed=_missed(row)),
        HeatCell(covered, missed=row.coverage is not None and row.coverage < 0.85),
        HeatCell("-" if row.delay_s is None else f"{row.delay_s:.1f} s"),
        HeatCell(reasons(row)),
    ]


def _missed(row: StressRow) -> bool:
    increase = row.overall.rmse_increase_pct
    return increase is not None and increase >= 50.0 and row.not_ok < 0.5


def _increase(score: JointScore) -> HeatCell:
    value: Any = score.rmse_increase_pct
    if value is None:
        return HeatCell("-")
    return HeatCell(percent(value), sum(value > high for high in _SHADES))
