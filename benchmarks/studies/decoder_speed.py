"""How fast the bridge decodes, beside a plain struct decoder: ``python -m benchmarks.studies.decoder_speed``.

Both get the same bytes in the same chunks, in one process, in turns; the median of the turns is reported. The plain decoder
is the least that gives values: split at delimiters, COBS and CRC by the same kept libraries, ``struct`` for header and
samples. It rejoins nothing, checks nothing but the CRC, and keeps no ledger: it is the floor, not a competitor.
"""

from __future__ import annotations

import statistics
import struct
import time
from binascii import crc_hqx
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from cobs import cobs

from firmware_bridge.protocol.decoder import LinkDecoder
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.packets import (
    ChannelDescriptor,
    Data,
    Descriptor,
    Status,
    StreamDescriptor,
)
from firmware_bridge.protocol.table import Format

#: What a serial read or a BLE notification brings.
CHUNK_BYTES = 244
#: The load of the documentation: one node of 6 int16 at 200 Hz and 4 int16 at 1 kHz.
IMU_CHANNELS, IMU_HZ, EMG_CHANNELS, EMG_HZ = 6, 200.0, 4, 1000.0


@dataclass(frozen=True)
class Throughput:
    """Median over the turns of one decoder: wire megabytes (10^6) and packets a second."""

    name: str
    megabytes_per_s: float
    packets_per_s: float


def node_bytes(seconds: float, node: int = 0) -> tuple[bytes, int]:
    """What one node sends in ``seconds``: packets of at most 244 wire bytes, a descriptor every 5 s, a status every second.

    Returns the wire bytes and the number of packets.
    """
    generator = np.random.default_rng(node)
    writer = FrameWriter(node, 1, CHUNK_BYTES)
    imu = tuple(ChannelDescriptor(f"imu{i}", "m/s^2", 0.0048) for i in range(IMU_CHANNELS))
    emg = tuple(ChannelDescriptor(f"emg{i}", "uV", 0.2) for i in range(EMG_CHANNELS))
    streams = (
        StreamDescriptor(0, "imu", Format.INT16, IMU_HZ, imu),
        StreamDescriptor(1, "emg", Format.INT16, EMG_HZ, emg),
    )
    descriptor = Descriptor(f"node {node}", streams)
    per_packet = {s.stream: (writer.room - 8) // (2 * len(s.channels)) for s in streams}
    due: list[tuple[float, int, int]] = []
    for stream in streams:
        step = per_packet[stream.stream]
        for first in range(0, int(seconds * stream.rate_hz) - step + 1, step):
            due.append(((first + step) / stream.rate_hz, stream.stream, first))
    frames: list[bytes] = []
    packets = 0
    next_status = 0.0
    for when, number, first in sorted(due):
        stamp = round(when * 1e6) + 1
        if when >= next_status:
            frames += writer.frames(Status(), stamp)
            packets += 1
            if round(next_status) % 5 == 0:
                frames += writer.frames(descriptor, stamp)
                packets += 1
            next_status += 1.0
        channels = len(streams[number].channels)
        values = generator.integers(-30_000, 30_000, (per_packet[number], channels))
        frames += writer.frames(Data.of(number, Format.INT16, first, values), stamp)
        packets += 1
    return b"".join(frames), packets


def decode_plain(chunks: Sequence[bytes]) -> int:
    """The plain struct decoder; returns the samples it saw."""
    header, data_header = struct.Struct("<BBBBII"), struct.Struct("<BBBBI")
    rest, samples = b"", 0
    for chunk in chunks:
        *blocks, rest = (rest + chunk).split(b"\0")
        for block in blocks:
            body = cobs.decode(block)
            if crc_hqx(body[:-2], 0xFFFF) != struct.unpack("<H", body[-2:])[0]:
                continue
            _, kind, _, _, _, _ = header.unpack_from(body)
            if kind == 2:
                _, _, channels, count, _ = data_header.unpack_from(body, 12)
                values = struct.unpack_from(f"<{channels * count}h", body, 20)
                samples += len(values) // channels
    return samples


def decode_packets(chunks: Sequence[bytes]) -> int:
    """The bridge's decoder: packets checked to the byte, rejoined, with ledger; raw values stay bytes."""
    decoder, samples = LinkDecoder(), 0
    for chunk in chunks:
        for received in decoder.feed(chunk, 0):
            if isinstance(received.packet, Data):
                samples += received.packet.samples
    return samples


def decode_values(chunks: Sequence[bytes]) -> int:
    """The same, and every packet's values as an array."""
    decoder, samples = LinkDecoder(), 0
    for chunk in chunks:
        for received in decoder.feed(chunk, 0):
            if isinstance(received.packet, Data):
                samples += len(received.packet.values())
    return samples


DECODERS: dict[str, Callable[[Sequence[bytes]], int]] = {
    "bridge, packets and ledger": decode_packets,
    "bridge, and values as arrays": decode_values,
    "plain struct, no checks": decode_plain,
}


def decoder_throughput(seconds: float = 60.0, turns: int = 7) -> list[Throughput]:
    """Decode ``seconds`` of one node's bytes with each decoder, ``turns`` times in turn; medians."""
    wire, packets = node_bytes(seconds)
    chunks = [wire[at : at + CHUNK_BYTES] for at in range(0, len(wire), CHUNK_BYTES)]
    times: dict[str, list[float]] = {name: [] for name in DECODERS}
    samples: set[int] = set()
    for _ in range(turns):
        for name, decode in DECODERS.items():
            started = time.perf_counter()
            samples.add(decode(chunks))
            times[name].append(time.perf_counter() - started)
    assert len(samples) == 1, "the decoders disagree on the number of samples"
    medians = {name: statistics.median(values) for name, values in times.items()}
    return [Throughput(name, len(wire) / t * 1e-6, packets / t) for name, t in medians.items()]


def main() -> None:
    """Print the table, and what share of one core eight nodes' decoding takes."""
    wire, packets = node_bytes(60.0)
    rate = len(wire) / 60.0
    print(
        f"One node: {rate / 1000:.1f} kB/s, {packets / 60:.0f} packets/s, in chunks of {CHUNK_BYTES} bytes."
    )
    print("Measured on this machine, on one core:")
    print(f"{'decoder':<32}{'MB/s':>8}{'packets/s':>12}{'8 nodes, % of a core':>24}")
    for row in decoder_throughput():
        share = 100 * 8 * rate * 1e-6 / row.megabytes_per_s
        print(f"{row.name:<32}{row.megabytes_per_s:>8.1f}{row.packets_per_s:>12.0f}{share:>24.2f}")


if __name__ == "__main__":
    main()
