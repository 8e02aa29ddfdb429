"""Recordings cut at every byte, and with every byte flipped: what is whole comes back."""

from __future__ import annotations

import asyncio
import errno
import json
import struct
from pathlib import Path
from typing import Any, Self

import pytest

from firmware_bridge.items import Chunk, Item, LinkChange, Lost, NodeDescriptor, Snapshot
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.packets import (
    ChannelDescriptor,
    Data,
    Descriptor,
    StreamDescriptor,
)
from firmware_bridge.protocol.table import Format
from firmware_bridge.recording.file import (
    FLUSH_NS,
    Block,
    Damage,
    Kind,
    RecordingReader,
    RecordingWriter,
    pack_block,
    pack_snapshot,
    scan,
)
from firmware_bridge.recording.recover import RecoverReport, mended, recover
from firmware_bridge.sources import open_source
from firmware_bridge.streams.receiver import Receiver
from firmware_bridge.tools.record import record
from firmware_bridge.tools.replay import replay
from toolkit.errors import OutputError, RecordingError, UsageError

DESCRIPTOR = Descriptor(
    "node", (StreamDescriptor(0, "emg", Format.INT16, 1000.0, (ChannelDescriptor("c", "uV", 0.5),)),)
)
MS = 1_000_000


def items(count: int = 40) -> list[Item]:
    """Two nodes on two links, one packet of 10 samples each per 10 ms; the second link drops once."""
    writers = [FrameWriter(1, 7, 64), FrameWriter(1, 9, 64)]
    result: list[Item] = [Chunk(link, 1, b"".join(w.frames(DESCRIPTOR, 1))) for link, w in enumerate(writers)]
    for number in range(count):
        now = (number + 1) * 10 * MS
        for link, writer in enumerate(writers):
            values = [[number * 10 + k] for k in range(10)]
            frame = writer.frames(Data.of(0, Format.INT16, number * 10, values), now // 1000)[0]
            result.append(Chunk(link, now, frame))
        if number == count // 2:
            result.append(LinkChange(1, now + MS, False, "unplugged"))
            result.append(LinkChange(1, now + 2 * MS, True, "back"))
    return result


def write(path: Path, content: list[Item]) -> Path:
    writer = RecordingWriter(path, ["left", "right"], wall_ns=1_700_000_000_000_000_000, monotonic_ns=0)
    receiver = Receiver()
    for item in content:
        now = item.arrival_ns
        writer.append(item, now)
        for received in receiver.decode(item):
            if isinstance(received.packet, Descriptor):
                writer.describe(
                    NodeDescriptor(item.link, received.node, received.boot, bytes(received.packet))
                )
    writer.close(receiver.ledger())
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("recording") / "whole.etl", items()).read_bytes()


def blocks(content: bytes) -> list[Block]:
    return [part for part in scan(content) if isinstance(part, Block)]


def recovered(content: bytes) -> tuple[list[Block], RecoverReport]:
    """Blocks of the mended file that were in the damaged one, and the report."""
    report = RecoverReport()
    mended_content = b"".join(mended(content, report, "test"))
    parts = list(scan(mended_content))
    assert not any(isinstance(part, Damage) for part in parts)
    found = [part for part in parts if isinstance(part, Block) and part.kind is not Kind.LOST]
    if report.snapshot_replaced:
        found = found[1:]
    return found, report


def same(one: list[Block], other: list[Block]) -> bool:
    return [(b.kind, b.number, b.payload) for b in one] == [(b.kind, b.number, b.payload) for b in other]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    content = items()
    path = write(tmp_path / "a.etl", content)
    reader = RecordingReader.open(path)
    assert reader.snapshot == Snapshot(1_700_000_000_000_000_000, 0, ("left", "right"))
    read = list(reader.items())
    assert [item for item in read if not isinstance(item, Snapshot | Lost)] == content
    assert reader.closed and reader.cut_bytes == 0
    descriptors = [item.descriptors for item in read if isinstance(item, Snapshot)]
    assert [len(d) for d in descriptors] == [0, 1, 2]
    assert Descriptor.from_bytes(descriptors[-1][1].payload) == DESCRIPTOR


