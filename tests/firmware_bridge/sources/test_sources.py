"""Several sources as one, what a host says to nodes, and recording from sources that fail, stall or never end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge.items import Chunk, Item, LinkChange, Snapshot
from firmware_bridge.protocol.decoder import HOST_PACKETS, LinkDecoder
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.packets import Command, Status, SyncRequest
from firmware_bridge.protocol.table import ANY_NODE, CommandCode
from firmware_bridge.recording.file import Kind, RecordingReader, RecordingWriter, scan
from firmware_bridge.sources import open_source
from firmware_bridge.sources.base import Source, SourceUrl
from firmware_bridge.sources.ble import ble_trouble
from firmware_bridge.sources.host import Host
from firmware_bridge.sources.several import SeveralSources
from firmware_bridge.tools.monitor import monitor
from firmware_bridge.tools.record import record
from firmware_bridge.tools.replay import replay
from toolkit.errors import LinkError, OutputError, UsageError


class Scripted(Source):
    """Gives ``items``, then raises ``error``, or waits for ever if ``stays``; keeps what is written to it."""

    def __init__(
        self,
        items: list[Item],
        links: int = 1,
        error: Exception | None = None,
        stays: bool = False,
        fails_to_open: bool = False,
    ) -> None:
        super().__init__(SourceUrl("scripted", "scripted", ""))
        self._items, self._count, self._error, self._stays = items, links, error, stays
        self._fails_to_open = fails_to_open
        self.written: list[tuple[int, bytes]] = []
        self.closed = 0
        self.down = False

    @property
    def links(self) -> tuple[str, ...]:
        return tuple(f"link {i}" for i in range(self._count))

    @property
    def writable(self) -> bool:
        return True

    async def open(self) -> None:
        if self._fails_to_open:
            raise LinkError("nobody there; plug it in")

    async def close(self) -> None:
        self.closed += 1

    async def write(self, data: bytes, link: int = 0) -> None:
        if self.down:
            raise LinkError("down")
        self.written.append((link, data))

    async def __aiter__(self) -> AsyncIterator[Item]:
        for item in self._items:
            await asyncio.sleep(0)
            yield item
        if self._error is not None:
            raise self._error
        if self._stays:
            await asyncio.Event().wait()


def chunks(count: int, link: int = 0) -> list[Item]:
    writer = FrameWriter(link, 1)
    return [Chunk(link, 1 + i, writer.frames(Status(), 1 + i)[0]) for i in range(count)]


async def gather(source: Source) -> list[Item]:
    async with source:
        return [item async for item in source]


def test_links_are_numbered_through() -> None:
    several = SeveralSources([Scripted(chunks(3), links=2), Scripted(chunks(2)), Scripted([], links=1)])
    items = asyncio.run(gather(several))
    assert sorted(item.link for item in items) == [0, 0, 0, 2, 2]
    assert several.links == ("link 0", "link 1", "link 0", "link 0")


def test_one_failing_source_does_not_end_the_others() -> None:
    failing = Scripted(chunks(1), error=LinkError("unplugged for good"))
    items = asyncio.run(gather(SeveralSources([failing, Scripted(chunks(20))])))
    assert sum(isinstance(item, Chunk) for item in items) == 21
    (change,) = [item for item in items if isinstance(item, LinkChange)]
    assert (change.link, change.up, change.reason) == (0, False, "unplugged for good")


def test_when_all_fail_the_error_is_raised() -> None:
    sources = [Scripted(chunks(1), error=LinkError(f"gone {i}")) for i in range(2)]
    with pytest.raises(LinkError, match="gone"):
        asyncio.run(gather(SeveralSources(sources)))
    assert all(source.closed for source in sources)


def test_a_bug_in_a_source_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(gather(SeveralSources([Scripted([], error=ZeroDivisionError()), Scripted(chunks(2))])))


def test_if_one_cannot_be_opened_all_are_closed() -> None:
    good, bad = Scripted([]), Scripted([], fails_to_open=True)
    with pytest.raises(LinkError, match="plug it in"):
        asyncio.run(gather(SeveralSources([good, bad])))
    assert good.closed and bad.closed


def test_writes_reach_the_right_link() -> None:
    first, second = Scripted([], links=2), Scripted([], links=3)

    async def write() -> None:
        several = SeveralSources([first, second])
        async with several:
            for link in range(5):
                await several.write(bytes((link,)), link)

    asyncio.run(write())
    assert first.written == [(0, b"\0"), (1, b"\1")]
    assert second.written == [(0, b"\2"), (1, b"\3"), (2, b"\4")]


def test_a_host_starts_links_and_asks_for_the_time() -> None:
    source = Scripted([], links=2)

    async def talk() -> None:
        host = Host(source, clock_ns=lambda: 12_345)
        await host.start()
        await host.sync()
        await host.heard(LinkChange(1, 0, True, "back"))
        await host.heard(LinkChange(0, 0, False, "gone"))
        source.down = True
        await host.stop()

    asyncio.run(talk())
    decoders = {link: LinkDecoder(HOST_PACKETS) for link in (0, 1)}
    said = {0: [], 1: []}  # type: dict[int, list[object]]
    for link, data in source.written:
        for received in decoders[link].feed(data, 0):
            assert received.node == ANY_NODE
            said[link].append(received.packet)
    start, sync = Command(CommandCode.START), SyncRequest(12_345)
    assert said == {0: [start, sync], 1: [start, sync, start]}
    assert all(decoder.balance().gap == 0 for decoder in decoders.values())


def test_recording_ends_with_the_source_the_time_or_the_stop(tmp_path: Path) -> None:
    summary = asyncio.run(record(Scripted(chunks(30)), tmp_path / "end.etl"))
    assert summary.ledger["0/0"]["delivered"] == 30

    summary = asyncio.run(record(Scripted(chunks(5), stays=True), tmp_path / "seconds.etl", seconds=0.1))
    assert summary.chunks == 5

    async def stopped() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.1, stop.set)
        await record(Scripted(chunks(5), stays=True), tmp_path / "stop.etl", stop=stop)

    asyncio.run(stopped())
    for name, count in (("end", 30), ("seconds", 5), ("stop", 5)):
        reader = RecordingReader.open(tmp_path / f"{name}.etl")
        assert sum(isinstance(item, Chunk) for item in reader.items()) == count
        assert reader.closed, name


def test_the_seconds_of_a_simulation_as_fast_as_it_goes_are_the_simulated_ones(tmp_path: Path) -> None:
    summary = asyncio.run(record(["sim://synthetic?speed=max&seconds=5"], tmp_path / "a.etl"))
    assert summary.seconds == replay(tmp_path / "a.etl").seconds
    # The last packet leaves within one packet (10 ms) of the end.
    assert summary.seconds == pytest.approx(5.0, abs=0.011)


def test_a_failing_source_leaves_a_closed_recording(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match="for good"):
        asyncio.run(record(Scripted(chunks(7), error=LinkError("gone for good")), tmp_path / "a.etl"))
    reader = RecordingReader.open(tmp_path / "a.etl")
    assert len([i for i in reader.items() if not isinstance(i, Snapshot)]) == 7
    assert reader.closed


def test_a_full_disk_is_one_line_and_keeps_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RecordingWriter(tmp_path / "a.etl", ["l"], 0, 0)
    writer.append(Chunk(0, 1, b"kept"), 1)
    writer.tick(60_000_000)
    real = os.write

    def full(file: int, data: bytes) -> int:
        if data[:4] == b"\x89ETL":
            raise OSError(28, "No space left on device")
        return real(file, data)

    monkeypatch.setattr(os, "write", full)
    writer.append(Chunk(0, 1, b"lost"), 60_000_001)
    with pytest.raises(OutputError, match="No space left on device; what was recorded before is kept"):
        writer.tick(200_000_000)
    with pytest.raises(OutputError):
        writer.close({})
    monkeypatch.undo()
    kinds = [part.kind for part in scan((tmp_path / "a.etl").read_bytes()) if hasattr(part, "kind")]
    assert kinds == [Kind.SNAPSHOT, Kind.CHUNKS]


@pytest.mark.parametrize("follow", [record, monitor])
def test_seconds_that_are_no_time_are_refused(follow: Any, tmp_path: Path) -> None:
    """A command line takes "nan" for a number, and nothing is longer than that."""
    further = [tmp_path / "a.etl"] if follow is record else []
    for seconds in (float("nan"), 0.0, -1.0):
        with pytest.raises(UsageError, match="it must be above 0"):
            asyncio.run(follow(Scripted(chunks(1)), *further, seconds=seconds))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["/dev/null", "/"])
def test_what_is_no_serial_port_is_said(path: str) -> None:
    async def opened() -> None:
        async with open_source(f"serial://{path}"):
            pass

    with pytest.raises(LinkError, match=f"^cannot open {path}: it is not a serial port"):
        asyncio.run(opened())


def test_why_ble_cannot_be_used_comes_with_what_to_do() -> None:
    bus = FileNotFoundError(2, "No such file or directory")
    assert "no system D-Bus answers here ([Errno 2] No such file or directory)" in ble_trouble(bus)
    daemon = RuntimeError("[...ServiceUnknown] The name org.bluez was not provided by any .service files")
    assert ble_trouble(daemon).endswith("run: sudo systemctl start bluetooth")
    assert ble_trouble(RuntimeError("No powered Bluetooth adapters found.")).endswith("bluetoothctl power on")
    assert ble_trouble(TimeoutError()) == "TimeoutError"


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[: max(1, len(data) // 3)]))
    writer = RecordingWriter(tmp_path / "a.etl", ["l"], 0, 0)
    writer.append(Chunk(0, 1, b"x" * 1000), 1)
    writer.close({})
    monkeypatch.undo()
    items = list(RecordingReader.open(tmp_path / "a.etl").items())
    assert Chunk(0, 1, b"x" * 1000) in items
