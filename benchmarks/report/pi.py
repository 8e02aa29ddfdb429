"""What is said below a bench's tables about rows of another computer: which it is, its state, and what differs from here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.records import Report, Run


def notes(report: Report) -> list[str]:
    """Lines for each target that is another computer, none if there is none."""
    lines = []
    by_target: dict[str, list[Run]] = {}
    for run in report.runs:
        if "against_this_machine" in run.measured.figures:
            by_target.setdefault(run.measured.target, []).append(run)
    for target, runs in by_target.items():
        figures = runs[0].measured.figures
        lines.append(f"{target}: {_machine(figures)}")
        lines += [_difference(run) for run in runs]
    return lines


def _machine(figures: Mapping[str, Any]) -> str:
    found, after = figures["machine"], figures.get("machine_after")
    if figures["label"] == "emulated":
        return f"emulated, {found['architecture']}, Python {found['python']}; its times would be meaningless."
    degrees = [one["temperature_c"] for one in (found, after) if one and one["temperature_c"] is not None]
    parts = [
        found["model"] or found["architecture"],
        f"{found['cores']} cores",
        f"governor {found['governor'] or 'unknown'}",
        " to ".join(f"{value:.0f}" for value in degrees) + " C" if degrees else "temperature unknown",
    ]
    if after and after["throttled"]:
        parts.append(f"THROTTLED ({after['throttled']:#x})")
    return f"times measured there: {', '.join(parts)}."


def _difference(run: Run) -> str:
    name = f"{run.measured.engine} {run.measured.scheme} {run.measured.graph}"
    found = run.measured.figures["against_this_machine"]
    if found is None:
        return f"  {name}: that engine does not run here, so nothing is compared."
    if found["differing"] == 0:
        return f"  {name}: all {found['compared']:,} moments are those of this machine, bit for bit."
    most = found["most_nm_per_kg"]
    return (
        f"  {name}: {found['differing']:,} of {found['compared']:,} moments differ from this machine's, "
        f"at most by {most:.2g} Nm/kg."
    )
