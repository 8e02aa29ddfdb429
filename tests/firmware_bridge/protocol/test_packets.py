"""Packets over the product of their options, split and rejoined, cut at random places, and what must be refused."""

from __future__ import annotations

import contextlib
import itertools
import random
import re
from binascii import crc_hqx
from typing import Any

import numpy as np
import pytest
from cobs import cobs
from hypothesis import given, settings, strategies

from firmware_bridge.protocol.decoder import HOST_PACKETS, NODE_PACKETS, LinkDecoder
from firmware_bridge.protocol.framing import (
    Frame,
    FrameError,
    FrameWriter,
    decode_frame,
    encode_frame,
    largest_body,
)
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
    UNIT_CODES,
    CommandCode,
    CounterKind,
    Format,
    Operation,
    SelfTest,
    TargetError,
    ValueFormat,
)
from firmware_bridge.protocol.target_packets import (
    Identity,
    Reply,
    Request,
    SelfTestResult,
    StackUse,
    pack_values,
    unpack_values,
)
from toolkit.contract import UNITS
from toolkit.errors import LinkError

ALL = NODE_PACKETS | HOST_PACKETS


def stream(number: int = 0, channels: int = 2, **changes: Any) -> StreamDescriptor:
    values: dict[str, Any] = {
        "stream": number,
        "name": f"stream{number}",
        "format": Format.INT16,
        "rate_hz": 200.0,
        "channels": tuple(ChannelDescriptor(f"channel {i}", "uV", 0.5, 100.0) for i in range(channels)),
    }
    return StreamDescriptor(**{**values, **changes})


IDENTITY: dict[str, Any] = {
    "clock_hz": 25_000_000,
    "counter": CounterKind.CYCLES,
    "counter_step": 40.0,
    "graphs": 1,
    "self_test": SelfTest.NOT_RUN,
    "formats": 1,
    "window": 64,
    "max_frame": 512,
    "max_message": 16_384,
    "channels": (24, 9),
    "outputs": 3,
    "output_format": ValueFormat.INT8,
    "contract_hash": bytes(32),
    "model_hash": bytes(32),
    "board": "",
    "core": "",
    "build": "",
}


def test_data_over_all_formats_and_sizes() -> None:
    generator = np.random.default_rng(0)
    for form, channels, samples in itertools.product(
        Format, (1, 2, 3, 6, 24, 64), (1, 2, 7, 8, 15, 16, 17, 255)
    ):
        if form == Format.FLOAT32:
            values: Any = generator.standard_normal((samples, channels)).astype(np.float32)
        else:
            limit = 1 << (15 if form == Format.INT16 else 23)
            values = generator.integers(-limit, limit, (samples, channels))
        packet = Data.of(7, form, 2**32 - 1, values)
        again = Data.from_bytes(bytes(packet))
        assert again == packet
        assert again.samples == samples
        assert np.array_equal(again.values(), values)
        assert len(bytes(packet)) == 8 + samples * channels * {1: 2, 2: 3, 3: 4}[form]


def test_int24_over_all_values() -> None:
    """All 2^24 values, in 2,048 packets of 128 x 64."""
    every = np.arange(-(1 << 23), 1 << 23, dtype=np.int32).reshape(-1, 128, 64)
    for values in every:
        assert np.array_equal(Data.of(0, Format.INT24, 0, values).values(), values)


def test_physical_units() -> None:
    """+-16 g at 16 bits: 32767 counts of 16 x 9.80665 / 32768 m/s^2 are 156.9016 m/s^2; the scale is a single float."""
    scale = float(np.float32(16 * 9.80665 / 32768))
    accelerometer = StreamDescriptor(
        0, "imu", Format.INT16, 200.0, (ChannelDescriptor("x", "m/s^2", 16 * 9.80665 / 32768),)
    )
    physical = accelerometer.physical(Data.of(0, Format.INT16, 0, [[32767], [-2], [0]]).values())
    assert physical[:, 0].tolist() == [32767 * scale, -2 * scale, 0.0]
    assert physical[0, 0] == pytest.approx(156.9016, abs=1e-4)  # the scale's rounding: 6e-8 of it


