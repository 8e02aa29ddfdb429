"""What a host says to nodes that stream: start, and a sync request on every link about twice a second."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable

from firmware_bridge.items import Item, LinkChange
from firmware_bridge.protocol.framing import FrameWriter, Packet
from firmware_bridge.protocol.packets import Command, SyncRequest
from firmware_bridge.protocol.table import ANY_NODE, MIN_FRAME_BYTES, CommandCode
from firmware_bridge.sources.base import Source
from toolkit.errors import LinkError

#: Time from one sync request to the next, drawn anew each time: sources that were opened together must not go on asking
#: together, for the answers come in one burst; and a request that always meets the same phase of a link learns less.
#: Half a second: with one request a second, 10 ms of jitter leave errors above 1 ms (python -m benchmarks.studies.clock_error).
SYNC_S = (0.375, 0.625)


class Host:
    """Writes to all links of one source. A link that is down is passed over: it is asked again when it is up."""

    def __init__(self, source: Source, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._source = source
        self._clock_ns = clock_ns
        boot = os.urandom(1)[0]
        # Requests of a host are small: they fit the smallest frame of any link.
        self._writers = [FrameWriter(ANY_NODE, boot, MIN_FRAME_BYTES) for _ in source.links]

    async def start(self) -> None:
        """Ask all nodes for their descriptors and data."""
        for link in range(len(self._writers)):
            await self._send(link, Command(CommandCode.START))

    async def sync(self) -> None:
        """Send one sync request on every link."""
        for link in range(len(self._writers)):
            await self._send(link, SyncRequest(self._clock_ns()))

    async def ask(self) -> None:
        """Start all nodes and go on asking for the time, until cancelled."""
        await self.start()
        while True:
            await self.sync()
            await asyncio.sleep(random.uniform(*SYNC_S))

    async def heard(self, item: Item) -> None:
        """A link that has come up is asked to stream."""
        if isinstance(item, LinkChange) and item.up:
            await self._send(item.link, Command(CommandCode.START))

    async def stop(self) -> None:
        """Ask all nodes to stop streaming."""
        for link in range(len(self._writers)):
            await self._send(link, Command(CommandCode.STOP))

    async def _send(self, link: int, packet: Packet) -> None:
        for frame in self._writers[link].frames(packet, 0):
            try:
                await self._source.write(frame, link)
            except (LinkError, OSError):
                return  # the source says what is the matter, in its items
