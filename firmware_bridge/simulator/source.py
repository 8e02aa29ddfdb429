"""``sim://``: virtual nodes in this process, one link each, with every fault of the simulator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from pathlib import Path

from firmware_bridge.items import Item
from firmware_bridge.simulator.faults import Faults
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import Programme, VirtualNode, raw_tables
from firmware_bridge.simulator.wearing import Wearing, wear
from firmware_bridge.sources.base import Source, SourceUrl
from firmware_bridge.sources.replay import parse_speed
from toolkit.errors import LinkError, UsageError
from toolkit.records import Recording

#: How often a simulated node is asked what it has sent.
TICK_S = 0.005
#: What the person does before he walks, in order.
_BEFORE = ("stand", "swing", "contraction")
_FAULTS = tuple(field.name for field in fields(Faults))


def programmes(
    data: str,
    count: int,
    emg_bits: int = 16,
    wearing: Wearing | None = None,
    faults: Faults | None = None,
    seed: int = 0,
) -> list[Programme]:
    """``count`` nodes that play ``data`` in turn: the recordings of a data source (``synthetic``, a dataset TOML, an NPZ), or
    the nodes of a file that ``edgetool record`` wrote, under their own names.

    ``wearing`` says how the person wears the sensors, ``faults`` what becomes of that. UsageError for what ``data`` cannot do.
    """
    from firmware_bridge.simulator.recorded import is_recording, programmes_of
    from toolkit.data import load

    wearing, faults = wearing or Wearing(), faults or Faults()
    if is_recording(Path(data)):
        if wearing.given or faults.of_sensors:
            raise UsageError(
                f"{data} was recorded from sensors as they were worn; mounting, gains, a stand, slips and hum are for "
                "a data source, such as synthetic"
            )
        nodes = programmes_of(Path(data))
        return [_again(nodes[index % len(nodes)], index // len(nodes)) for index in range(count)]
    recordings = load("synthetic:people=1" if data == "synthetic" else data)
    return [
        _worn(recordings[index % len(recordings)], f"virtual {index}", emg_bits, wearing, faults, seed)
        for index in range(count)
    ]


def _worn(
    recording: Recording, name: str, emg_bits: int, wearing: Wearing, faults: Faults, seed: int
) -> Programme:
    first, *later = wear(recording, wearing, faults, seed)
    programme = Programme.of(first.recording, name, emg_bits)
    return replace(
        programme,
        once_s=wearing.before_s,
        later=tuple((one.start_s, raw_tables(programme.descriptor, one.recording)) for one in later),
    )


def _again(programme: Programme, times: int) -> Programme:
    """The same node once more, with a name of its own."""
    if times == 0:
        return programme
    descriptor = programme.descriptor
    return replace(programme, descriptor=replace(descriptor, name=f"{descriptor.name} {times + 1}"))


class SimulatedSource(Source):
    """``speed`` 1 is real time, and the nodes hear the host; any other speed has a clock of its own and no host."""

    def __init__(self, url: SourceUrl) -> None:
        super().__init__(url)
        url.allow("nodes", "speed", "seed", "seconds", "emg_bits", "mounting", "gains", *_BEFORE, *_FAULTS)
        self._count = int(url.number("nodes", 1, 1, 64))
        self._seed = int(url.number("seed", 0, 0, 2**31))
        self._bits = int(url.number("emg_bits", 16, 16, 24))
        self._seconds = url.number("seconds", float("inf"), 0.001, 1e9)
        self._speed = parse_speed(url.options.get("speed", "1"))
        self._wearing = Wearing.parse(
            url.options.get("mounting", ""),
            url.options.get("gains", ""),
            *(url.number(what, 0, 0, 600) for what in _BEFORE),
        )
        self._faults = Faults.parse({k: v for k, v in url.options.items() if k in _FAULTS})
        self._virtual: list[VirtualLink] = []
        self._started_ns = 0
        self._now_s = 0.0

    @property
    def links(self) -> tuple[str, ...]:
        """One a node."""
        return tuple(f"sim {each.node.programme.descriptor.name}" for each in self._opened())

    @property
    def writable(self) -> bool:
        """In real time only."""
        return self._speed == 1.0

    @property
    def origin_ns(self) -> int | None:
        """0 unless in real time: the simulation's own clock."""
        return None if self.writable else 0

    async def open(self) -> None:
        """Load what the nodes play; InputError if that is no recording."""
        played = await asyncio.to_thread(
            programmes, self.url.address, self._count, self._bits, self._wearing, self._faults, self._seed
        )
        self._started_ns = time.monotonic_ns()
        origin_ns = self._started_ns if self.writable else 0
        self._virtual = [
            VirtualLink(VirtualNode(programme, index, self._faults, self._seed), index, origin_ns)
            for index, programme in enumerate(played)
        ]

    async def close(self) -> None:
        """End the iteration."""
        self._virtual = []

    async def write(self, data: bytes, link: int = 0) -> None:
        """What the host says to a node, in real time."""
        if not self.writable:
            await super().write(data, link)
        elapsed_s = (time.monotonic_ns() - self._started_ns) * 1e-9
        self._opened()[link].node.hear(data, elapsed_s)

    async def __aiter__(self) -> AsyncIterator[Item]:
        step = 0
        while self._virtual and self._now_s < self._seconds:
            if self._speed == float("inf"):
                await asyncio.sleep(0)
                self._now_s = min(step * TICK_S, self._seconds)
                step += 1
            else:
                await asyncio.sleep(TICK_S)
                elapsed_s = (time.monotonic_ns() - self._started_ns) * 1e-9 * self._speed
                self._now_s = min(elapsed_s, self._seconds)
            items = [item for each in self._virtual for item in each.advance(self._now_s)]
            for item in sorted(items, key=lambda each: each.arrival_ns):
                yield item

    def _opened(self) -> list[VirtualLink]:
        if not self._virtual:
            raise LinkError(f"source {self.url.text!r} is not open")
        return self._virtual
