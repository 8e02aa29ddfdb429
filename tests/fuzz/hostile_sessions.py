"""Whole sessions of hostile sensors: frames with valid CRCs whose content is as bad as a sender can make it.

One honest node speaks on link 0, and what it sends is known; the others change their descriptors, clocks, numbers, tokens and
links as a seed says. Everything follows from the seed.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from firmware_bridge.items import Chunk, Item, LinkChange
from firmware_bridge.protocol.framing import Frame, FrameWriter, encode_frame
from firmware_bridge.protocol.packets import (
    ChannelDescriptor,
    Data,
    Descriptor,
    Status,
    StreamDescriptor,
    SyncReply,
    SyncRequest,
)
from firmware_bridge.protocol.table import ANY_NODE, FORMAT_BYTES, Format, PacketType
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import Programme, VirtualNode
from toolkit.contract import SensorContract, StreamSpec

HONEST = "honest"
_TURN = 1 << 32
_UNITS = ("m/s^2", "rad/s", "g", "uV", "mV", "1", "deg")
#: Single precision at its ends, denormal numbers among them, and rates of sensors.
_RATES = (1.5e-45, 1e-38, 1e-3, 0.5, 20.0, 50.0, 100.0, 100.0, 200.0, 200.0, 1_000.0, 19_999.0, 1e6, 3.4e38)
_SCALES = (1.0, 0.001, -0.5, 1.5e-45, 3.4e38, -3.4e38)


def honest_node(contract: SensorContract, seed: int) -> VirtualNode:
    """A node that measures what ``contract`` asks for: seeded noise within its range, never twice in a session."""
    draw = np.random.default_rng([seed, 77])
    streams, tables = [], {}
    for number, item in enumerate(contract.inputs):
        spec = item.stream
        channels = tuple(ChannelDescriptor(c.name, c.unit, 0.001, 32.767) for c in spec.channels)
        streams.append(StreamDescriptor(number, spec.name, Format.INT16, spec.rate_hz, channels))
        tables[number] = draw.integers(-30_000, 30_000, (20_000, len(channels)), dtype=np.int32)
    return VirtualNode(Programme(Descriptor(HONEST, tuple(streams)), tables), 0, seed=seed)


@dataclass(eq=False)
class HostileNode:
    """What one bad sensor has in mind. ``specs`` are the streams that it may pretend to have."""

    draw: random.Random
    link: int
    number: int
    specs: tuple[StreamSpec, ...]
    may_be: tuple[str, ...]
    boot: int = 0
    sequence: int = 0
    device_us: int = 1
    descriptor: Descriptor | None = None
    first: dict[int, int] = field(default_factory=dict)
    rate: float = 1.0

    def __post_init__(self) -> None:
        self.boot = self.draw.randrange(256)
        self.sequence = self.draw.choice((0, 0, 5, _TURN - 3, 1 << 24, self.draw.randrange(_TURN)))
        self.device_us = self.draw.choice((0, 1, _TURN - 200_000, self.draw.randrange(_TURN)))
        self.rate = self.draw.choice((1.0, 1.0, 1.0, 1.0005, 0.0, -1.0, 3.0, 1_000.0))
        #: Described, and silent.
        self.dead = self.draw.random() < 0.1

    def speak(self, now_ns: int, elapsed_s: float) -> bytes:
        """The bytes of one read at ``now_ns``, ``elapsed_s`` after the one before."""
        draw = self.draw
        self.device_us = (self.device_us + round(elapsed_s * 1e6 * self.rate)) % _TURN
        if draw.random() < 0.03:
            self.boot, self.first = draw.choice((self.boot, (self.boot + 1) % 256, draw.randrange(256))), {}
            self.sequence, self.device_us = (
                draw.choice((0, 0, self.sequence)),
                draw.choice((1, 0, self.device_us)),
            )
        if draw.random() < 0.02:
            self.device_us = (
                draw.choice(
                    (0, self.device_us + 29_000_000, self.device_us - 3_000_000, draw.randrange(_TURN))
                )
                % _TURN
            )
        wire = b"".join(self._frames(now_ns) for _ in range(draw.randint(0, 6)))
        if draw.random() < 0.05 and wire:
            damaged = bytearray(wire)
            for _ in range(draw.randint(1, 20)):
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
            wire = bytes(damaged)
        if draw.random() < 0.02:
            wire = wire[draw.randrange(len(wire) + 1) :] + draw.randbytes(draw.choice((0, 3, 600)))
        return wire

    def _frames(self, now_ns: int) -> bytes:
        draw = self.draw
        what = draw.random()
        if self.descriptor is None or what < 0.06:
            self.descriptor = self._describe()
            return self._send(self.descriptor.TYPE, bytes(self.descriptor))
        if self.dead:
            return self._send(Status.TYPE, bytes(Status()))
        if what < 0.75:
            return self._data()
        if what < 0.87:
            return self._reply(now_ns)
        if what < 0.92:
            return self._send(draw.randrange(128), draw.randbytes(draw.choice((0, 4, 20, 400))))
        if what < 0.95:
            # A part of a message that may never come whole, or that does not fit the others.
            part, parts = draw.choice(((0, 2), (1, 2), (0, 255), (254, 255), (3, 7)))
            return self._send(draw.choice((1, 2, 5)), draw.randbytes(draw.choice((0, 40, 400))), part, parts)
        return self._send(
            Status.TYPE, bytes(Status(draw.choice((0, 100, 255)), samples_dropped=draw.randrange(_TURN)))
        )

    def _describe(self) -> Descriptor:
        """Often what the model wants, or nearly; else anything that the page allows."""
        draw = self.draw
        streams: list[StreamDescriptor] = []
        for spec in draw.sample(self.specs, draw.randint(1, len(self.specs))):
            width = draw.choice((len(spec.channels), len(spec.channels), 1, 2, 3, 64))
            names = [c.name for c in spec.channels] + [f"more {place}" for place in range(64)]
            units = [c.unit for c in spec.channels] + [draw.choice(_UNITS)] * 64
            scale = draw.choice((0.001, 0.001, *_SCALES))
            channels = tuple(
                ChannelDescriptor(n, u, scale, draw.choice((0.0, 30.0))) for n, u in zip(names[:width], units)
            )
            number = draw.choice([n for n in (0, 1, 2, 255) if n not in {each.stream for each in streams}])
            rate_hz = draw.choice((spec.rate_hz, spec.rate_hz, spec.rate_hz, *_RATES))
            streams.append(StreamDescriptor(number, spec.name, draw.choice(list(Format)), rate_hz, channels))
        name = draw.choice(self.may_be)
        try:
            return Descriptor(name, tuple(streams))
        except Exception:  # larger than a message may be: fewer channels then
            return Descriptor(
                name,
                tuple(
                    StreamDescriptor(s.stream, s.name, s.format, s.rate_hz, s.channels[:2]) for s in streams
                ),
            )

    def _data(self) -> bytes:
        draw = self.draw
        assert self.descriptor is not None
        stream = draw.choice(self.descriptor.streams)
        width = len(stream.channels) if draw.random() < 0.95 else draw.randint(1, 64)
        form = stream.format if draw.random() < 0.95 else draw.choice(list(Format))
        most = max(1, 480 // (width * FORMAT_BYTES[form]))
        samples = min(draw.choice((1, 2, 4, 255)), most)
        raw = draw.choice(
            (bytes, draw.randbytes, lambda size: b"\xff" * size, lambda size: b"\x7f\x80" * (size // 2 + 1))
        )(samples * width * FORMAT_BYTES[form])[: samples * width * FORMAT_BYTES[form]]
        number = stream.stream if draw.random() < 0.97 else draw.randrange(256)
        first = self.first.get(number, draw.choice((0, _TURN - 10)))
        if draw.random() < 0.05:
            first = draw.choice((draw.randrange(_TURN), first + (1 << 31), first - 5, first + 100, 0)) % _TURN
        self.first[number] = (first + samples) % _TURN
        payload = struct.pack("<BBBBI", number, int(form), width, samples, first) + raw
        if draw.random() < 0.02:
            payload = payload[: draw.randrange(len(payload))]
        return self._send(Data.TYPE, payload)

    def _reply(self, now_ns: int) -> bytes:
        draw = self.draw
        token = draw.choice(
            (
                now_ns - draw.randrange(50_000_000),
                now_ns,
                now_ns + 10**9,
                now_ns - 9 * 10**9,
                draw.randrange(1 << 64),
            )
        )
        received = draw.choice(
            (self.device_us, self.device_us - 2_000, self.device_us + 5_000_000, draw.randrange(_TURN))
        )
        return self._send(SyncReply.TYPE, bytes(SyncReply(token % (1 << 64), received % _TURN)))

    def _send(self, kind: int, payload: bytes, part: int = 0, parts: int = 1) -> bytes:
        draw, wire = self.draw, b""
        stamp = self.device_us if draw.random() < 0.97 else 0
        if draw.random() < 0.02:
            self.sequence = (
                draw.choice(
                    (self.sequence + 40, self.sequence - 10, self.sequence + (1 << 25), draw.randrange(_TURN))
                )
                % _TURN
            )
        if parts == 1 and kind in (PacketType.DESCRIPTOR, PacketType.DATA):
            writer = FrameWriter(self.number, self.boot, draw.choice((64, 512, 512)), self.sequence)
            if kind == PacketType.DATA and writer.room < len(payload):
                writer = FrameWriter(self.number, self.boot, 512, self.sequence)
            frames = [encode_frame(frame) for frame in writer._split(kind, payload, stamp)]
            self.sequence = writer.sequence
        else:
            frames = [
                encode_frame(Frame(kind, self.number, self.boot, self.sequence, stamp, payload, part, parts))
            ]
            self.sequence = (self.sequence + 1) % _TURN
        for frame in frames:
            chance = draw.random()
            wire += b"" if chance < 0.02 else frame * 2 if chance > 0.98 else frame
        return wire


class HostileSession:
    """Iterate it for the items; ``honest`` is the link whose truth is known."""

    def __init__(
        self, seed: int, contract: SensorContract, seconds: float = 4.0, begun_ns: int = 10**12
    ) -> None:
        self.draw = draw = random.Random(seed)
        self.seconds, self.begun_ns = seconds, begun_ns
        self.honest = VirtualLink(honest_node(contract, seed), 0, begun_ns, keep_sent=True)
        specs = tuple(item.stream for item in contract.inputs)
        #: Whether a hostile node may call itself as the honest one does, and whether one may send as it on its own link.
        self.same_name, self.same_number = draw.random() < 0.15, draw.random() < 0.1
        others = [StreamSpec("other", 10.0, specs[0].channels[:1])]
        if self.same_name:  # or its stream as the honest one's is called in full
            others.append(StreamSpec(f"{HONEST}/{specs[0].name}", 50.0, specs[0].channels))
        names = ("a", "b", "a", *((HONEST,) if self.same_name else ()))
        self.links = draw.randint(1, 4)
        places = {
            (draw.randrange(self.links), draw.choice((1, 2, 3, 200, 254))) for _ in range(draw.randint(1, 5))
        }
        if self.same_number:
            places.add((0, 0))
        self.hostile = [
            HostileNode(draw, link, number, (*specs, *others), names) for link, number in sorted(places)
        ]

    def __iter__(self) -> Iterator[Item]:
        draw, now_s, down = self.draw, 0.0, set[int]()
        request = FrameWriter(ANY_NODE, 1, 64)
        asked_s = 0.0
        while now_s < self.seconds:
            step_s = draw.choice((0.0, 0.001, 0.005, 0.01, 0.03))
            if draw.random() < 0.003:
                step_s = draw.choice((0.5, 3.0))
            now_s += step_s
            now_ns = self.begun_ns + round(now_s * 1e9)
            if now_s - asked_s > 0.4:
                asked_s = now_s
                self.honest.node.hear(request.frames(SyncRequest(now_ns), 0)[0], now_s + 0.0005)
            yield from self.honest.advance(now_s)
            node = draw.choice(self.hostile)
            if draw.random() < 0.01 and node.link:
                up = node.link in down
                down ^= {node.link}
                yield LinkChange(node.link, now_ns, up, "pulled out")
                if up and draw.random() < 0.5:  # replugged: another node, or the same one started anew
                    node.number = draw.choice((node.number, draw.randrange(1, 255)))
                    node.boot, node.sequence, node.descriptor = draw.randrange(256), 0, None
            if node.link in down:
                continue
            wire = node.speak(now_ns, step_s * len(self.hostile))
            if node.link == 0:
                wire += b"\0"  # it shares a line with the honest node, and does not swallow its next frame
            while wire:
                size = draw.choice((len(wire), len(wire), draw.randint(1, len(wire))))
                if node.link == 0:
                    size = len(wire)
                yield Chunk(node.link, now_ns, wire[:size])
                wire = wire[size:]
