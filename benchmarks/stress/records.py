"""The result of a stress test as records: a row for each perturbation and size, without and with calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA = 1
#: Share of the moments of people whose sensors the calibration refuses: there is no session, and nothing is published.
REFUSED = "refused"


@dataclass(frozen=True)
class JointScore:
    """RMSE in Nm/kg of the moments that are shown, and how much larger it is than unperturbed, percent; None if none are."""

    rmse: float | None
    rmse_increase_pct: float | None


@dataclass(frozen=True)
class StressRow:
    """``calibrated``: the session is calibrated with the sensors as they are now; else before it happened (or not at all, for a
    model that takes none).

    ``states`` and ``reasons`` are shares of moments from 5 s after it happened; ``coverage`` of the intervals given, None where
    next to none are; ``delay_s`` is the median time until an estimate is not ok, None where most recordings stay ok. ``people``
    is how many had a session, ``moments`` how many moments the errors are of.
    """

    name: str
    size: str
    calibrated: bool
    overall: JointScore
    per_joint: Mapping[str, JointScore]
    states: Mapping[str, float]
    reasons: Mapping[str, float]
    coverage: float | None
    delay_s: float | None
    people: int
    moments: int

    @property
    def not_ok(self) -> float:
        """Share of moments that do not say ``ok``."""
        return 1.0 - self.states.get("ok", 0.0)


@dataclass(frozen=True)
class StressReport:
    """``rows`` begin with the unperturbed; ``broken`` are bounds that were asked for and do not hold, a line each."""

    bundle: Mapping[str, Any]
    data: Mapping[str, Any]
    settings: Mapping[str, Any]
    command: str
    rows: tuple[StressRow, ...]
    broken: tuple[str, ...] = ()

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(self.rows[0].per_joint)

    def row(self, name: str, size: str = "", calibrated: bool = False) -> StressRow:
        """The row of a perturbation; KeyError if it was not run."""
        for one in self.rows:
            if (one.name, one.size, one.calibrated) == (name, size, calibrated):
                return one
        raise KeyError(f"{name} {size} calibrated={calibrated}")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, schema 1 (docs/STRESS.md)."""
        return {
            "schema": SCHEMA,
            "command": self.command,
            "bundle": dict(self.bundle),
            "data": dict(self.data),
            "settings": dict(self.settings),
            "rows": [_row(one) for one in self.rows],
            "broken": list(self.broken),
        }


def _row(row: StressRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "size": row.size,
        "calibrated": row.calibrated,
        "rmse": row.overall.rmse,
        "rmse_increase_pct": row.overall.rmse_increase_pct,
        "per_joint": {joint: vars(one) for joint, one in row.per_joint.items()},
        "states": dict(row.states),
        "reasons": dict(row.reasons),
        "coverage": row.coverage,
        "delay_s": row.delay_s,
        "people": row.people,
        "moments": row.moments,
    }
