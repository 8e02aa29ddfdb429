"""The clocks of a node over its boot sessions: host times of packets and of their samples.

A boot session lasts from one start of a node to the next; its clock and its numbers mean nothing in another one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.protocol.decoder import Received
from firmware_bridge.protocol.packets import Data, SyncReply
from firmware_bridge.protocol.table import LEDGER_DAMAGE_FRAMES
from firmware_bridge.streams.clock import MAX_SKEW, ClockMap, HostTime, TickEvent, TickUnwrapper

_TURN = 1 << 32
#: A clock's line is drawn anew this often (s of arrival): the fit costs more than decoding a packet does.
_REFIT_S = 0.25
#: How far from where it was drawn a line is followed (s of the node), at most: its bar holds so far.
_FOLLOWED_S = 1.0
#: Samples cannot have been taken later than they arrived, or so long before (s). A node that says so has a clock that
#: means nothing; rows that far away would be rows without end.
_AHEAD_S, _BEHIND_S = 0.1, 600.0


class SyncFilter:
    """Which sync replies count: answers to a request of at most 10 s before, each at least 0.25 s younger than the last.

    Hosts ask every 0.375 s or more seldom (``sources/host.py``). What a node says unasked, twice, or of a request that it
    makes up is no observation of its clock; a flood of it costs no more than what was asked for.
    """

    def __init__(self) -> None:
        self._asked_s = -np.inf

    def accept(self, sent_s: float, arrival_s: float) -> bool:
        """Whether the reply to a request of ``sent_s`` that came at ``arrival_s`` counts."""
        accepted = 0 <= arrival_s - sent_s < 10.0 and sent_s - self._asked_s >= 0.25
        if accepted:
            self._asked_s = sent_s
        return accepted


class BootClock:
    """Host times of one boot session of a node: :class:`ClockMap`, drawn as a line that holds for a quarter of a second."""

    def __init__(self) -> None:
        self._ticks = TickUnwrapper()
        self._map = ClockMap()
        self._drawn_s, self._drawn_error_s = -np.inf, np.inf
        self._before = 0
        self._count = 0
        self._base = HostTime(0.0, 0.0)
        self._slope = 1e-6
        #: The newest mapping's error bar, in s.
        self.error_s = float("inf")
        #: Whether a sync reply has come. Until then the bar rests on the assumption that the fastest frame took at most 30 ms.
        self.synced = False
        self._replies = SyncFilter()
        #: Stream -> next sample number and time of the newest sample.
        self._newest: dict[int, tuple[int, HostTime]] = {}
        self._anchors: dict[
            int, tuple[int, int]
        ] = {}  # stream -> (next sample number, count of the newest sample)

    @property
    def skew_ppm(self) -> float:
        """Rate of the host's clock against the node's."""
        return self._map.skew_ppm

    @property
    def restarts(self) -> int:
        """How often the node's clock contradicted itself (it was stepped) and was learnt anew."""
        return self._before + self._map.restarts

    def observe(self, received: Received) -> int | None:
        """Take a packet's times; its unwrapped count, or None if its stamp is not set."""
        arrival_s = received.arrival_ns * 1e-9
        event, count = self._ticks.unwrap(received.device_us, arrival_s, received.late)
        if event is TickEvent.ZERO or received.device_us == 0:
            return None
        if event is TickEvent.REBOOT:
            self._before += self._map.restarts + 1
            self._map, self._drawn_s = ClockMap(), -np.inf
            self._anchors.clear()
            self._newest.clear()
            self.synced, self._replies = False, SyncFilter()
        if isinstance(received.packet, SyncReply):
            reply = received.packet
            sent_s = reply.token * 1e-9
            taken = count - (received.device_us - reply.received_us) % _TURN
            if self._replies.accept(sent_s, arrival_s):
                self._map.sync(sent_s, taken, count, arrival_s)
                self._drawn_s, self.synced = -np.inf, True
                return count
        self._map.arrival(count, arrival_s)
        if arrival_s - self._drawn_s >= _REFIT_S:
            self._draw(count, arrival_s)
        elif not self.synced:
            self._admit_faster(count, arrival_s)
        return count

    def _admit_faster(self, count: int, arrival_s: float) -> None:
        """Widen the bar, if need be, until it holds what a frame that was faster than all before it says.

        Without a sync reply the bar rests on the fastest frame, and the line was drawn from the fastest one of *then*. It is
        left where it is until it is drawn anew: times that leap with each faster frame would bend the rows for nothing.
        """
        earliest_s = arrival_s - self._map.assumed_delay_s - MAX_SKEW * _FOLLOWED_S
        self.error_s = max(self.error_s, self._at(count) - earliest_s)

    def newest(self, received: Received, count: int | None, rate_hz: float) -> HostTime | None:
        """When the newest sample of a data packet was taken, or None if that is not known, or cannot be.

        A packet without a stamp is placed by its sample numbers.
        """
        data = received.packet
        assert isinstance(data, Data)
        after = data.first + data.samples
        if count is None:
            anchor = self._anchors.get(data.stream)
            if anchor is None:
                return None
            ahead = (after - anchor[0] + _TURN // 2) % _TURN - _TURN // 2
            count = anchor[1] + round(ahead / rate_hz * 1e6)
        elif not received.late:
            self._anchors[data.stream] = (after, count)
        arrival_s = received.arrival_ns * 1e-9
        if self._drawn_s == -np.inf:
            self._draw(count, arrival_s)
        time_s = self._at(count)
        if not -_BEHIND_S < time_s - arrival_s < _AHEAD_S + self._drawn_error_s:
            return None
        return HostTime(time_s, self.error_s)

    def spread(self, data: Data, newest: HostTime, rate_hz: float) -> tuple[NDArray[np.float64], float]:
        """Times of a packet's samples and their error bar; evenly from the packet before, if it continues that one.

        So a line that is drawn anew bends the times within a packet a little, instead of tearing a gap between two packets
        of which nothing is missing. What lies between two ends is known as well as the worse of them.
        """
        before, samples = self._newest.get(data.stream), data.samples
        after = (data.first + samples) % _TURN
        if before is None or (after - before[0] + _TURN // 2) % _TURN >= _TURN // 2:
            self._newest[data.stream] = (after, newest)
        if before is not None and before[0] == data.first:
            step_s = newest.time_s - before[1].time_s
            if 0.5 < step_s * rate_hz / samples < 1.5:
                share: NDArray[np.float64] = np.arange(1.0, samples + 1.0)
                share *= step_s / samples
                share += before[1].time_s
                return share, max(before[1].error_s, newest.error_s)
        return newest.time_s - np.arange(samples - 1, -1, -1) / rate_hz, newest.error_s

    def _at(self, count: int) -> float:
        """The host time of a count by the line as it was last drawn."""
        return self._base.time_s + (count - self._count) * self._slope

    def _draw(self, count: int, arrival_s: float) -> None:
        self._base = self._map.map(count)
        later = self._map.map(count + round(_FOLLOWED_S * 1e6))
        self._count, self._slope = count, (later.time_s - self._base.time_s) / _FOLLOWED_S * 1e-6
        # Between two drawings the line is followed for a while and may be followed back to late packets.
        self.error_s = self._drawn_error_s = max(self._base.error_s, later.error_s)
        self._drawn_s = arrival_s


class BootClocks:
    """Clocks of a node's two newest boot sessions; late packets go to the one before, as in the ledger."""

    def __init__(self, boot: int) -> None:
        self._boot = boot
        self._before: tuple[int, BootClock] | None = None
        self._since_boot = 0
        self.newest = BootClock()

    def of(self, boot: int) -> BootClock:
        if boot == self._boot:
            self._since_boot += 1
            return self.newest
        self._since_boot += 1
        before = self._before
        if before is not None and before[0] == boot and self._since_boot <= LEDGER_DAMAGE_FRAMES:
            return before[1]
        self._before = self._boot, self.newest
        self._boot, self.newest, self._since_boot = boot, BootClock(), 0
        return self.newest
