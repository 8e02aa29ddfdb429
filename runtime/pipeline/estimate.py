"""What the run flow publishes: an estimate of the joint moments, with its times and its state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """How far an estimate can be trusted; the rules are in docs/DAEMON.md.

    A controller may act on ``ok``, should act with care on ``degraded``, and must not act on ``stale`` or ``invalid``.
    """

    OK = "ok"
    DEGRADED = "degraded"
    STALE = "stale"
    INVALID = "invalid"

    @property
    def rank(self) -> int:
        """0 (ok) to 3 (invalid): of several findings the worst is the state."""
        return _RANKS[self]


_RANKS = {state: rank for rank, state in enumerate(State)}


@dataclass(frozen=True)
class Estimate:
    """An estimate of the joint moments at one row of the model's grid.

    Times are of the host's monotonic clock, in ns. ``values`` are in the order of the contract's outputs, Nm/kg; they are
    empty when there is nothing that could be shown (state ``invalid`` or ``stale``).
    """

    #: Counts every estimate published since the daemon started, from 0. A hole means that the reader missed one.
    sequence: int
    #: When the newest sample that the row rests on was taken, and the error bar of that time.
    source_ns: int
    source_error_ms: float
    #: When the last byte that the row needed came in.
    arrival_ns: int
    published_ns: int
    state: State
    #: Why the state is not ok: words of the table in docs/DAEMON.md, worst first.
    reasons: tuple[str, ...]
    values: tuple[float, ...]
    #: The lease: whoever acts on the values stops then, whatever has or has not come since. The publication itself where there
    #: are none; 0: not stated.
    valid_until_ns: int = 0
    #: Which run of the daemon this is, and the hash of the model's manifest; empty: not stated.
    run: str = ""
    model: str = ""
    #: Around each value, Nm/kg: about a share of ``level`` of true moments lies within value +- half width. Only where the
    #: state is ok, and the model knows it: what another state does to the error nobody has measured. Else empty, and 0.
    half_widths: tuple[float, ...] = ()
    level: float = 0.0
    #: The wearer's body mass, kg; 0: not stated.
    mass_kg: float = 0.0

    @property
    def newton_metres(self) -> tuple[float, ...]:
        """The values in Nm; empty without a body mass."""
        return tuple(value * self.mass_kg for value in self.values) if self.mass_kg else ()

    @property
    def age_ms(self) -> float:
        """Last byte in to estimate out."""
        return (self.published_ns - self.arrival_ns) * 1e-6
