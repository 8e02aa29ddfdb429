"""How a link is doing, now: streams, rates, ledger, clock, gaps. ``edgetool monitor`` and any notebook."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from firmware_bridge.items import Item, LinkChange
from firmware_bridge.sources import open_source
from firmware_bridge.sources.base import Source, require_seconds
from firmware_bridge.sources.host import Host
from firmware_bridge.sources.several import SeveralSources
from firmware_bridge.streams.receiver import NodeKey
from firmware_bridge.streams.session import Session, SessionStep

#: Rates are measured over this long.
_RATE_S = 2.0
_SHOW_S = 0.25
_ARRIVALS = 2_000


@dataclass
class StreamHealth:
    """One stream: nominal and measured rate in Hz, samples, rows of its axis, and how many of those fill gaps."""

    node: str
    stream: str
    channels: int
    nominal_hz: float
    measured_hz: float | None = None
    samples: int = 0
    rows: int = 0
    rows_in_gaps: int = 0
    _recent: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_ARRIVALS), repr=False)

    def count_samples(self, count: int, arrival_s: float) -> None:
        """Count samples that arrived."""
        self.samples += count
        self._recent.append((arrival_s, count))
        while arrival_s - self._recent[0][0] > _RATE_S:
            self._recent.popleft()
        span_s = arrival_s - self._recent[0][0]
        if span_s > _RATE_S / 4:
            # The first packet's samples were taken before the span began.
            self.measured_hz = (sum(n for _, n in self._recent) - self._recent[0][1]) / span_s


class Check(Protocol):
    """Holds sensors against a model: something above this package."""

    def observe(self, item: Item) -> None:
        """One more item."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What is known now, plain JSON."""
        ...


@dataclass(eq=False)
class Health:
    """Fed with all steps of a session; :meth:`to_json` is what a monitor shows. ``check`` sees every item as well."""

    session: Session
    check: Check | None = None
    streams: dict[tuple[NodeKey, int], StreamHealth] = field(default_factory=dict)
    links: dict[int, str] = field(default_factory=dict)
    #: When the newest chunks of all links came, host monotonic s.
    arrivals_s: deque[float] = field(default_factory=lambda: deque(maxlen=_ARRIVALS))

    def count(self, item: Item, step: SessionStep) -> None:
        """Count one step."""
        if self.check is not None:
            self.check.observe(item)
        if isinstance(item, LinkChange):
            self.links[item.link] = ("up: " if item.up else "down: ") + item.reason
        else:
            self.arrivals_s.append(item.arrival_ns * 1e-9)
        for each in step.samples:
            place = (each.key, each.stream.stream)
            if place not in self.streams:
                name = self.session.receiver.name(each.key)
                self.streams[place] = StreamHealth(
                    name, each.stream.name, len(each.stream.channels), each.stream.rate_hz
                )
            self.streams[place].count_samples(len(each.values), item.arrival_ns * 1e-9)
        for place, name in self.session.names.items():
            rows = step.rows.get(name)
            if rows is not None and place in self.streams:
                self.streams[place].rows += len(rows.valid)
                self.streams[place].rows_in_gaps += int((~rows.valid).sum())

    def to_json(self) -> dict[str, Any]:
        """Streams, ledger, clocks (skew in ppm, error bar in ms), batteries and links as JSON values.

        In order of link, node and stream, whichever came first; ``sensors`` is what the check says.
        """
        clocks = {}
        for key in sorted(self.session.receiver.descriptors):
            clock = self.session.clock(key)
            status = self.session.status.get(key)
            known = clock is not None and clock.error_s < float("inf")
            clocks[f"{key.link}/{key.node}"] = {
                "name": self.session.receiver.name(key),
                "skew_ppm": clock.skew_ppm if clock is not None and known else None,
                "error_ms": clock.error_s * 1e3 if clock is not None and known else None,
                "synced": clock.synced if clock is not None else False,
                "samples_dropped": status.samples_dropped if status else None,
                "battery_percent": status.battery_percent
                if status and status.battery_percent <= 100
                else None,
            }
        streams = [asdict(stream) for _, stream in sorted(self.streams.items(), key=lambda entry: entry[0])]
        for stream in streams:
            del stream["_recent"]
        said = {} if self.check is None else {"sensors": self.check.to_json()}
        return said | {
            "streams": streams,
            "nodes": clocks,
            "ledger": self.session.receiver.ledger(),
            "links": {str(link): text for link, text in sorted(self.links.items())},
            "undescribed_packets": self.session.undescribed,
            "untimed_packets": self.session.untimed,
        }


async def monitor(
    sources: Sequence[str] | Source,
    seconds: float | None = None,
    show: Callable[[Health], None] | None = None,
    stop: asyncio.Event | None = None,
    check: Check | None = None,
) -> Health:
    """Follow ``sources`` for ``seconds`` (None: until they end) or until ``stop`` is set; calls ``show`` four times a second.

    ``check`` sees every item, and its words are in the state. Raises LinkError when a source cannot be opened or all fail.
    """
    require_seconds(seconds)
    source = sources if isinstance(sources, Source) else SeveralSources([open_source(url) for url in sources])
    health = Health(Session(), check)
    async with source:
        host = Host(source) if source.writable else None
        asking = asyncio.create_task(host.ask()) if host is not None else None
        following = asyncio.create_task(_follow(source, host, health, show))
        waiting = {following} | ({asyncio.create_task(_until(stop))} if stop is not None else set())
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()
        finally:
            tasks = [*waiting, *([asking] if asking is not None else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return health


async def _follow(
    source: Source, host: Host | None, health: Health, show: Callable[[Health], None] | None
) -> None:
    shown_s = 0.0
    async for item in source:
        health.count(item, health.session.process(item))
        if host is not None:
            await host.heard(item)
        if show is not None and time.monotonic() - shown_s >= _SHOW_S:
            shown_s = time.monotonic()
            show(health)


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()