def test_the_bytes_are_those_of_the_page(tmp_path: Path) -> None:
    """The first block, field by field, read without our reader."""
    import zlib

    content = write(tmp_path / "a.etl", items()).read_bytes()
    assert content[:8] == bytes.fromhex("89 45 54 4c 0d 0a 1a 0a")
    assert content[8:12] == bytes((1, 1, 0, 0))
    number, size, checksum = (int.from_bytes(content[at : at + 4], "little") for at in (12, 16, 20))
    assert number == 0
    assert checksum == zlib.crc32(content[:20] + content[24 : 24 + size])
    snapshot = json.loads(content[24 : 24 + size])
    assert snapshot["format"] == "edgetool recording" and snapshot["links"] == ["left", "right"]


def test_the_stored_recording(tmp_path: Path) -> None:
    """A file of version 1 as it was first written: it must stay readable, and be written the same."""
    stored = Path(__file__).parents[2] / "golden" / "recording_v1.etl"
    assert write(tmp_path / "a.etl", items(4)).read_bytes() == stored.read_bytes()
    assert [i for i in RecordingReader.open(stored).items() if not isinstance(i, Snapshot)] == items(4)
    assert [(s.node, s.samples) for s in replay(stored).streams] == [("node", 40)] * 2


def test_no_block_waits_longer_than_the_page_says(tmp_path: Path) -> None:
    path = tmp_path / "a.etl"
    writer = RecordingWriter(path, ["l"], 0, 0)
    writer.append(Chunk(0, 0, b"x"), 0)
    writer.tick(FLUSH_NS - 1)
    assert len(blocks(path.read_bytes())) == 1
    writer.tick(FLUSH_NS)
    assert [b.kind for b in blocks(path.read_bytes())] == [Kind.SNAPSHOT, Kind.CHUNKS]
    writer.append(Chunk(0, 0, b"y" * 200_000), FLUSH_NS)
    assert sum(len(b.payload) for b in blocks(path.read_bytes()) if b.kind is Kind.CHUNKS) > 131_072
    writer.tick(10_000 * MS + FLUSH_NS)
    assert [b.kind for b in blocks(path.read_bytes())][-1] is Kind.SNAPSHOT
    writer.close({})


def test_truncated_at_every_byte(whole: bytes) -> None:
    every = blocks(whole)
    assert len(every) > 10
    for length in range(len(whole) + 1):
        expected = [block for block in every if block.stop <= length]
        if not expected:
            assert list(mended(whole[:length], RecoverReport(), "test")) == []
            continue
        found, report = recovered(whole[:length])
        assert same(found, expected), length
        assert report.lost_bytes == length - expected[-1].stop
        assert report.closed == (length == len(whole))


@pytest.mark.parametrize("flip", [0x01, 0xFF])
def test_every_byte_flipped(whole: bytes, flip: int) -> None:
    every = blocks(whole)
    for at in range(len(whole)):
        damaged = whole[:at] + bytes((whole[at] ^ flip,)) + whole[at + 1 :]
        expected = [block for block in every if not block.offset <= at < block.stop]
        found, report = recovered(damaged)
        assert same(found, expected), at
        assert report.damages == 1
        assert report.lost_bytes == len(whole) - sum(b.stop - b.offset for b in expected), at


def test_a_span_zeroed_removed_or_inserted(whole: bytes) -> None:
    every = blocks(whole)
    for start in range(0, len(whole) - 700, 97):
        stop = start + 613
        kept = [block for block in every if block.stop <= start or block.offset >= stop]
        for damaged in (whole[:start] + bytes(613) + whole[stop:], whole[:start] + whole[stop:]):
            found, _ = recovered(damaged)
            assert same(found, kept), start
        inserted = whole[:start] + whole[:50] + b"\0" * 99 + whole[start:]
        found, _ = recovered(inserted)
        assert same(found, [b for b in every if b.stop <= start or b.offset >= start]), start


def test_a_block_that_comes_twice_is_taken_once(whole: bytes) -> None:
    every = blocks(whole)
    again = whole[every[2].offset : every[4].stop]
    found, report = recovered(whole[: every[5].offset] + again + whole[every[5].offset :])
    assert same(found, every)
    assert report.damages == 1


