"""What the run flow publishes: joint moments with their times and state, and what every sink of them does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """How far a moment can be trusted; the rules are in docs/DAEMON.md.

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
class Moment:
    """Joint moments of one row of the model's grid.

    Times are of the host's monotonic clock, in ns. ``values`` are in the order of the contract's outputs, Nm/kg; they are
    empty when there is nothing that could be shown (state ``invalid`` or ``stale``).
    """

    #: Counts every moment published since the daemon started, from 0. A hole means that the reader missed one.
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

    @property
    def age_ms(self) -> float:
        """Last byte in to moment out."""
        return (self.published_ns - self.arrival_ns) * 1e-6


class Sink(ABC):
    """Where moments go. ``publish`` never blocks and never raises: what cannot be sent is dropped and counted.

    All methods run on the daemon's event loop. A sink that is down says so in :attr:`trouble` and tries again by itself.
    """

    #: What a person calls it: ``mqtt://host:1883/topic``. No secrets.
    name: str
    published: int = 0
    dropped: int = 0
    #: One line about what is wrong now; None when all is well.
    trouble: str | None = None

    def check(self) -> None:
        """Whether what :meth:`open` needs of this machine is there (packages, passwords, certificates); raises as it does."""
        return

    @abstractmethod
    async def open(self) -> None:
        """Start. UsageError or LinkError if it can never work (a bad path, a port in use); a peer that is down is no error."""

    @abstractmethod
    def publish(self, moment: Moment) -> None:
        """Take one moment."""

    @abstractmethod
    async def close(self) -> None:
        """Send what is queued, for at most a second, and let go."""