def test_descriptors_over_options() -> None:
    for form, channels, streams in itertools.product(Format, (1, 64), (1, 16)):
        descriptor = Descriptor(
            "n" * 63,
            tuple(stream(i, channels if i == 0 else 1, format=form) for i in range(streams)),
            bytes(range(8)),
            "é" * 31,
        )
        assert Descriptor.from_bytes(bytes(descriptor)) == descriptor


def test_every_unit_has_a_code() -> None:
    assert tuple(UNIT_CODES) == UNITS
    for unit in UNITS:
        item = StreamDescriptor(0, "s", Format.INT16, 1.0, (ChannelDescriptor("c", unit, 1.0),))
        assert Descriptor.from_bytes(bytes(Descriptor("n", (item,)))).streams[0].spec.channels[0].unit == unit


def test_small_packets_over_options() -> None:
    for token, received_us in itertools.product((0, 1, 2**64 - 1), (0, 2**32 - 1)):
        assert SyncRequest.from_bytes(bytes(SyncRequest(token))) == SyncRequest(token)
        assert SyncReply.from_bytes(bytes(SyncReply(token, received_us))) == SyncReply(token, received_us)
    for battery, flags, firmware in itertools.product((0, 100, 255), (0, 7), ((0, 0, 0), (255, 255, 65535))):
        status = Status(battery, flags, 65535, 2**32 - 1, 1, 0, firmware)
        assert Status.from_bytes(bytes(status)) == status
    for code in CommandCode:
        assert Command.from_bytes(bytes(Command(code))) == Command(code)


def test_target_packets_over_options() -> None:
    for operation, form, size in itertools.product(Operation, ValueFormat, (0, 1, 2112, 16_376)):
        request = Request(operation, form, bytes(size), b"\1\2\3\4")
        assert Request.from_bytes(bytes(request)) == request
    for operation, error, form in itertools.product(Operation, TargetError, ValueFormat):
        body = b"" if error else b"\0\1\2\3"
        reply = Reply(operation, error, form, 255, 2**32 - 1, 2**32 - 1, body)
        assert Reply.from_bytes(bytes(reply)) == reply
    for counter, self_test, form, streams in itertools.product(CounterKind, SelfTest, ValueFormat, (1, 16)):
        identity = Identity(
            **{
                **IDENTITY,
                "counter": counter,
                "self_test": self_test,
                "output_format": form,
                "channels": (1,) * streams,
            }
        )
        assert Identity.from_bytes(bytes(identity)) == identity
    for result in (SelfTestResult(0, 0, None), SelfTestResult(5, 2, 3)):
        assert SelfTestResult.from_bytes(bytes(result)) == result
    assert StackUse.from_bytes(bytes(StackUse(4096, 1))) == StackUse(4096, 1)


def test_values_for_a_target() -> None:
    imu, emg = np.array([[1, -2], [3, 4]]), np.array([[5], [-6]])
    assert pack_values(ValueFormat.INT8, [imu, emg]) == bytes((1, 254, 3, 4, 5, 250))
    assert unpack_values(ValueFormat.INT16, b"\x00\x80\xff\x7f").tolist() == [-32768, 32767]
    with pytest.raises(LinkError, match="fit int8"):
        pack_values(ValueFormat.INT8, [np.array([128])])
    with pytest.raises(LinkError, match="not finite"):
        pack_values(ValueFormat.FLOAT32, [np.array([np.nan])])
    with pytest.raises(LinkError, match="3 bytes"):
        unpack_values(ValueFormat.INT16, b"\0\0\0")