def test_recovered_files_replay(whole: bytes, tmp_path: Path) -> None:
    """A flipped byte in the middle: refused as it is, and after recover all other packets come, with their loss booked."""
    every = blocks(whole)
    victim = next(b for b in every if b.kind is Kind.CHUNKS and b.number > 5)
    at = victim.offset + 40
    bad, good = tmp_path / "bad.etl", tmp_path / "good.etl"
    bad.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
    with pytest.raises(RecordingError, match=r"run: edgetool recover .*bad\.etl --out FILE"):
        replay(bad)
    report = recover(bad, good)
    assert report.blocks == len(every) - 1
    summary = replay(good)
    assert summary.closed and summary.lost_bytes == victim.stop - victim.offset
    lost_chunks = sum(
        1 for item in RecordingReader.open(_only(tmp_path, victim)).items() if isinstance(item, Chunk)
    )
    sent = sum(terms["sent"] for name, terms in summary.ledger.items() if "/" in name)
    missing = sum(terms["gap"] for name, terms in summary.ledger.items() if "/" in name)
    assert missing == lost_chunks > 0
    assert sent == sum(isinstance(item, Chunk) for item in items())  # one frame a chunk


def _only(folder: Path, block: Block) -> Path:
    path = folder / "only.etl"
    snapshot = pack_snapshot(Snapshot(0, 0, ("left", "right")))
    path.write_bytes(pack_block(Kind.SNAPSHOT, 0, snapshot) + pack_block(block.kind, 1, block.payload))
    return path


