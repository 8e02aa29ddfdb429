"""A node made of software: plays a recording as the frames that PROTOCOL.md asks of a sensor, with a clock of its own.

Time is injected: ``advance(now_s)`` gives what the node has sent up to then. Host times are seconds since the simulation began;
the node's crystal runs ``drift_ppm`` fast of them. Everything follows from the programme, the faults and the seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.protocol.decoder import HOST_PACKETS, AnyPacket, LinkDecoder
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.packets import (
    ChannelDescriptor,
    Command,
    Data,
    Descriptor,
    Status,
    StreamDescriptor,
    SyncReply,
    SyncRequest,
)
from firmware_bridge.protocol.table import (
    FORMAT_BYTES,
    MAX_FRAME_BYTES,
    MAX_SAMPLES,
    CommandCode,
    Format,
)
from firmware_bridge.simulator.faults import Faults
from toolkit.contract import VOLTS
from toolkit.records import Recording

#: Full scales of the usual sensors, by unit: 16 g, 2,000 deg/s, surface EMG amplifiers, an envelope over its maximum.
_FULL_SCALE = {
    "m/s^2": 156.9064,
    "rad/s": 34.906585,
    "g": 16.0,
    "deg/s": 2000.0,
    "V": 0.006,
    "mV": 6.0,
    "uV": 6000.0,
    "1": 2.0,
}
#: The largest raw values.
_LIMITS = {Format.INT16: (1 << 15) - 1, Format.INT24: (1 << 23) - 1}
STATUS_S = 1.0
DESCRIPTOR_S = 5.0
#: A node collects samples for at most this long, so that a packet is never older.
PACKET_S = 0.02
_TURN = 1 << 32


#: Raw values of a stream, (rows, channels).
Table = NDArray[np.int32] | NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Programme:
    """What a node measures: its descriptor and, per stream number, raw values (rows, channels), played in a circle.

    The first ``once_s`` of them are played once, at the beginning. ``later``: other values from a time (s) on, of the same
    person at the same moments.
    """

    descriptor: Descriptor
    tables: Mapping[int, Table]
    once_s: float = 0.0
    later: tuple[tuple[float, Mapping[int, Table]], ...] = ()

    @classmethod
    def of(cls, recording: Recording, name: str, emg_bits: int = 16) -> Programme:
        """``recording``'s signals quantised as a sensor would: int16, or int24 for electric units if ``emg_bits`` is 24."""
        streams = []
        for number, (label, signal) in enumerate(recording.signals.items()):
            electric = all(channel.unit in VOLTS for channel in signal.spec.channels)
            form = Format.INT24 if electric and emg_bits == 24 else Format.INT16
            limit = _LIMITS[form]
            channels = []
            for index, channel in enumerate(signal.spec.channels):
                peak = float(np.abs(signal.samples[:, index]).max())
                full_scale = _FULL_SCALE.get(channel.unit, max(peak, 1.0))
                while full_scale < peak:  # the sensor's next range
                    full_scale *= 2
                channels.append(ChannelDescriptor(channel.name, channel.unit, full_scale / limit, full_scale))
            streams.append(StreamDescriptor(number, label, form, signal.spec.rate_hz, tuple(channels)))
        descriptor = Descriptor(name, tuple(streams), hardware="edgetool virtual node")
        return cls(descriptor, raw_tables(descriptor, recording))

    def rows(self, stream: StreamDescriptor, first: int, count: int, time_s: float) -> Table:
        """Raw values of the samples from number ``first`` on, as they are at ``time_s``."""
        tables = self.tables
        for start_s, other in self.later:
            tables = other if start_s <= time_s else tables
        table = tables[stream.stream]
        once = min(round(self.once_s * stream.rate_hz), len(table) - 1)
        numbers = np.arange(first, first + count)
        looped: Table = table[
            np.where(numbers < once, numbers, once + (numbers - once) % (len(table) - once))
        ]
        return looped

    def faster(self, speed: float) -> Programme:
        """The same samples from a sensor of ``speed`` times the rate: all of it in 1 / speed of the time, and nothing is false.

        Stamps, sequence numbers and the stated rates are those of such a sensor; only the motion is played in haste.
        """
        streams = tuple(replace(stream, rate_hz=stream.rate_hz * speed) for stream in self.descriptor.streams)
        descriptor = replace(self.descriptor, streams=streams)
        return replace(self, descriptor=descriptor, once_s=self.once_s / speed)


def raw_tables(descriptor: Descriptor, recording: Recording) -> dict[int, Table]:
    """``recording`` as sensors of ``descriptor`` read it: at the end of their range where it goes beyond."""
    tables: dict[int, Table] = {}
    for stream in descriptor.streams:
        scales, limit = np.array([c.scale for c in stream.channels]), _LIMITS[stream.format]
        raw = np.rint(recording.signals[stream.name].samples / scales)
        tables[stream.stream] = np.clip(raw, -limit, limit).astype(np.int32)
    return tables


@dataclass(frozen=True)
class Sent:
    """A packet that the node sent: when (host time, s), in which boot session, its number and stamp, its wire frames."""

    time_s: float
    boot: int
    sequence: int
    device_us: int
    packet: AnyPacket
    frames: tuple[bytes, ...]


@dataclass
class _BootSession:
    """From power-on to reset: when it began (host time), its writer, the next sample number of each stream."""

    start_s: float
    writer: FrameWriter
    first: dict[int, int]
    status_at_s: float = 0.0
    descriptor_at_s: float = 0.0
    dropped: int = 0