@pytest.mark.parametrize("max_frame", [64, 65, 100, 244, 511, 512])
def test_messages_are_split_to_the_links_frames_and_rejoined(max_frame: int) -> None:
    generator = random.Random(max_frame)
    for size in (0, 1, 40, 494, 495, 2112, 9000):
        body = generator.randbytes(size) if size % 2 else bytes([generator.randrange(1, 256)]) * size
        request = Request(Operation.WINDOW, ValueFormat.INT8, body)
        writer = FrameWriter(4, 9, max_frame, sequence=2**32 - 3)
        frames = writer.frames(request, 123)
        assert max(map(len, frames)) <= max_frame
        assert all(frame.count(0) == 1 and frame[-1] == 0 for frame in frames)
        wire = b"".join(frames)
        decoder, received, at = LinkDecoder(ALL), [], 0
        while at < len(wire):
            cut = generator.randrange(1, 60)
            received += decoder.feed(wire[at : at + cut], at)
            at += cut
        assert [r.packet for r in received] == [request]
        assert (received[0].sequence, received[0].device_us) == (2**32 - 3, 123)
        assert decoder.balance().delivered == len(frames)


def test_parts_out_of_order_are_rejoined_and_missing_ones_given_up() -> None:
    writer = FrameWriter(1, 1, 64)
    requests = [Request(Operation.WINDOW, ValueFormat.INT8, bytes([i]) * 200) for i in range(12)]
    frames = [writer.frames(request, 1) for request in requests]
    decoder = LinkDecoder(ALL)
    shuffled = frames[0][:]
    random.Random(3).shuffle(shuffled)
    assert [r.packet for r in decoder.feed(b"".join(shuffled), 1)] == requests[:1]
    for parts in frames[1:11]:
        assert decoder.feed(b"".join(parts[:-1]), 1) == []
    # Ten are incomplete: the two oldest are given up, and their parts are dropped_in_host.
    given_up = 2 * (len(frames[1]) - 1)
    assert decoder.rejected["incomplete message"] == 2
    balance = decoder.balance()
    assert balance.balances and balance.dropped_in_host == given_up
    assert [r.packet for r in decoder.feed(frames[10][-1], 1)] == requests[10:11]
    assert decoder.feed(frames[1][-1], 1) == []


def test_frame_sizes_hold_for_the_worst_bytes() -> None:
    """254 bytes without zero cost COBS one byte more: the largest body still fits."""
    for max_frame in range(64, 513):
        body = largest_body(max_frame) - 14
        for filler in (0x01, 0x00):
            wire = encode_frame(Frame(2, filler, filler, 0x01010101 * filler, 0, bytes([filler]) * body))
            assert len(wire) <= max_frame
    with pytest.raises(LinkError, match=re.escape("a frame of 509 bytes is over 508")):
        encode_frame(Frame(2, 1, 1, 1, 1, bytes(495)))


