"""Bounds on a stress test, as a TOML says them: what no perturbation may do without being said.

[[bound]]                       # every bound holds for the rows it names
name = "imu-turned"             # a perturbation; left out: all
size = "all 20 deg"             # left out: every size
calibrated = true               # left out: with and without
max_rmse_increase = 5.0         # percent; rows that show no moments keep it
min_not_ok = 0.95               # share of moments that do not say ok
max_not_ok = 0.01
min_coverage = 0.85             # of error bars; rows without any keep it
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.stress.records import StressRow
from toolkit.errors import UsageError
from toolkit.reading import read_toml

_NAMES = ("name", "size", "calibrated")
_LIMITS = ("max_rmse_increase", "min_not_ok", "max_not_ok", "min_coverage")


@dataclass(frozen=True)
class StressBound:
    """Which rows, and what they must keep."""

    where: Mapping[str, Any]
    limits: Mapping[str, float]

    def rows(self, rows: Sequence[StressRow]) -> list[StressRow]:
        """Those that it is about."""
        return [row for row in rows if all(getattr(row, name) == value for name, value in self.where.items())]


def read_bounds(path: Path) -> list[StressBound]:
    """The bounds of a file; UsageError says what in it is none."""
    value, _ = read_toml(path, "bounds of a stress test in TOML", UsageError)
    entries = value.get("bound")
    if set(value) != {"bound"} or not isinstance(entries, list) or not entries:
        raise UsageError(f"{path}: it must hold [[bound]] tables and nothing else (docs/STRESS.md)")
    return [_bound(entry, f"{path}, bound {number}") for number, entry in enumerate(entries, 1)]


def _bound(entry: Any, where: str) -> StressBound:
    if not isinstance(entry, Mapping):
        raise UsageError(f"{where}: it must be a table")
    unknown = [key for key in entry if key not in (*_NAMES, *_LIMITS)]
    if unknown:
        raise UsageError(f"{where}: {unknown[0]!r} is not known; allowed: {', '.join((*_NAMES, *_LIMITS))}")
    limits = {key: value for key, value in entry.items() if key in _LIMITS}
    for key, value in limits.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UsageError(f"{where}: {key} is {value!r}; it must be a number")
    if not limits:
        raise UsageError(f"{where}: it sets no bound; give one of {', '.join(_LIMITS)}")
    return StressBound({key: entry[key] for key in _NAMES if key in entry}, limits)


def broken(bounds: Sequence[StressBound], rows: Sequence[StressRow]) -> list[str]:
    """A line for each row that breaks a bound, and for each bound that is about no row."""
    lines = []
    for bound in bounds:
        own = bound.rows(rows)
        if not own:
            lines.append(f"no row is {dict(bound.where)}: nothing was compared with the bound")
        lines += [line for row in own for line in _of_row(bound, row)]
    return lines


def _of_row(bound: StressBound, row: StressRow) -> list[str]:
    found = {
        "max_rmse_increase": row.overall.rmse_increase_pct,
        "min_not_ok": row.not_ok,
        "max_not_ok": row.not_ok,
        "min_coverage": row.coverage,
    }
    named = f"{row.name} {row.size}".strip() + (", calibrated" if row.calibrated else "")
    lines = []
    for key, limit in bound.limits.items():
        value = found[key]
        if value is not None and (value < limit if key.startswith("min") else value > limit):
            lines.append(f"{key} of {named} is {value:.4g}, the bound is {limit:g}")
    return lines
