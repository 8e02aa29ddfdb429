"""Nodes by hand for the stories of this folder: descriptors, and chunks of frames with times of one's choice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from firmware_bridge.items import Chunk
from firmware_bridge.protocol.framing import FrameWriter, Packet
from firmware_bridge.protocol.packets import ChannelDescriptor, Data, Descriptor, StreamDescriptor
from firmware_bridge.protocol.table import Format

BEGUN_NS = 1_000_000_000_000


def described(
    name: str, stream: str = "imu", channels: int = 2, rate_hz: float = 100.0, scale: float = 1.0
) -> Descriptor:
    """A node with one stream, number 0, of int16."""
    each = tuple(ChannelDescriptor(f"c{place}", "m/s^2", scale) for place in range(channels))
    return Descriptor(name, (StreamDescriptor(0, stream, Format.INT16, rate_hz, each),))


def data(first: int, samples: int = 1, channels: int = 2, value: int = 1) -> Data:
    """Samples of stream 0, all of ``value``."""
    return Data.of(0, Format.INT16, first, np.full((samples, channels), value, np.int32))


class Node:
    """Writes frames; its clock starts at 1 s when the host's time since :data:`BEGUN_NS` is 0."""

    def __init__(self, number: int = 1, boot: int = 1, link: int = 0) -> None:
        self.link, self._writer = link, FrameWriter(number, boot)

    def chunk(self, now_s: float, packets: Sequence[Packet], stamp_s: float | None = None) -> Chunk:
        """``packets`` in one read at ``now_s``, stamped 1 ms before unless ``stamp_s`` says another time."""
        stamp = round((now_s - 0.001 if stamp_s is None else stamp_s) * 1e6) + 1_000_000
        wire = b"".join(
            frame for packet in packets for frame in self._writer.frames(packet, stamp % (1 << 32))
        )
        return Chunk(self.link, BEGUN_NS + round(now_s * 1e9), wire)