def test_any_two_flipped_bits_of_a_frame_are_found() -> None:
    """CRC-16/IBM-3740 finds all double errors at this length; COBS may turn a flip into more, which the seeds here cover."""
    generator = random.Random(5)
    wire = encode_frame(Frame(2, 1, 1, 300, 5000, generator.randbytes(20)))[:-1]
    for first in range(len(wire) * 8):
        for second in generator.sample(range(len(wire) * 8), 12):
            bits = {first, second}
            damaged = bytearray(wire)
            for bit in bits:
                damaged[bit // 8] ^= 1 << bit % 8
            for block in bytes(damaged).split(b"\0"):
                with pytest.raises(FrameError):
                    decode_frame(block)


def test_hostile_bytes_never_raise_and_memory_is_bounded() -> None:
    """Ten million mutated bytes of good frames. The C decoder gets its own in tests/fuzz."""
    generator = random.Random(7)
    writers = [FrameWriter(node, 1, 100) for node in range(4)]
    good = bytearray()
    for number in range(600):
        for writer in writers:
            samples = [[number % 1000] * 6]
            good += b"".join(writer.frames(Data.of(0, Format.INT16, number, samples), number))
        if number % 50 == 0:
            good += b"".join(writers[0].frames(Descriptor("n", (stream(0, 24),)), 5))
    decoder, total = LinkDecoder(), 0
    while total < 10_000_000:
        block = bytearray(good)
        for _ in range(generator.randrange(1, 4000)):
            block[generator.randrange(len(block))] = generator.randrange(256)
        if generator.random() < 0.2:
            del block[: generator.randrange(len(block))]
        decoder.feed(bytes(block), 1)
        total += len(block)
    assert decoder.frames > 1000 and decoder.damaged > 1000
    assert all(ledger.balance().balances for ledger in decoder.nodes.values())
    assert len(decoder._open) <= 64
    assert len(decoder._splitter._rest) < 512


def test_hostile_payloads_behind_a_good_crc_never_raise() -> None:
    """Mutated payloads of every type, framed with a right CRC, so that every reader sees them."""
    generator = random.Random(11)
    identity = Reply(
        Operation.IDENTIFY, TargetError.NONE, ValueFormat.NONE, 0, 0, 0, bytes(Identity(**IDENTITY))
    )
    packets = [
        Descriptor("n", (stream(0, 3), stream(1, 2, format=Format.INT24))),
        Data.of(0, Format.INT24, 5, [[1, 2], [3, 4]]),
        Data.of(0, Format.FLOAT32, 5, [[1.0]]),
        SyncRequest(1),
        SyncReply(1, 2),
        Status(),
        Command(CommandCode.STOP),
        Request.tensor(1, 2, 3),
        identity,
    ]
    decoder, valid = LinkDecoder(ALL), 0
    for sequence in range(40_000):
        packet = packets[sequence % len(packets)]
        payload = bytearray(bytes(packet))
        for _ in range(generator.randrange(4)):
            payload[generator.randrange(len(payload))] = generator.randrange(256)
        if generator.random() < 0.2:
            payload = payload[: generator.randrange(len(payload) + 1)]
        kind = packet.TYPE if generator.random() < 0.9 else generator.randrange(128)
        frame = Frame(kind, 1, 1, sequence, 0, bytes(payload))
        if generator.random() < 0.2:
            frame = frame._replace(part=generator.randrange(3), parts=3)
        for received in decoder.feed(encode_frame(frame), 1):
            valid += 1
            if isinstance(received.packet, Reply) and received.packet.operation == Operation.IDENTIFY:
                with contextlib.suppress(LinkError):
                    Identity.from_bytes(received.packet.body)
    assert valid > 10_000
    assert set(decoder.rejected) == {
        "bad payload",
        "unknown type",
        "incomplete message",
        "parts that do not fit",
    }
    assert decoder.balance().balances and decoder.damaged == 0


GOOD = b"".join(
    frame
    for number in range(6)
    for frame in FrameWriter(number % 2, 1, 64, sequence=number).frames(
        Data.of(0, Format.INT16, number, [[number] * 20] * 2), number + 1
    )
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    changes=strategies.lists(
        strategies.tuples(strategies.integers(0, len(GOOD) - 1), strategies.binary(max_size=4)), max_size=6
    ),
    noise=strategies.binary(max_size=80),
    cuts=strategies.lists(strategies.integers(0, len(GOOD) + 100), max_size=12),
)
def test_how_the_bytes_are_cut_changes_nothing(
    changes: list[tuple[int, bytes]], noise: bytes, cuts: list[int]
) -> None:
    """Any damage, fed whole and fed in any pieces: the same packets, the same ledger, never an exception."""
    wire = GOOD + noise
    for at, new in changes:
        wire = wire[:at] + new + wire[at + 1 :]
    whole, pieces = LinkDecoder(), LinkDecoder()
    expected = whole.feed(wire, 1)
    bounds = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    actual = [r for low, high in itertools.pairwise(bounds) for r in pieces.feed(wire[low:high], 1)]
    assert actual == expected
    assert pieces.balance() == whole.balance() and whole.balance().balances
    assert (pieces.damaged, pieces.noise, pieces.rejected) == (whole.damaged, whole.noise, whole.rejected)


def test_a_block_longer_than_a_frame_is_skipped_to_the_next_delimiter() -> None:
    decoder = LinkDecoder()
    frame = FrameWriter(1, 1).frames(Status(), 1)[0]
    for _ in range(100):
        assert decoder.feed(b"\x55" * 50_000, 1) == []
    assert len(decoder.feed(b"\x55\x55\0" + frame, 1)) == 1
    assert (decoder.damaged, decoder.noise) == (1, 1)


def test_other_versions_types_and_echoes_are_counted() -> None:
    decoder = LinkDecoder()
    body = bytes((2, 2, 1, 1)) + bytes(8)
    decoder.feed(cobs.encode(body + crc_hqx(body, 0xFFFF).to_bytes(2, "little")) + b"\0", 1)
    decoder.feed(encode_frame(Frame(0x40, 1, 1, 0, 0, b"maker")), 1)
    decoder.feed(encode_frame(Frame(0x05, 1, 1, 1, 0, b"short")), 1)
    decoder.feed(b"".join(FrameWriter(255, 9).frames(SyncRequest(5), 0)), 1)
    assert dict(decoder.rejected) == {"other version": 1, "unknown type": 1, "bad payload": 1, "foreign": 1}
    assert decoder.balance().dropped_in_host == 2 and decoder.balance().balances
    assert 255 not in decoder.nodes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ChannelDescriptor("x", "m", 1.0), "unit 'm'; allowed: m/s^2"),
        (lambda: ChannelDescriptor("x", "uV", 0.0), "must not be 0"),
        (lambda: ChannelDescriptor("x", "uV", 1e39), "finite in single precision"),
        (lambda: ChannelDescriptor(" x", "uV", 1.0), "without spaces at its ends"),
        (lambda: ChannelDescriptor("x\n", "uV", 1.0), "printable"),
        (lambda: ChannelDescriptor("x" * 64, "uV", 1.0), "1 to 63 bytes"),
        (lambda: stream(rate_hz=-1.0), "must be above 0"),
        (lambda: stream(format=9), "sample format is 9; allowed: 1 int16"),
        (lambda: stream(channels=65), "is 65; allowed: 1 to 64"),
        (lambda: Descriptor("n", (stream(1), stream(1))), "stream number twice"),
        (lambda: Descriptor("n", ()), "is 0; allowed: 1 to 16"),
        (lambda: Descriptor("n", tuple(stream(i, 64) for i in range(16))), "size of the descriptor"),
        (lambda: Data.of(0, Format.INT16, 0, [[32768]]), "from -32768 to 32767"),
        (lambda: Data.of(0, Format.INT16, 0, [[0.5]]), "must be integers"),
        (lambda: Data.of(0, Format.FLOAT32, 0, [[np.inf]]), "not finite"),
        (lambda: Data(0, Format.INT16, 2, 0, b"\0\0"), "1 to 255 samples of 4"),
        (lambda: Data.from_bytes(b"\0" * 7), "has 7 bytes"),
        (lambda: Data.from_bytes(bytes((0, 1, 1, 2, 0, 0, 0, 0, 1, 1))), "2 samples of 1 channels"),
        (lambda: Status(battery_percent=101), "allowed: 0 to 100"),
        (lambda: Command.from_bytes(b"\x09\0\0\0"), "1 describe, 2 start"),
        (lambda: SyncRequest.from_bytes(b""), "it must have 8"),
        (lambda: Request.from_bytes(b"\x09\0\0\0\0\0\0\0"), "Operation is 9"),
        (lambda: Reply(Operation.STEP, TargetError.BUSY, ValueFormat.NONE, 0, 0, 0, b"x"), "has a body"),
        (lambda: Identity(**{**IDENTITY, "max_frame": 63}), "allowed: 64 to 512"),
        (lambda: Identity(**{**IDENTITY, "counter_step": float("nan")}), "counter step is nan"),
        (lambda: SelfTestResult.from_bytes(b"\1\0\2\0\0\0\0\0"), "2 of 1 vectors failed"),
        (lambda: FrameWriter(1, 1, 63), "must be 64 to 512"),
        (lambda: Request.tensor(0, 0, 481), "allowed: 1 to 480"),
    ],
)  # fmt: skip
def test_what_is_against_the_page_is_refused(make: Any, message: str) -> None:
    with pytest.raises(LinkError, match=re.escape(message)) as caught:
        make()
    assert "\n" not in str(caught.value)
