"""Device ticks to host time, with an error bar.

A node stamps samples with its own microsecond counter; the host knows when frames arrive. Two kinds of
observation bound the mapping ``host = offset + (1 + skew) * device``:

- an *arrival* at host time ``a`` of a frame stamped ``x`` says ``host(x) <= a``: nothing arrives before it is sent;
- a *sync request* sent at host time ``t1`` and stamped ``x`` when the node received it says ``host(x) >= t1``.

All lines that obey both sets form a polygon. Its extremes at a device time are a rigorous interval whatever the
jitter and the asymmetry of the link; the estimate is its middle, the error bar half its width, widened by what a
crystal may wander in the window. This is the convex-hull method of Zhang, Liu and Xia (IEEE INFOCOM 2002,
doi:10.1109/INFCOM.2002.1019257) with Cristian's bounds (1989, doi:10.1007/BF01784024) as the second hull.

Without sync replies the lower bound is an assumption: the fastest frame of the window took at most
``assumed_delay_s``; the bar says so by being at least half of that.

Time is injected: nothing here reads a clock. Host times are seconds on one monotonic clock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Crystals of sensor nodes are within +-20 to +-50 ppm; 200 ppm leaves room for cheap ones and for ageing.
MAX_SKEW = 200e-6
#: How far a crystal's rate may wander within the window, as a fraction: 0.3 ppm is a change of about 2 K off its turning point.
WANDER = 0.3e-6

#: Observations that are older than the window are forgotten this much at a time (s): the line must be fitted anew after it.
_SURPLUS_S = 10.0

#: Corners of an envelope that a fit looks at. Jitter leaves about 10; a node that makes its times up can make every
#: observation one, and a fit tries each pair. Fewer corners bound the time less tightly, never wrongly.
_MOST_CORNERS = 32

Points = NDArray[np.float64]


class TickEvent(Enum):
    """What a time stamp says about the node's counter."""

    NORMAL = "normal"
    WRAP = "wrap"
    REORDERED = "reordered"
    REBOOT = "reboot"
    ZERO = "zero"


@dataclass
class TickUnwrapper:
    """Turns a counter of ``bits`` bits into ever-growing microseconds, and says what happened.

    ``reorder_us`` is how far back a frame may lie that is not known to be late; further back without a wrap is a reboot. A
    stamp of exactly 0 that is no plausible wrap means that the node's clock is not set (ZERO): it maps to nothing.
    """

    bits: int = 32
    reorder_us: int = 2_000_000
    _last_raw: int | None = None
    _last_host_s: float = 0.0
    _newest: int = 0

    def unwrap(self, raw: int, host_s: float, late: bool = False) -> tuple[TickEvent, int]:
        """Classify one stamp that arrived at ``host_s``; return the event and the unwrapped microseconds.

        ``late``: the frame's number says that it was sent before the newest one. Then it says nothing about a reboot,
        however long a link had held it back.

        After REBOOT the count continues past the newest value of before, so that two boot sessions never overlap; the
        caller must start a new :class:`ClockMap`. For ZERO the returned count is the newest one, for want of a better.
        """
        span = 1 << self.bits
        if not 0 <= raw < span:
            raise ValueError(f"time stamp {raw} does not fit {self.bits} bits")
        if self._last_raw is None and raw == 0:
            return TickEvent.ZERO, 0
        if self._last_raw is None:
            self._remember(raw, host_s, raw)
            return TickEvent.NORMAL, raw
        if host_s - self._last_host_s > 0.5 * span * 1e-6 and self.bits < 48 and not late:
            # Silent for over half a turn: the turns are counted by the host's clock.
            expected = self._last_raw + (host_s - self._last_host_s) * 1e6
            turns = round((expected - raw) / span)
            drift = abs(raw + turns * span - expected)
            if drift > 0.25 * span:
                return self._reboot(raw, host_s)
            count = self._newest + (raw + turns * span - self._last_raw)
            self._remember(raw, host_s, count)
            return TickEvent.WRAP if turns else TickEvent.NORMAL, count
        forward = (raw - self._last_raw) % span
        elapsed_us = (host_s - self._last_host_s) * 1e6
        if forward <= span // 2 and forward <= elapsed_us + self._ahead_us(elapsed_us):
            event = TickEvent.WRAP if raw < self._last_raw else TickEvent.NORMAL
            if raw == 0 and event is TickEvent.NORMAL and forward == 0:
                return TickEvent.ZERO, self._newest
            count = self._newest + forward
            self._remember(raw, host_s, count)
            return event, count
        back = span - forward
        if raw == 0:
            return TickEvent.ZERO, self._newest
        if late or (back <= self.reorder_us and back <= self._newest):
            return TickEvent.REORDERED, self._newest - back
        return self._reboot(raw, host_s)

    def _ahead_us(self, elapsed_us: float) -> float:
        """How much more than the host's elapsed time the node may claim: a stalled link delivers late."""
        return 30e6 + 0.001 * elapsed_us

    def _reboot(self, raw: int, host_s: float) -> tuple[TickEvent, int]:
        count = self._newest + 1
        self._remember(raw, host_s, count)
        return TickEvent.REBOOT, count

    def _remember(self, raw: int, host_s: float, count: int) -> None:
        self._last_raw, self._last_host_s, self._newest = raw, host_s, count