@dataclass(eq=False)
class VirtualNode:
    """One node. ``start_us`` is its clock at power-on; ``streaming`` whether it sends without being asked to start."""

    programme: Programme
    node: int = 0
    faults: Faults = field(default_factory=Faults)
    seed: int = 0
    start_us: int = 1
    max_frame: int = MAX_FRAME_BYTES
    streaming: bool = True

    def __post_init__(self) -> None:
        self._random = np.random.default_rng([self.seed, self.node, 1])
        self._rate = 1.0 + self.faults.drift_ppm * 1e-6
        self._decoder = LinkDecoder(HOST_PACKETS)
        self._outbox: list[Sent] = []
        self._now_s = 0.0
        self._rebooted = False
        self._boot_session = self._begin(0.0, int(self._random.integers(0, 256)))

    @property
    def samples_dropped(self) -> int:
        """Samples of this boot session that were measured and could not be sent."""
        return self._boot_session.dropped

    def device_us(self, host_s: float) -> int:
        """The node's clock at ``host_s``; modulo 2^32, never 0 (that says: not set)."""
        ticks = self.start_us if not self._rebooted else 1
        return (ticks + round((host_s - self._boot_session.start_s) * self._rate * 1e6)) % _TURN or 1

    def advance(self, now_s: float) -> list[Sent]:
        """All that is sent up to ``now_s``, in order. Time never goes back."""
        sent, self._outbox = self._outbox, []
        while True:
            reboot_s = self.faults.reboot_s
            due_s, number = self._next_due()
            if reboot_s and not self._rebooted and reboot_s <= min(due_s, now_s):
                self._rebooted = True
                self._boot_session = self._begin(reboot_s, (self._boot_session.writer.boot + 1) % 256)
                continue
            if due_s > now_s:
                break
            sent += self._data(number, due_s) if number is not None else self._housekeeping(due_s)
        self._now_s = max(self._now_s, now_s)
        return sorted(sent, key=lambda each: each.time_s) if len(sent) > 1 else sent

    def hear(self, data: bytes, now_s: float) -> None:
        """Bytes of the host that came at ``now_s``; replies are part of the next :meth:`advance`."""
        self._outbox = self.advance(now_s)
        for received in self._decoder.feed(data, round(now_s * 1e9)):
            packet = received.packet
            if isinstance(packet, SyncRequest):
                self._outbox.append(self._send(SyncReply(packet.token, self.device_us(now_s)), now_s))
            elif isinstance(packet, Command):
                self._obey(packet.command, now_s)

    def _obey(self, command: CommandCode, now_s: float) -> None:
        if command in (CommandCode.START, CommandCode.STOP):
            self.streaming = command is CommandCode.START
        if command in (CommandCode.START, CommandCode.DESCRIBE):
            self._outbox.append(self._send(self.programme.descriptor, now_s))
        if command is not CommandCode.DESCRIBE:
            self._outbox.append(self._send(self._status(), now_s))

    def _begin(self, start_s: float, boot: int) -> _BootSession:
        first = dict.fromkeys(self.programme.tables, 0)
        writer = FrameWriter(self.node, boot, self.max_frame)
        return _BootSession(start_s, writer, first, start_s, start_s)

    def _packet_samples(self, stream: StreamDescriptor) -> int:
        size = FORMAT_BYTES[stream.format] * len(stream.channels)
        fit = (self._boot_session.writer.room - 8) // size
        return max(1, min(fit, MAX_SAMPLES, int(PACKET_S * stream.rate_hz)))

    def _next_due(self) -> tuple[float, int | None]:
        """When the next packet is due, and of which stream (None: descriptor or status)."""
        boot_session = self._boot_session
        due: list[tuple[float, int | None]] = [
            (min(boot_session.status_at_s, boot_session.descriptor_at_s), None)
        ]
        for stream in self.programme.descriptor.streams:
            newest = boot_session.first[stream.stream] + self._packet_samples(stream) - 1
            due.append((boot_session.start_s + newest / stream.rate_hz / self._rate, stream.stream))
        return min(due, key=lambda each: each[0])

    def _data(self, number: int, due_s: float) -> list[Sent]:
        stream = self.programme.descriptor.stream(number)
        assert stream is not None
        first, count = self._boot_session.first[number], self._packet_samples(stream)
        self._boot_session.first[number] = first + count
        if not self.streaming:
            return []
        if self._stalled(due_s):
            self._boot_session.dropped += count
            return []
        values = self.programme.rows(stream, first, count, due_s)
        return [self._send(Data.of(number, stream.format, first, values), due_s)]

    def _housekeeping(self, due_s: float) -> list[Sent]:
        """Descriptor and status, of a node that streams; a stalled one says nothing."""
        boot_session, sent = self._boot_session, []
        speaks = self.streaming and not self._stalled(due_s)
        if boot_session.descriptor_at_s <= due_s:
            boot_session.descriptor_at_s = due_s + DESCRIPTOR_S
            sent += [self._send(self.programme.descriptor, due_s)] if speaks else []
        if boot_session.status_at_s <= due_s:
            boot_session.status_at_s = due_s + STATUS_S
            sent += [self._send(self._status(), due_s)] if speaks else []
        return sent

    def _stalled(self, host_s: float) -> bool:
        start_s = self.faults.stall_s
        return 0 < start_s <= host_s < start_s + self.faults.stall_for_s

    def _status(self) -> Status:
        return Status(80, 2 if self.streaming else 0, 3900, samples_dropped=self._boot_session.dropped)

    def _send(self, packet: Data | Descriptor | Status | SyncReply, host_s: float) -> Sent:
        stamp = self.device_us(host_s)
        if self.faults.zero_stamp and self._random.random() < self.faults.zero_stamp:
            stamp = 0
        writer = self._boot_session.writer
        sequence = writer.sequence
        frames = tuple(writer.frames(packet, stamp))
        return Sent(host_s, writer.boot, sequence, stamp, packet, frames)
