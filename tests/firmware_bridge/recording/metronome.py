"""Records 8 nodes that never stop, until it is killed: ``python metronome.py OUT LAST``.

Each node is 6 int16 at 200 Hz and 4 int16 at 1 kHz, 45 packets a second, as in the load figures. LAST is a mapped file that
holds the arrival time of the newest chunk that the recorder was given: it survives the death of the process.
"""

from __future__ import annotations

import asyncio
import mmap
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np

from firmware_bridge.items import Chunk, Item
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.packets import (
    ChannelDescriptor,
    Data,
    Descriptor,
    StreamDescriptor,
)
from firmware_bridge.protocol.table import Format
from firmware_bridge.sources.base import Source, SourceUrl
from firmware_bridge.tools.record import record

NODES = 8
#: 25 samples at 1 kHz and 5 at 200 Hz every 25 ms: two packets a node.
PERIOD_NS = 25_000_000


def descriptor(number: int) -> Descriptor:
    """What each node says it is."""
    imu = tuple(ChannelDescriptor(f"imu{i}", "m/s^2", 0.0048) for i in range(6))
    emg = tuple(ChannelDescriptor(f"emg{i}", "uV", 0.2) for i in range(4))
    streams = (
        StreamDescriptor(0, "imu", Format.INT16, 200.0, imu),
        StreamDescriptor(1, "emg", Format.INT16, 1000.0, emg),
    )
    return Descriptor(f"node {number}", streams)


class Metronome(Source):
    """Eight links, a node each, spread evenly over the period."""

    def __init__(self, last: mmap.mmap) -> None:
        super().__init__(SourceUrl("metronome", "metronome", ""))
        self._last = last

    @property
    def links(self) -> tuple[str, ...]:
        return tuple(f"metronome {number}" for number in range(NODES))

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[Item]:
        writers = [FrameWriter(0, 1, 244) for _ in range(NODES)]
        for link, writer in enumerate(writers):
            for frame in writer.frames(descriptor(link), 1):
                yield self._chunk(link, frame)
        start, turn = time.monotonic_ns(), 0
        while True:
            beat, link = divmod(turn, NODES)
            due = start + turn * PERIOD_NS // NODES
            await asyncio.sleep(max(0.0, (due - time.monotonic_ns()) * 1e-9))
            imu = np.full((5, 6), beat % 30_000)
            emg = np.full((25, 4), beat % 30_000)
            stamp = (beat + 1) * PERIOD_NS // 1000
            for packet in (Data.of(0, Format.INT16, beat * 5, imu), Data.of(1, Format.INT16, beat * 25, emg)):
                for frame in writers[link].frames(packet, stamp):
                    yield self._chunk(link, frame)
            turn += 1

    def _chunk(self, link: int, frame: bytes) -> Chunk:
        now = time.monotonic_ns()
        self._last[:8] = now.to_bytes(8, "little")
        return Chunk(link, now, frame)


def main() -> None:
    """Never returns."""
    with Path(sys.argv[2]).open("r+b") as file, mmap.mmap(file.fileno(), 8) as last:
        asyncio.run(record(Metronome(last), Path(sys.argv[1])))


if __name__ == "__main__":
    main()
