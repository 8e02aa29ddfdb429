"""A disk of months: recordings and estimates keep to their bounds, and a disk that fills is said before it is full."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_bridge.items import Chunk, Marker, Snapshot
from firmware_bridge.recording.file import RecordingReader
from firmware_bridge.streams.session import SessionStep
from runtime.config import read_config
from runtime.daemon import disks as disks_module
from runtime.daemon.daemon import Timing
from runtime.daemon.disks import Disks, prune
from runtime.daemon.recorder import Recorder
from runtime.server.health import health
from runtime.settings import RecordingSettings
from runtime.sinks import open_sink
from runtime.sinks.json_lines import read_estimates
from runtime.status.status import DiskStatus
from tests.firmware_bridge.sources.lsl_outlet import RUN
from tests.firmware_bridge.sources.test_lsl_markers import Sender
from tests.runtime.daemon.harness import Running, bundle, during, settings
from tests.runtime.server.served import status_like
from tests.runtime.sinks.harness import OUTPUTS, estimate, run_sink

STEP = SessionStep((), (), {})
DAY_S = 86_400.0


def _files(folder: Path, *days_ago: int, size: int = 100, prefix: str = "walk") -> list[Path]:
    found = []
    for days in days_ago:
        path = folder / f"{prefix}-20260101-{days:06d}.etl"
        path.write_bytes(b"x" * size)
        os.utime(path, (1e9 - days * DAY_S, 1e9 - days * DAY_S))
        found.append(path)
    return found


class TestPrune:
    def test_the_oldest_go_until_the_rest_fits(self, tmp_path: Path) -> None:
        files = _files(tmp_path, 1, 2, 3, 4, 5)
        assert prune(tmp_path, "walk", 250, 0.0, "", 1e9) == [files[4], files[3], files[2]]
        assert prune(tmp_path, "walk", 250, 0.0, "", 1e9) == []

    def test_what_is_too_old_goes(self, tmp_path: Path) -> None:
        files = _files(tmp_path, 1, 2, 3)
        assert prune(tmp_path, "walk", 0, 1.5 * DAY_S, "", 1e9) == [files[2], files[1]]

    def test_the_current_file_and_those_of_others_stay(self, tmp_path: Path) -> None:
        (mine,) = _files(tmp_path, 9)
        others = _files(tmp_path, 9, prefix="other") + _files(tmp_path, 9, prefix="walk-2")
        for name in (
            "walk.etl",
            "walk-20260101-000000.etl.bak",
            "walk-20260101-000000.moments.ndjson",
            "notes",
        ):
            (tmp_path / name).write_text("x")
        (tmp_path / "walk-20260101-000009-1.etl").symlink_to(others[0])
        before = sorted(tmp_path.iterdir())
        assert prune(tmp_path, "walk", 1, 1.0, str(mine), 1e9) == []
        assert sorted(tmp_path.iterdir()) == before
        assert prune(tmp_path, "walk", 1, 1.0, "", 1e9) == [mine]


def test_a_recording_begins_anew_at_an_eighth(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "walk", max_gb=80e-6)  # 80 kB: files of 10 kB
    recorder.start(["a"], 0, {})
    for number in range(200):
        if recorder.full:
            recorder.start(["a"], number, {})
            recorder.prune()
        recorder.append(Chunk(0, number, bytes(1000)), STEP, number)
        recorder.tick(number * 1_000_000_000)
    recorder.close({})
    files = sorted(tmp_path.glob("walk-*.etl"), key=lambda path: path.stat().st_mtime_ns)
    assert sum(path.stat().st_size for path in files) <= 100_000 and len(files) >= 5
    for path in files:
        reader = RecordingReader.open(path)
        assert list(reader.items()) and reader.closed
    held = [item.arrival_ns for item in RecordingReader.open(files[-1]).items() if isinstance(item, Chunk)]
    assert held[-1] == 199  # the newest is there


def test_a_daemon_keeps_to_it(tmp_path: Path) -> None:
    """Several files, each whole, each with the descriptors: what is left can be replayed."""
    given = settings("sim://synthetic", recording=RecordingSettings(tmp_path, "walk", max_gb=400e-6))

    async def work(running: Running) -> None:
        await running.until(lambda: running.event("recording deleted"), 60.0)

    async def all_of_it() -> None:
        await during(Running(given, timing=Timing(disks_s=0.05)), work)

    asyncio.run(all_of_it())
    files = sorted(tmp_path.glob("walk-*.etl"), key=lambda path: path.stat().st_mtime_ns)
    assert 2 <= len(files) <= 10
    for path in files:
        reader = RecordingReader.open(path)
        items = list(reader.items())
        assert reader.closed and any(isinstance(each, Snapshot) and each.descriptors for each in items)


def test_a_file_of_estimates_turns_over(tmp_path: Path) -> None:
    path = tmp_path / "m.ndjson"
    sink = open_sink(f"ndjson:{path}?flush_s=0&max_gb=0.00002", OUTPUTS)  # 20 kB, a file half of it

    async def given() -> None:
        for number in range(500):
            sink.publish(estimate(number))
            while sink.published + sink.dropped <= number:
                await asyncio.sleep(0)

    run_sink(sink, lambda _: given())
    old = tmp_path / "m.ndjson.1"
    assert path.stat().st_size + old.stat().st_size <= 21_000 and sink.published == 500
    numbers = [each.sequence for file in (old, path) for each in read_estimates(file)]
    assert numbers == list(range(numbers[0], 500))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["m.ndjson", "m.ndjson.1"]


def test_a_file_of_estimates_turns_over_by_its_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 10 days: each file reaches back 5 at most. The wall clock is set, as it is when a Pi finds the time."""
    path, now = tmp_path / "m.ndjson", {"s": 1_000_000_000.0}
    monkeypatch.setattr("runtime.sinks.ndjson.time.time", lambda: now["s"])

    def day(number: int) -> None:
        now["s"] = 1_000_000_000.0 + 86_400 * number
        sink = open_sink(f"ndjson:{path}?flush_s=0&keep_days=10", OUTPUTS)
        run_sink(sink, lambda sink: sink.publish(estimate(number)))

    def held(name: str) -> list[int]:
        file = tmp_path / name
        return [each.sequence for each in read_estimates(file)] if file.exists() else []

    for number in range(5):
        day(number)
    assert (held("m.ndjson.1"), held("m.ndjson")) == ([], [0, 1, 2, 3, 4])
    day(5)
    assert (held("m.ndjson.1"), held("m.ndjson")) == ([0, 1, 2, 3, 4], [5])
    for number in range(6, 11):
        day(number)
    assert (held("m.ndjson.1"), held("m.ndjson")) == ([5, 6, 7, 8, 9], [10])
    day(3)  # set back: nothing turns over
    assert held("m.ndjson") == [10, 3]


