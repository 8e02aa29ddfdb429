"""The worked example of CONTRIBUTING, "Add a sensor that somebody else made": the one file that such a sensor takes.

Its library gives samples with stamps; the frames of PROTOCOL.md are made of them, so that ledger, recording, replay and the
daemon treat it as any node. Beside this file it takes one row of ``firmware_bridge/sources/__init__.py`` and a test.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from firmware_bridge.protocol.packets import ChannelDescriptor, Descriptor, StreamDescriptor
from firmware_bridge.protocol.table import Format
from firmware_bridge.sources.base import SourceUrl
from firmware_bridge.sources.sample_node import SampleClock, SampleNode
from firmware_bridge.sources.threaded import ThreadedSource

RATE_HZ = 200.0


class ExampleSource(ThreadedSource):
    """``example://NAME``: a goniometer of one angle. A real one would import its maker's library in :meth:`connect`."""

    def __init__(self, url: SourceUrl) -> None:
        super().__init__(url)
        url.allow()
        self._boot = -1

    @property
    def links(self) -> tuple[str, ...]:
        """The sensor."""
        return (f"example {self.url.address}",)

    def connect(self) -> None:
        """Open the sensor and say what it measures; after each time its samples and its clock begin anew."""
        angle = ChannelDescriptor("angle", "deg", 1.0)
        stream = StreamDescriptor(0, "knee", Format.FLOAT32, RATE_HZ, (angle,))
        self._boot = (self._boot + 1) % 256
        self._node = SampleNode(Descriptor(self.url.address, (stream,), hardware="example"), self._boot)
        self._clock = SampleClock(RATE_HZ)
        self._read_s = time.monotonic()

    def read(self) -> Iterator[bytes]:
        """Frames as samples come. A lost sensor is a LinkError, after which :meth:`connect` is tried again."""
        while True:
            self.stopping.wait(0.01)
            now_s = time.monotonic()
            out = self._node.housekeeping(now_s)
            stamps_s = np.arange(np.ceil(self._read_s * RATE_HZ), np.ceil(now_s * RATE_HZ)) / RATE_HZ
            self._read_s = now_s
            numbers, times_s = self._clock.number_samples(stamps_s)
            angles = 40.0 + 20.0 * np.sin(2 * np.pi * stamps_s)
            yield out + self._node.samples(0, numbers, times_s, angles[:, None].astype(np.float32))

    def disconnect(self) -> None:
        """Let go of the sensor; must not raise."""
