"""Moments and status as server-sent events, at a bounded rate, for a bounded number of viewers.

One task reads the daemon; each viewer has a short queue of finished messages. A viewer that is too slow loses the oldest of
them and nobody waits for it: estimates carry sequence numbers, so the page sees the hole.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from runtime.pipeline.estimate import Estimate
from runtime.server.limits import Limits
from runtime.server.tasks import StartTask, start_task
from runtime.status.status import Observed

#: Of the messages while somebody looks, how often the whole status is among them.
STATUS_EVERY = 10
#: Passes a second while nobody looks: the recent past is kept up to date all the same.
_IDLE_HZ = 4.0
#: What a page gets at its start: estimates of the last 10 s, at most 2,000, and changes of state, at most 500.
RECENT_S = 10.0
_RECENT_MOST = 2000
_CHANGES_MOST = 500
#: Estimates that wait between two passes: a second of them at 1 kHz.
_QUEUE = 1000
#: Messages that wait for one viewer: a second and a half.
VIEWER_QUEUE = 30


class Viewer:
    """One open event stream: ``next`` gives its messages; the oldest is dropped when it is too slow."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque(maxlen=VIEWER_QUEUE)
        self._news = asyncio.Event()
        self.closed = False
        self.dropped = 0

    def put(self, message: bytes) -> None:
        """Add a message."""
        self.dropped += len(self._waiting) == VIEWER_QUEUE
        self._waiting.append(message)
        self._news.set()

    def close(self) -> None:
        """No more messages: the daemon ends."""
        self.closed = True
        self._news.set()

    async def next(self) -> bytes | None:
        """All messages that wait, as one block; None at the end."""
        while not self._waiting:
            if self.closed:
                return None
            self._news.clear()
            await self._news.wait()
        block = b"".join(self._waiting)
        self._waiting.clear()
        return block


class Feed:
    """``start``, then ``join`` a viewer and ``leave`` it. ``machine`` gives figures of the computer for the status.

    ``clock_ns`` may have any origin: a replay's estimates have times of a clock of their own, and the newest estimate tells it.
    """

    def __init__(
        self,
        observed: Observed,
        machine: Callable[[], dict[str, Any]],
        most_viewers: int = 8,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        start: StartTask = start_task,
        rate_hz: float = Limits.rate_hz,
    ) -> None:
        self._start, self._period_s = start, 1 / rate_hz
        self._observed = observed
        self._machine = machine
        self._most_viewers = most_viewers
        self._clock_ns = clock_ns
        #: Clock of the estimates less our own, as far as their journey here shows.
        self._ahead_ns = -(1 << 62)
        self._queue: asyncio.Queue[Estimate] = asyncio.Queue(_QUEUE)
        self._recent: deque[Estimate] = deque(maxlen=_RECENT_MOST)
        self._changes: deque[tuple[int, int, tuple[str, ...]]] = deque(maxlen=_CHANGES_MOST)
        self._viewers: set[Viewer] = set()
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        #: Messages that slow viewers missed, and viewers turned away.
        self.dropped = 0
        self.refused = 0

    @property
    def viewers(self) -> int:
        """How many look now."""
        return len(self._viewers)

    async def start(self) -> None:
        """Read the daemon from now on."""
        self._observed.subscribe(self._queue)
        self._task = self._start("dashboard feed", self._run)

    async def stop(self) -> None:
        """End all streams."""
        self._observed.unsubscribe(self._queue)
        for viewer in self._viewers:
            viewer.close()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def join(self) -> Viewer | None:
        """A new viewer with the recent past in its queue, or None if there are too many."""
        if len(self._viewers) >= self._most_viewers:
            self.refused += 1
            return None
        self._read_queue()
        viewer = Viewer()
        viewer.put(self._hello())
        self._viewers.add(viewer)
        self._arrived.set()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """The viewer is gone."""
        self.dropped += viewer.dropped
        self._viewers.discard(viewer)

    async def _run(self) -> None:
        count = 0
        while True:
            estimates = self._read_queue()
            if self._viewers:
                self._send(_event("tick", self._tick(estimates)))
                if count % STATUS_EVERY == 0:
                    self._send(_event("status", self._status()))
                count += 1
                await asyncio.sleep(self._period_s)
            else:
                self._arrived.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._arrived.wait(), 1 / _IDLE_HZ)

    def _read_queue(self) -> list[Estimate]:
        estimates = []
        while not self._queue.empty():
            estimates.append(self._queue.get_nowait())
        if estimates:
            ahead_ns = estimates[-1].published_ns - self._clock_ns()
            if ahead_ns > self._ahead_ns or self._ahead_ns - ahead_ns > 1_000_000_000:
                self._ahead_ns = ahead_ns
        for estimate in estimates:
            self._recent.append(estimate)
            change = (estimate.state.rank, estimate.reasons)
            if not self._changes or self._changes[-1][1:] != change:
                self._changes.append((estimate.published_ns, *change))
        return estimates

    def _now_ns(self) -> int:
        return self._clock_ns() + (self._ahead_ns if self._recent else 0)

    def _send(self, message: bytes) -> None:
        for viewer in self._viewers:
            viewer.put(message)

    def _hello(self) -> bytes:
        now_ns = self._now_ns()
        recent = [m for m in self._recent if now_ns - m.published_ns <= RECENT_S * 1e9]
        return _event(
            "hello",
            {
                "now_s": now_ns * 1e-9,
                "moments": _rows(recent),
                "changes": [[ns * 1e-9, rank, reasons] for ns, rank, reasons in self._changes],
            },
        ) + _event("status", self._status())

    def _tick(self, estimates: list[Estimate]) -> dict[str, Any]:
        status = self._observed.status()
        return {
            "now_s": self._now_ns() * 1e-9,
            "state": status.state.value,
            "reasons": status.reasons,
            "in_state_s": status.in_state_s,
            "moments": _rows(estimates),
            "streams": [each.last for each in status.streams],
        }

    def _status(self) -> dict[str, Any]:
        return full_status(self._observed, self._machine())


def full_status(observed: Observed, machine: dict[str, Any]) -> dict[str, Any]:
    """The status as JSON values, with the quantiles that a page shows and the figures of the computer."""
    status = observed.status()
    value = status.to_json()
    for name, histogram in (
        ("age", status.age),
        ("source_age", status.source_age),
        ("engine_time", status.engine_time),
    ):
        value[name]["p50_ms"], value[name]["p99_ms"] = histogram.quantile_ms(0.5), histogram.quantile_ms(0.99)
    value["machine"] = machine
    return value


def _rows(estimates: Iterable[Estimate]) -> list[list[Any]]:
    """Of each estimate: sequence, publication in s, rank of the state, age in ms, values (none to show: empty), source in s,
    half widths (empty where there are none)."""
    return [
        [
            m.sequence,
            m.published_ns * 1e-9,
            m.state.rank,
            m.age_ms,
            m.values,
            m.source_ns * 1e-9,
            m.half_widths,
        ]
        for m in estimates
    ]


def _event(kind: str, value: dict[str, Any]) -> bytes:
    # Values that are not finite never leave the estimator; should one, the page gets null and not broken JSON.
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(value), separators=(",", ":"))
    return f"event: {kind}\ndata: {text}\n\n".encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and value - value != 0 else value