def test_markers_of_another_program_are_in_the_recording(tmp_path: Path) -> None:
    name = f"{RUN} stimulus"
    sender = Sender(name)
    given = settings("sim://synthetic", recording=RecordingSettings(tmp_path, "walk", markers=(name,)))

    async def work(running: Running) -> None:
        await running.until(lambda: sender.heard and running.event("markers"))
        await running.until(lambda: (r := running.daemon.status().recording) is not None and r.bytes)
        sender.send("heel strike")
        await running.until(lambda: running.event("marker"))

    asyncio.run(during(Running(given), work))
    (path,) = tmp_path.glob("walk-*.etl")
    items = list(RecordingReader.open(path).items())
    (place,) = [place for place, item in enumerate(items) if isinstance(item, Marker)]
    assert items[place].text == "heel strike"  # type: ignore[union-attr]
    chunks = [item.arrival_ns for item in items if isinstance(item, Chunk)]
    assert chunks[0] < items[place].arrival_ns <= chunks[-1] + 1_000_000_000  # type: ignore[union-attr]


class TestDisks:
    def test_room_is_found_also_where_nothing_is_yet(self, tmp_path: Path) -> None:
        disks = Disks([tmp_path / "not" / "yet", tmp_path / "not" / "yet", tmp_path])
        disks.look()
        assert [each.folder for each in disks.status] == [str(tmp_path / "not/yet"), str(tmp_path)]
        assert all(each.free_bytes is not None and each.free_bytes > 0 for each in disks.status)

    def test_little_room_is_low(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        disks = Disks([tmp_path])
        monkeypatch.setattr(disks_module, "LOW_BYTES", 1 << 62)
        disks.look()
        assert disks.status[0].low

    def test_it_is_a_warning_and_no_illness(self) -> None:
        low = replace(status_like(), disks=(DiskStatus("/var/lib/edgetool", 400_000_000, True),))
        assert "disk of /var/lib/edgetool: 0.40 GB free" in health(low)[1]["warnings"]
        unknown = replace(status_like(), disks=(DiskStatus("/nowhere", None, False),))
        assert not [w for w in health(unknown)[1]["warnings"] if "disk" in w]


def test_the_config_says_it(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        f'[model]\nbundle = "{bundle()}"\n[sources]\nurls = ["sim://synthetic"]\n'
        '[recording]\nfolder = "r"\nmax_gb = 8\nkeep_days = 30\n[[sinks]]\nurl = "ndjson:m.ndjson"\nmax_gb = 2\n'
    )
    found = read_config(path).recording
    assert found is not None and (found.max_gb, found.keep_days) == (8, 30)
    assert re.search("ndjson", str(read_config(path).sinks))
