"""Recordings from elsewhere, and disks that fail.

A file of 1.3 kB, exported with ``--fill``, asked for 28 GiB: few samples whose numbers and times lie far apart. One that is
all markers, each claiming a block of a mebibyte, kept ``recover`` busy for hours. When the disk gave an error at fsync,
``record`` ended with a traceback. XDF files of streams with holes stated a rate, so that pyxdf moved stamps by up to 35 ms.
"""

from __future__ import annotations

import asyncio
import os
import random
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.items import Chunk, Item, NodeDescriptor, Snapshot
from firmware_bridge.recording import checksums
from firmware_bridge.recording.checksums import Checksums
from firmware_bridge.recording.export import export
from firmware_bridge.recording.file import (
    MARKER,
    MAX_PAYLOAD,
    Kind,
    RecordingReader,
    RecordingWriter,
    pack_block,
)
from firmware_bridge.recording.recover import recover
from firmware_bridge.recording.tracks import load_tracks
from firmware_bridge.streams.session import Session
from firmware_bridge.tools.record import record
from firmware_bridge.tools.replay import replay
from tests.firmware_bridge.sources.test_sources import Scripted
from tests.regression.sensors import BEGUN_NS, Node, data, described
from tests.tools import require_package
from toolkit.errors import OutputError, RecordingError


def written(path: Path, items: list[Item]) -> Path:
    writer = RecordingWriter(path, ["port"], 1_700_000_000_000_000_000, BEGUN_NS)
    for item in items:
        writer.append(item, 0)
    writer.close({})
    return path


@pytest.mark.parametrize("fill", ["hold", "interpolate"])
def test_two_samples_a_month_apart_are_not_filled(tmp_path: Path, fill: str) -> None:
    """At 1 kHz a month are 2.6 thousand million rows, and the times of arrival agree with the numbers."""
    node, month_s = Node(), 30 * 86_400.0
    items: list[Item] = [node.chunk(0.0, [described("leg", rate_hz=1_000.0), data(0)], stamp_s=0.0)]
    # Beyond half a turn of the numbers they would count backwards: a packet a week, each ahead by what its time says.
    for week in range(1, 5):
        now_s = month_s * week / 4
        items.append(node.chunk(now_s, [data(round(now_s * 1_000) % (1 << 32))], stamp_s=now_s % 4_000))
    path = written(tmp_path / "month.etl", items)
    assert path.stat().st_size < 2_000
    tracemalloc.start()
    with pytest.raises(
        RecordingError, match=r"samples were received, and such holes are not filled|its counter jumped"
    ):
        export(path, tmp_path / "out", "csv", fill)  # type: ignore[arg-type]
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert not (tmp_path / "out").exists()
    assert export(path, tmp_path / "out", "csv").streams[0]["samples"] == 5