class HostTime(NamedTuple):
    """A mapped time in seconds on the host's clock and its error bar: the truth is within +-``error_s``."""

    time_s: float
    error_s: float


@dataclass(frozen=True)
class _Polygon:
    """Extreme lines ``host - device = offsets + slopes * (device - origin)`` that obey all observations."""

    origin_s: float
    offsets: Points
    slopes: Points
    middle_s: float
    #: The lower bound is the assumed delay, for want of a sync request.
    assumed: bool

    def is_cut_by(self, device_s: float, delay_s: float, from_above: bool) -> bool:
        """Whether a line has ``host - device`` above (or else below) ``delay_s`` at ``device_s``."""
        values = self.offsets + self.slopes * (device_s - self.origin_s)
        return bool(values.max() > delay_s if from_above else values.min() < delay_s)


class ClockMap:
    """Maps one boot session of one node (reboot to reboot) from unwrapped microseconds to host seconds.

    ``window_s`` is how long observations count, and up to 10 s more; ``assumed_delay_s`` bounds the fastest delivery when
    no sync replies come (serial: about 2 ms; BLE: one connection interval). Memory is bounded: one extreme a ``bucket_s``.
    """

    def __init__(self, window_s: float = 120.0, assumed_delay_s: float = 0.03, bucket_s: float = 0.5) -> None:
        self.window_s = window_s
        self.assumed_delay_s = assumed_delay_s
        self._bucket_s = bucket_s
        self._arrivals: deque[tuple[int, float, float]] = (
            deque()
        )  # bucket, device s, host - device s; the lowest
        self._requests: deque[tuple[int, float, float]] = deque()  # the same; the highest
        self._polygon: _Polygon | None = None
        self._stale = True
        #: Observations were contradictory (a stepped clock) and the older ones were dropped, this many times.
        self.restarts = 0

    def arrival(self, device_us: int, host_s: float) -> None:
        """A frame stamped ``device_us`` was complete at ``host_s``."""
        self._add(self._arrivals, device_us * 1e-6, host_s, lowest=True)

    def sync(self, sent_s: float, received_us: int, replied_us: int, arrived_s: float) -> None:
        """A request of ``sent_s`` was stamped ``received_us`` by the node, its reply ``replied_us``, back at ``arrived_s``."""
        self._add(self._requests, received_us * 1e-6, sent_s, lowest=False)
        self._add(self._arrivals, replied_us * 1e-6, arrived_s, lowest=True)

    def map(self, device_us: int) -> HostTime:
        """Host time of a device time. Raises LookupError before the first observation."""
        if not self._arrivals:
            raise LookupError("no frame has arrived yet: the node's time is unknown")
        if self._stale or self._polygon is None:
            self._fit()
        assert self._polygon is not None
        polygon, device_s = self._polygon, device_us * 1e-6
        values = polygon.offsets + polygon.slopes * (device_s - polygon.origin_s)
        low, high = float(values.min()), float(values.max())
        wander = WANDER * (self.window_s + _SURPLUS_S + abs(device_s - polygon.middle_s))
        return HostTime(device_s + (low + high) / 2, (high - low) / 2 + wander)

    @property
    def skew_ppm(self) -> float:
        """The middle of the possible rates of the host's clock against the node's, in parts per million."""
        if self._stale or self._polygon is None:
            self._fit()
        assert self._polygon is not None
        return float(self._polygon.slopes.min() + self._polygon.slopes.max()) / 2 * 1e6

    def _add(
        self, store: deque[tuple[int, float, float]], device_s: float, host_s: float, *, lowest: bool
    ) -> None:
        if not (math.isfinite(device_s) and math.isfinite(host_s)):
            raise ValueError("clock observations must be finite")
        entry = (math.floor(device_s / self._bucket_s), device_s, host_s - device_s)
        if store and store[-1][0] >= entry[0]:
            # A late frame of an older bucket cannot tighten the envelope by more than the newest bucket does.
            better = entry[2] < store[-1][2] if lowest else entry[2] > store[-1][2]
            if not better or store[-1][0] > entry[0]:
                return
            store[-1] = entry
        else:
            store.append(entry)
        # Most observations say nothing new: all lines that were possible obey them. Unless the lines were possible only
        # by the assumed delay: the first request takes its place.
        self._stale = (
            self._stale
            or self._polygon is None
            or (self._polygon.assumed and not lowest)
            or self._polygon.is_cut_by(entry[1], entry[2], lowest)
        )
        for each in (self._arrivals, self._requests):
            if each and each[0][1] < device_s - self.window_s - _SURPLUS_S:
                while each and each[0][1] < device_s - self.window_s:
                    each.popleft()
                self._stale = True

    def _fit(self) -> None:
        self._stale = False
        while True:
            polygon = self._feasible()
            if polygon is not None:
                self._polygon = polygon
                return
            # The two envelopes cross: a clock was stepped, or a node's replies are wrong. The newer half is kept.
            self.restarts += 1
            self._forget_older_half()

    def _forget_older_half(self) -> None:
        """Drop what is older than the middle of all observations; at least one of them, never the newest arrival."""
        kept = len(self._arrivals) + len(self._requests)
        ends = [each[end][1] for each in (self._arrivals, self._requests) if each for end in (0, -1)]
        middle = (min(ends) + max(ends)) / 2
        for each in (self._arrivals, self._requests):
            while len(each) > 1 and each[0][1] <= middle:
                each.popleft()
        # One request that contradicts all arrivals would stand for ever, as would one that contradicts the last arrival.
        if len(self._arrivals) == 1 or len(self._arrivals) + len(self._requests) == kept:
            self._requests.clear()

    def _feasible(self) -> _Polygon | None:
        origin = self._arrivals[-1][1]
        upper = _hull(self._arrivals, origin, lower=True)
        if self._requests:
            below = _hull(self._requests, origin, lower=False)
        else:
            below = _supporting_edge(upper) - np.array([0.0, self.assumed_delay_s])
        lines = _extreme_lines(upper, below)
        if lines is None:
            return None
        middle = math.fsum(device_s for _, device_s, _ in self._arrivals) / len(self._arrivals)
        return _Polygon(origin, lines[0], lines[1], middle, not self._requests)


