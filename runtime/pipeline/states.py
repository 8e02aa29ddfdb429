"""What can be wrong with a row of the model's grid, and which state follows; the table for people is in docs/DAEMON.md."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from runtime.pipeline.estimate import State
from toolkit.errors import UsageError

#: What is beyond it, in whatever unit, is no measurement, and is treated as what is not finite: a filter that takes in 1e38
#: overflows float32, and what has once been infinite in it never leaves.
LARGEST = 1e12


class Finding(IntFlag):
    """What a row of one stream rests on. Rows carry them as uint8; the model's window collects them."""

    GAP = 1
    SATURATED = 2
    NOT_FINITE = 4
    FLAT = 8
    SENSOR_OFF = 16
    CLOCK = 32
    REBOOT = 64


#: Words of reasons. Findings first, then what only the pipeline or the daemon knows.
WORDS: dict[Finding, str] = {
    Finding.GAP: "gap",
    Finding.SATURATED: "saturated",
    Finding.NOT_FINITE: "not-finite",
    Finding.FLAT: "flat",
    Finding.SENSOR_OFF: "sensor-off",
    Finding.CLOCK: "clock-uncertain",
    Finding.REBOOT: "reboot",
}
WARM_UP = "warm-up"
LATE = "late"
WAITING = "waiting"
SILENT = "silent"
MISMATCH = "contract-mismatch"
DECIMATED = "decimated"
ENGINE = "engine"
UNCALIBRATED = "uncalibrated"


@dataclass(frozen=True)
class Rules:
    """The bounds that states follow from; the section ``[states]`` of a config.

    ``stale_ms``: an estimate whose newest sample is older is stale. ``silence_ms``: a sensor that is silent for longer makes
    estimates invalid, and the model starts anew when it is back. ``clock_ms``: the largest error bar of sample times.
    ``saturated_share``, ``not_finite_share``: of the rows in the model's window; more makes it invalid, any makes it degraded.
    ``flat_ms``: a channel with the same value for longer is flat. ``stale_hz``: how often the daemon says that nothing comes.
    ``short_gap_ms``, ``gap_share``: once it is over, a gap that was no longer leaves estimates ok, as long as gaps fill no more
    of the window; 0: every gap degrades. ``gaps_invalid``: any row that fills a gap makes the estimate invalid (alignment
    policy ``invalidate``).
    """

    stale_ms: float = 150.0
    silence_ms: float = 1000.0
    clock_ms: float = 25.0
    saturated_share: float = 0.2
    not_finite_share: float = 0.2
    flat_ms: float = 1000.0
    stale_hz: float = 10.0
    short_gap_ms: float = 40.0
    gap_share: float = 0.2
    gaps_invalid: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in RULE_RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"{name} is {value:g}; it must be between {low:g} and {high:g}")
        if self.silence_ms < self.stale_ms:
            raise UsageError(
                f"silence_ms is {self.silence_ms:g} and stale_ms {self.stale_ms:g}; silence_ms must not be smaller"
            )


#: Allowed values of the numbers in :class:`Rules`.
RULE_RANGES: dict[str, tuple[float, float]] = {
    "stale_ms": (10.0, 60_000.0),
    # The aligner keeps 5 s of samples while it waits for the last stream.
    "silence_ms": (50.0, 4_000.0),
    "clock_ms": (0.1, 1_000.0),
    "saturated_share": (0.0, 1.0),
    "not_finite_share": (0.0, 1.0),
    "flat_ms": (50.0, 3_600_000.0),
    "stale_hz": (1.0, 100.0),
    "short_gap_ms": (0.0, 1_000.0),
    "gap_share": (0.0, 1.0),
}


@dataclass(frozen=True)
class Verdict:
    """A state and why, worst reason first."""

    state: State
    reasons: tuple[str, ...] = ()

    @classmethod
    def worst(cls, found: Iterable[tuple[State, str]]) -> Verdict:
        """Of several findings the worst is the state; all are reasons."""
        ordered = sorted(found, key=lambda each: -each[0].rank)
        if not ordered:
            return _FINE
        return cls(ordered[0][0], tuple(dict.fromkeys(reason for _, reason in ordered)))

    def and_also(self, state: State, reason: str) -> Verdict:
        """With one more finding."""
        if self.state.rank >= state.rank:
            return Verdict(self.state, tuple(dict.fromkeys((*self.reasons, reason))))
        return Verdict(state, tuple(dict.fromkeys((reason, *self.reasons))))


_FINE = Verdict(State.OK)


class FindingWindow:
    """Findings of the rows that the model's window holds, the last ``rows`` of the grid; all of them unknown at first.

    ``period_ms`` of the grid: a gap is as long as the rows one after another that rest on it.
    """

    def __init__(self, rows: int, rules: Rules, period_ms: float) -> None:
        self._rules = rules
        self._short_rows = math.floor(rules.short_gap_ms / period_ms + 1e-9)
        #: Rows in gaps up to the newest one, and how many more pushes the window holds a row beyond a short gap.
        self._gap_rows = self._long_gap = 0
        self._ring: NDArray[np.uint8] = np.zeros(rows, np.uint8)
        self._place = 0
        #: Rows since the last reset.
        self.seen = 0
        #: How many of the coming rows leave the window as it is: all flags in it are 0.
        self._clean = 0

    def reset(self) -> None:
        """A new stream: the window is empty."""
        self._ring[:] = 0
        self._place = self.seen = self._clean = self._gap_rows = self._long_gap = 0

    def append(self, findings: int) -> Verdict:
        """Take the findings of the next row; what they and those before it say of an estimate made now."""
        self._ring[self._place] = findings
        self._place = (self._place + 1) % len(self._ring)
        self.seen += 1
        self._gap_rows = self._gap_rows + 1 if findings & Finding.GAP else 0
        self._long_gap = len(self._ring) if self._gap_rows > self._short_rows else max(self._long_gap - 1, 0)
        self._clean = 0 if findings else self._clean + 1
        if self._clean >= len(self._ring):
            return _FINE
        found = list(self._judge())
        if self.seen < len(self._ring):
            found.append((State.INVALID, WARM_UP))
        return Verdict.worst(found)

    def _judge(self) -> Iterable[tuple[State, str]]:
        together = int(np.bitwise_or.reduce(self._ring))
        for finding, word in WORDS.items():
            if together & finding and (state := self._state(finding)) is not State.OK:
                yield state, word

    def _state(self, finding: Finding) -> State:
        rules = self._rules
        if finding is Finding.SENSOR_OFF or (finding is Finding.GAP and rules.gaps_invalid):
            return State.INVALID
        if finding is Finding.GAP:
            # While a gap lasts nobody knows how long it will be.
            bad = self._gap_rows or self._long_gap or self._share(finding) > rules.gap_share
            return State.DEGRADED if bad else State.OK
        if finding in (Finding.SATURATED, Finding.NOT_FINITE):
            limit = rules.saturated_share if finding is Finding.SATURATED else rules.not_finite_share
            return State.INVALID if self._share(finding) > limit else State.DEGRADED
        return State.DEGRADED

    def _share(self, finding: Finding) -> float:
        return np.count_nonzero(self._ring & finding) / len(self._ring)