def test_a_session_of_which_half_was_lost_is_filled(tmp_path: Path) -> None:
    node = Node()
    items = [node.chunk(0.0, [described("leg")])]
    items += [node.chunk(0.01 * place, [data(place)]) for place in range(1, 1_000) if place // 100 % 2 == 0]
    export(written(tmp_path / "half.etl", items), tmp_path / "out", "csv", "interpolate")
    table = (tmp_path / "out" / "leg-imu.csv").read_text().splitlines()
    assert len(table) == 1 + 899


def test_checksums_of_parts_are_those_of_zlib() -> None:
    generator = random.Random(5)
    content = generator.randbytes(50_000)
    sums = Checksums(content)
    for _ in range(300):
        start = generator.randrange(len(content))
        stop, before = generator.randrange(start, len(content) + 1), generator.randrange(1 << 32)
        assert sums.of(start, stop, before) == zlib.crc32(content[start:stop], before)


def test_recover_reads_a_file_of_markers_about_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2.4 MB of heads that claim the largest block there is, and one whole block behind them."""
    summed, real = 0, zlib.crc32

    def counted(part: bytes, before: int = 0) -> int:
        nonlocal summed
        summed += len(part)
        return real(part, before)

    head = MARKER + struct.pack("<BBxxIII", 1, Kind.CHUNKS, 1, MAX_PAYLOAD, 0xDEADBEEF)
    fakes = head * 100_000
    real_one = written(tmp_path / "real.etl", [Node().chunk(0.0, [described("leg")])]).read_bytes()
    damaged = tmp_path / "fakes.etl"
    damaged.write_bytes(fakes + real_one)
    monkeypatch.setattr(checksums.zlib, "crc32", counted)
    report = recover(damaged, tmp_path / "whole.etl")
    assert report.lost_bytes == len(fakes) and report.blocks == 3
    # The file once, and at most two pages and a head for each of the 100,000.
    assert summed < len(fakes) + 100_000 * (2 * 4_096 + 24)


def test_a_block_inside_another_ones_payload_is_not_taken_twice(tmp_path: Path) -> None:
    inner = pack_block(Kind.END, 1, b"{}")
    path = written(tmp_path / "nested.etl", [Chunk(0, BEGUN_NS, inner * 500)])
    items = [item for item in RecordingReader.open(path).items() if isinstance(item, Chunk)]
    assert b"".join(item.data for item in items) == inner * 500


@pytest.mark.parametrize("when", ["recording", "closing"])
def test_an_error_of_the_disk_at_fsync_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    items = [Node().chunk(0.0, [described("leg")])]
    source = Scripted(list(items), stays=when == "recording")
    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(
        OutputError, match=r"cannot write on .*disk.etl: Input/output error; what was recorded"
    ) as caught:
        asyncio.run(asyncio.wait_for(record(source, tmp_path / "disk.etl"), 30))
    assert "\n" not in str(caught.value)
    assert len(list(RecordingReader.open(tmp_path / "disk.etl").items())) >= 2


def test_stamps_of_a_stream_with_holes_are_read_as_they_were_written(tmp_path: Path) -> None:
    pyxdf = require_package("pyxdf")
    node, whole = Node(), Node(2)
    items: list[Item] = [node.chunk(0.0, [described("leg")]), whole.chunk(0.0, [described("arm", "emg")])]
    for place in range(1, 1_000):
        if not (200 <= place < 207 or 500 <= place < 560 or place in (700, 702)):
            items.append(node.chunk(0.01 * place, [data(place)]))
        items.append(whole.chunk(0.01 * place, [data(place)]))
    path = written(tmp_path / "holes.etl", items)
    export(path, tmp_path / "holes.xdf", "xdf")
    streams, _ = pyxdf.load_xdf(str(tmp_path / "holes.xdf"))
    stamps = {stream["info"]["type"][0]: stream for stream in streams}
    tracks = {track.stream.name: track for track in load_tracks(path).tracks}
    assert tracks["imu"].missing == 69 and tracks["emg"].missing == 0
    assert np.array_equal(stamps["imu"]["time_stamps"], tracks["imu"].host_s)
    assert stamps["imu"]["info"]["desc"][0]["sampling"][0] == {
        "rate_hz": ["100.0"],
        "missing_samples": ["69"],
    }
    # Without holes the rate is stated, and a reader may smooth what little the clock's line bends.
    assert stamps["emg"]["info"]["nominal_srate"] == ["100.0"]
    assert np.abs(stamps["emg"]["time_stamps"] - tracks["emg"].host_s).max() < 0.001


@pytest.mark.parametrize("top_ns", [1 << 63, (1 << 64) - 1])
def test_times_of_arrival_at_the_end_of_their_range(tmp_path: Path, top_ns: int) -> None:
    node = Node()
    items: list[Item] = [node.chunk(0.0, [described("leg")])]
    for place in range(1, 60):
        chunk = node.chunk(0.01 * place, [data(place)])
        late = Chunk(0, top_ns - 1_000 + place, chunk.data)
        items.append(late if place > 20 else chunk)
    path = written(tmp_path / "late.etl", items)
    assert replay(path).chunks == 60
    session = Session()
    for item in RecordingReader.open(path).items():
        session.process(item)
    for form in ("csv", "sto", "xdf", "parquet"):
        export(path, tmp_path / f"out.{form}", form, "hold")  # type: ignore[arg-type]


def test_a_hundred_descriptors_a_second_do_not_fill_the_disk(tmp_path: Path) -> None:
    """Each was written as a snapshot of all nodes: 200 a second, of up to 256 KiB each."""
    path = tmp_path / "changing.etl"
    writer = RecordingWriter(path, ["port"], 0, 0)
    for place in range(2_000):
        now_ns = place * 10_000_000
        writer.append(Chunk(0, now_ns, b"x"), now_ns)
        writer.describe(NodeDescriptor(0, 1, 1, bytes(described(f"leg {place}"))))
    writer.close({})
    snapshots = [item for item in RecordingReader.open(path).items() if isinstance(item, Snapshot)]
    # The first, 32 at once, one for each of 20 s, one each 10 s anyhow, and the last.
    assert len(snapshots) <= 1 + 32 + 20 + 2 + 1
    assert snapshots[-1].descriptors[0].payload == bytes(described("leg 1999"))