def _hull(observations: Iterable[tuple[int, float, float]], origin_s: float, *, lower: bool) -> Points:
    """Lower (or upper) convex hull of observations in order of device time, less ``origin_s``, by Andrew's monotone chain.

    Python's own floats: numpy's scalars are several times slower here, and this runs in the way of live samples.
    """
    sign = 1.0 if lower else -1.0
    hull: list[tuple[float, float]] = []
    for _, x, y in observations:
        while len(hull) >= 2:
            (ax, ay), (bx, by) = hull[-2], hull[-1]
            if sign * ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) > 0:
                break
            hull.pop()
        hull.append((x, y))
    points: Points = np.array(hull) - np.array([origin_s, 0.0])
    if len(points) > _MOST_CORNERS:
        points = points[np.linspace(0, len(points) - 1, _MOST_CORNERS).round().astype(np.intp)]
    return points


def _supporting_edge(hull: Points) -> Points:
    """The edge of a lower hull below the middle of its span: its ends are the frames that were delayed least."""
    middle = (hull[0, 0] + hull[-1, 0]) / 2
    after = max(1, int(np.searchsorted(hull[:, 0], middle)))
    edge: Points = hull[after - 1 : after + 1]
    return edge


@lru_cache(maxsize=64)
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Each pair of ``count`` points once."""
    first, second = np.triu_indices(count, 1)
    return first, second


def _extreme_lines(upper: Points, lower: Points) -> tuple[Points, Points] | None:
    """Vertices (offset, slope) of the set of lines below ``upper``, above ``lower`` and within +-MAX_SKEW, or None if empty.

    Each vertex is a line through two of the points, or through one with the largest skew; the hulls are short, so all
    are tried. The tolerance is a nanosecond: host clocks tick no finer.
    """
    points = np.concatenate([upper, lower])
    first, second = _pairs(len(points))
    run = points[second, 0] - points[first, 0]
    apart = np.abs(run) > 1e-9
    slopes = (points[second, 1] - points[first, 1])[apart] / run[apart]
    offsets = points[first, 1][apart] - slopes * points[first, 0][apart]
    for limit in (-MAX_SKEW, MAX_SKEW):
        slopes = np.concatenate([slopes, np.full(len(points), limit)])
        offsets = np.concatenate([offsets, points[:, 1] - limit * points[:, 0]])
    fits = np.abs(slopes) <= MAX_SKEW * (1 + 1e-9)
    slopes, offsets = slopes[fits], offsets[fits]
    at_upper = offsets[:, None] + slopes[:, None] * upper[None, :, 0]
    at_lower = offsets[:, None] + slopes[:, None] * lower[None, :, 0]
    obeys = (at_upper <= upper[None, :, 1] + 1e-9).all(axis=1) & (at_lower >= lower[None, :, 1] - 1e-9).all(
        axis=1
    )
    if not obeys.any():
        return None
    return offsets[obeys], slopes[obeys]