def test_the_first_snapshot_can_be_lost(whole: bytes, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.etl", tmp_path / "good.etl"
    bad.write_bytes(b"\0" + whole[1:])
    assert recover(bad, good).snapshot_replaced
    summary = replay(good)
    assert summary.links == ("left", "right")
    assert [(s.node, s.stream, s.samples) for s in summary.streams] == [("node", "emg", 400)] * 2


def test_without_any_snapshot_the_chunks_still_come(whole: bytes, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.etl", tmp_path / "good.etl"
    kept = [b for b in blocks(whole) if b.kind is Kind.CHUNKS]
    bad.write_bytes(b"".join(pack_block(b.kind, b.number, b.payload) for b in kept))
    recover(bad, good)
    summary = replay(good)
    assert summary.links == ("link 0", "link 1")
    assert [(s.stream, s.samples, s.missing) for s in summary.streams] == [("emg", 400, 0)] * 2


def test_any_bytes_are_no_recording(tmp_path: Path) -> None:
    for name, content in (
        ("empty", b""),
        ("text", b"time,emg\n0,1\n"),
        ("marker", b"\x89ETL\r\n\x1a\n" * 50),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(RecordingError):
            replay(path)
        with pytest.raises(RecordingError, match="nothing to recover"):
            recover(path, tmp_path / "out.etl")
    with pytest.raises(RecordingError, match="No such file"):
        replay(tmp_path / "nowhere.etl")


def snapshot_payload(**changes: object) -> bytes:
    value = {"format": "edgetool recording", "version": 1, "started_wall_ns": 0, "started_monotonic_ns": 0}
    return json.dumps({**value, "links": ["l"], "descriptors": [], **changes}).encode()


#: Blocks whose checksums are right and whose content is not as docs/RECORDING.md says.
FOREIGN = {
    "nested": [(Kind.SNAPSHOT, b"[" * 900_000)],
    "infinite start": [(Kind.SNAPSHOT, snapshot_payload(started_wall_ns=float("inf")))],
    "start beyond all years": [(Kind.SNAPSHOT, snapshot_payload(started_wall_ns=10**40))],
    "negative start": [(Kind.SNAPSHOT, snapshot_payload(started_monotonic_ns=-1))],
    "no list": [(Kind.SNAPSHOT, snapshot_payload(links=5))],
    "a list": [(Kind.SNAPSHOT, b"[]")],
    "lost text": [(Kind.SNAPSHOT, snapshot_payload()), (Kind.LOST, b'{"bytes": "x"}')],
    "lost nothing": [(Kind.SNAPSHOT, snapshot_payload()), (Kind.LOST, b'{"bytes": null}')],
    "lost everything": [(Kind.SNAPSHOT, snapshot_payload()), (Kind.LOST, b'{"bytes": 1e999}')],
    "nested end": [(Kind.SNAPSHOT, snapshot_payload()), (Kind.END, b'{"a":' * 100_000)],
    "giant chunk": [
        (Kind.SNAPSHOT, snapshot_payload()),
        (Kind.CHUNKS, struct.pack("<BBxxIQ", 0, 0, 2**32 - 1, 5)),
    ],
    "half a chunk": [(Kind.SNAPSHOT, snapshot_payload()), (Kind.CHUNKS, b"123")],
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_another_program_wrote_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    path, out = tmp_path / "foreign.etl", tmp_path / "out.etl"
    path.write_bytes(
        b"".join(pack_block(kind, i, payload) for i, (kind, payload) in enumerate(FOREIGN[name]))
    )
    with pytest.raises(RecordingError, match=r"^[^\n]+ (it was written by another program)$"):
        replay(path)
    try:
        recover(path, out)
    except RecordingError:
        assert not out.exists()


class Small:
    """A file on a disk that is full after 100 bytes."""

    def __init__(self, file: Any) -> None:
        self._file, self._room = file, 100

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, content: bytes) -> int:
        self._room -= len(content)
        if self._room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return int(self._file.write(content))


def test_a_recovery_that_does_not_fit_the_disk_leaves_nothing(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "damaged.etl", tmp_path / "out.etl"
    path.write_bytes(whole[:-100])

    real_open = Path.open

    def small(self: Path, mode: str = "r", *rest: Any) -> Any:
        file = real_open(self, mode, *rest)
        return Small(file) if mode == "xb" else file

    monkeypatch.setattr(Path, "open", small)
    with pytest.raises(OutputError, match="No space left"):
        recover(path, out)
    assert not out.exists()


def test_a_file_that_was_not_closed_is_read_and_said_so(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.etl"
    path.write_bytes(whole[:-200])
    summary = replay(path)
    assert not summary.closed and summary.as_recorded is None and 0 < summary.cut_bytes < 1000


def test_nothing_is_overwritten(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.etl"
    path.write_bytes(whole)
    with pytest.raises(OutputError, match="never overwritten"):
        RecordingWriter(path, ["l"], 0, 0)
    with pytest.raises(OutputError, match="it exists"):
        recover(path, path)
    assert path.read_bytes() == whole


def test_replay_is_bit_for_bit(whole: bytes, tmp_path: Path) -> None:
    """Recording a replay gives the same items; and the ledger is the one recorded."""
    path, again = tmp_path / "a.etl", tmp_path / "again.etl"
    path.write_bytes(whole)
    summary = asyncio.run(record([f"replay://{path}?speed=max"], again))
    assert [i for i in RecordingReader.open(again).items() if not isinstance(i, Snapshot)] == items()
    assert summary.chunks == len(items())
    for file in (path, again):
        result = replay(file)
        assert result.as_recorded is True and result.closed
        assert result.seconds == pytest.approx(0.4, abs=1e-9)


def test_replay_keeps_time(tmp_path: Path) -> None:
    """0.4 s at four times the speed takes 0.1 s; only the lower bound is sure on a loaded machine."""
    import time

    path = write(tmp_path / "a.etl", items())
    started = time.monotonic()
    assert replay(path, speed=4.0).chunks == len(items())
    assert time.monotonic() - started >= 0.099


def test_source_urls_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a source URL"):
        open_source("session.etl")
    with pytest.raises(UsageError, match=r"scheme 'ftp' is not known; allowed: .*replay://"):
        open_source("ftp://x")
    with pytest.raises(UsageError, match="option 'sped' is not known; allowed: speed"):
        open_source("replay://x?sped=1")
    with pytest.raises(UsageError, match="must be max, or a number above 0"):
        open_source("replay://x?speed=0")
    with pytest.raises(UsageError, match="option 'speed' twice"):
        open_source("replay://x?speed=1&speed=2")
    with pytest.raises(RecordingError, match="No such file"):
        asyncio.run(record([f"replay://{tmp_path}/nowhere"], tmp_path / "out.etl"))
    assert not (tmp_path / "out.etl").exists()
