"""Whatever a transport does, every estimate given is published or dropped, and giving never raises."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.pipeline.estimate import Estimate, State
from runtime.sinks import SCHEMES, open_sink
from runtime.sinks.delivery import DirectSink, QueuedSink
from runtime.sinks.interface import Sink
from runtime.sinks.json_lines import estimate_of, read_estimates
from runtime.sinks.settings import SinkSettings, without_password
from tests.runtime.sinks.harness import (
    OUTPUTS,
    estimate,
    run_sink,
    until,
)
from toolkit.errors import UsageError


class FailingDirect(DirectSink):
    """Does what its script says: takes, refuses, raises."""

    def __init__(self, script: list[str]) -> None:
        super().__init__("test")
        self.script, self.sent = script, 0

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def send(self, estimate: Estimate) -> bool:
        deed = self.script[estimate.sequence % len(self.script)]
        if deed == "raise":
            raise OSError(5, "Input/output\nerror")
        self.sent += deed == "take"
        return deed == "take"


class FailingQueued(QueuedSink):
    """Takes batches and delivers, loses or raises in the middle, as its script says."""

    def __init__(self, script: list[str]) -> None:
        super().__init__("test", limit=10)
        self.script, self.sent, self.turn = script, 0, 0

    def pause(self, seconds: float) -> None:
        super().pause(0.0)

    def work(self) -> None:
        while True:
            batch = self.next_estimates(3, 0.01)
            if not batch and self.closing:
                return
            deed = self.script[self.turn % len(self.script)]
            self.turn += 1
            if deed == "raise" and batch:
                self.settle(published=1)
                self.sent += 1
                raise ConnectionResetError
            if deed == "take":
                self.sent += len(batch)
                self.settle(published=len(batch))
            else:
                self.settle(dropped=len(batch))


SCRIPTS = st.lists(st.sampled_from(["take", "refuse", "raise"]), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(script=SCRIPTS, count=st.integers(0, 60), queued=st.booleans())
def test_published_and_dropped_are_what_was_given(script: list[str], count: int, queued: bool) -> None:
    sink = FailingQueued(script) if queued else FailingDirect(script)

    def give(s: Sink) -> None:
        for i in range(count):
            s.publish(estimate(i))

    run_sink(sink, give)
    assert sink.published + sink.dropped == count and sink.published == sink.sent
    sink.publish(estimate(count)) if queued else None
    assert sink.published + sink.dropped == count + queued  # after the end: dropped, not an error
    assert "\n" not in str(sink.trouble)


def test_a_queue_keeps_the_newest_and_a_hung_thread_is_left_behind() -> None:
    release = threading.Event()

    class Hung(QueuedSink):
        got: list[int] = []  # noqa: RUF012

        def work(self) -> None:
            release.wait(20)
            for each in self.next_estimates(100, 0.0):
                self.got.append(each.sequence)
                self.settle(published=1)

    sink = Hung("test", limit=4)

    async def given() -> None:
        for i in range(10):
            sink.publish(estimate(i))
        assert (sink.dropped, sink.queued) == (6, 4)
        await sink.close()
        assert (sink.published, sink.dropped) == (0, 10)

    run_sink(sink, lambda _: given())
    release.set()
    assert (sink.published, sink.dropped) == (0, 10)

    other = Hung("test", limit=4)
    release.set()
    run_sink(other, lambda s: [s.publish(estimate(i)) for i in range(3)])
    assert other.published + other.dropped == 3


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_every_sink_of_the_table_takes_any_moment(scheme: str, tmp_path: Path) -> None:
    """NaN, infinity, no values, far times: published or dropped, never raised; a sink that is not open drops."""
    rest = {
        "ndjson": f"{tmp_path}/a.ndjson",
        "udp": "//127.0.0.1:9",
        "unix": f"//{tmp_path}/a.sock",
        "mqtt": "//127.0.0.1:9/topic",
        "mqtts": "//127.0.0.1:9/topic",
        "lsl": "//edgetool-test",
        "recording": str(tmp_path),
    }[scheme]
    sink = open_sink(f"{scheme}:{rest}", OUTPUTS)
    assert sink.name == f"{scheme}:{rest}"
    odd = [
        estimate(0),
        Estimate(1, -5, float("inf"), 0, 2**62, State.INVALID, ("x",), ()),
        Estimate(2, 0, float("nan"), 0, -1, State.STALE, (), (float("nan"), float("inf"))),
        Estimate(2**70, 0, 0.0, 0, 0, State.OK, (), (1e300, -1e300)),
    ]
    run_sink(sink, lambda s: [s.publish(each) for each in odd])
    assert sink.published + sink.dropped == len(odd)
    if scheme in ("ndjson", "unix", "lsl", "recording"):
        assert (sink.published, sink.trouble) == (4, None)


def test_the_recording_makes_a_new_file_at_each_start(tmp_path: Path) -> None:
    for start in range(3):
        sink = open_sink({"url": f"recording:{tmp_path}", "prefix": "left"}, OUTPUTS)
        run_sink(sink, lambda s, start=start: s.publish(estimate(start)))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3 and all(f.name.startswith("left-") for f in files)
    assert sorted(m.sequence for f in files for m in read_estimates(f)) == [0, 1, 2]
    assert b"unix_s" not in files[0].read_bytes()
    with pytest.raises(UsageError, match="must not be a path"):
        open_sink({"url": f"recording:{tmp_path}", "prefix": "a/b"}, OUTPUTS)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mqtt://gait:secret@host/t", "mqtt://gait:***@host/t"),
        ("mqtt://gait:s/e:c@r?et@host/t", "mqtt://gait:***@host/t"),
        ("mqtt://host:1883/a@b", "mqtt://host:1883/a@b"),
        ("mqtt://gait@host:1883/a@b", "mqtt://gait@host:1883/a@b"),
        ("mqtt://[::1]:1883/a@b", "mqtt://[::1]:1883/a@b"),
        ("ndjson:a:b@c", "ndjson:a:b@c"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_the_parts_of_a_url() -> None:
    parsed = SinkSettings.of("unix:///run/a%20b.sock?format=frames")
    assert (parsed.scheme, parsed.rest, dict(parsed.options)) == (
        "unix",
        "/run/a b.sock",
        {"format": "frames"},
    )
    assert SinkSettings.of("ndjson:dir/100%25.txt").rest == "dir/100%25.txt"  # a path is as it is written


def test_a_broken_loop_is_no_excuse(tmp_path: Path) -> None:
    """publish after close of every kind counts and does not raise."""
    for url in (f"ndjson:{tmp_path}/x", "udp://127.0.0.1:9", f"unix://{tmp_path}/y"):
        sink = open_sink(url, OUTPUTS)
        run_sink(sink, lambda _: asyncio.sleep(0))
        sink.publish(estimate(0))
        assert (sink.published, sink.dropped) == (0, 1)


DEEDS = st.lists(
    st.sampled_from(["all", "half", "one byte", "full", "broken", "nothing"]), min_size=1, max_size=8
)


@settings(max_examples=40, deadline=None)
@given(deeds=DEEDS, count=st.integers(0, 80), pause=st.integers(1, 30))
def test_a_file_on_a_bad_disk_has_whole_lines_and_true_counts(
    deeds: list[str], count: int, pause: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every write does the next deed of the list: takes all, a part or nothing, or fails."""
    path = tmp_path_factory.mktemp("disk") / "moments.ndjson"
    sink = open_sink(f"ndjson:{path}?flush_s=0", OUTPUTS, retry_s=0.0)
    turn = itertools.cycle(deeds)
    write = os.write

    def bad(file: int, data: bytes) -> int:
        if threading.current_thread().name != sink.name:
            return write(file, data)
        deed = next(turn)
        if deed in ("full", "broken"):
            raise OSError(28 if deed == "full" else 5, "it fails")
        size = {"all": len(data), "half": len(data) // 2, "one byte": 1, "nothing": 0}[deed]
        return write(file, data[:size]) if size else 0

    async def give() -> None:
        for i in range(count):
            sink.publish(estimate(i))
            if i % pause == 0:
                await asyncio.sleep(0.001)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", bad)
        run_sink(sink, lambda _: give())
    found = [each.sequence for each in read_estimates(path)]
    assert sink.published + sink.dropped == count
    assert len(found) == sink.published and found == sorted(set(found))
    assert path.read_bytes().endswith(b"\n") or not found
    assert "recursion" not in str(sink.trouble)


@pytest.mark.parametrize("seed", range(5))
def test_readers_that_come_and_go_at_random(seed: int, tmp_path: Path) -> None:
    """Each reader sees whole estimates in order, without a hole while it keeps up; counts are true."""
    draw = random.Random(seed)
    path = tmp_path / "moments.sock"
    sink = open_sink(f"unix://{path}", OUTPUTS)
    seen: dict[int, bytearray] = {}
    readers: dict[int, socket.socket] = {}

    def act(number: int) -> None:
        deed = draw.choice(["come", "go", "read", "read", "read", "say"])
        if deed == "come" and len(readers) < 5:
            readers[number] = socket.socket(socket.AF_UNIX)
            readers[number].connect(str(path))
            readers[number].setblocking(False)
            seen[number] = bytearray()
        elif readers:
            which = draw.choice(list(readers))
            with suppress(BlockingIOError):
                if deed == "go":
                    readers.pop(which).close()
                elif deed == "say":
                    readers[which].send(b"hello")
                else:
                    seen[which] += readers[which].recv(draw.choice([10, 1000, 100_000]))

    async def give() -> None:
        for i in range(600):
            sink.publish(estimate(i))
            act(i)
            if draw.random() < 0.5:
                await asyncio.sleep(0)

    run_sink(sink, lambda _: give())
    for reader in readers.values():
        reader.close()
    assert sink.published + sink.dropped == 600
    lines = [bytes(each).split(b"\n")[:-1] for each in seen.values()]
    assert sum(map(len, lines)) > 100
    for each in lines:
        numbers = [estimate_of(line).sequence for line in each]
        assert not numbers or numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_after_a_bug_of_ours_in_the_middle_of_a_line_whole_lines_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the thread held is dropped and counted once, and the file goes on with a whole line."""
    path = tmp_path / "moments.ndjson"
    sink = open_sink(f"ndjson:{path}?flush_s=0", OUTPUTS)
    write, calls = os.write, 0

    def bad(file: int, data: bytes) -> int:
        nonlocal calls
        if threading.current_thread().name != sink.name:
            return write(file, data)
        calls += 1
        if calls == 2:
            raise RuntimeError("a bug")
        return write(file, data[:10]) if calls == 1 else write(file, data)

    async def give() -> None:
        sink.publish(estimate(0))
        await until(lambda: sink.dropped == 1)
        sink.publish(estimate(1))

    monkeypatch.setattr(os, "write", bad)
    run_sink(sink, lambda _: give())
    assert (sink.published, sink.dropped) == (1, 1)
    assert [each.sequence for each in read_estimates(path)] == [1]
