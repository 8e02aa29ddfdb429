"""Moments as lines of JSON: what a line says, appending, a full disk, a slow reader, a file that is moved away."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.pipeline.estimate import Estimate, State
from runtime.sinks import open_sink
from runtime.sinks.delivery import QUEUE_LIMIT
from runtime.sinks.interface import Sink
from runtime.sinks.json_lines import estimate_line, estimate_of, read_estimates
from tests.runtime.sinks.harness import (
    OUTPUTS,
    estimate,
    run_sink,
    until,
)
from toolkit.errors import ContractError, RecordingError, UsageError


def test_a_line_says_what_docs_sinks_says() -> None:
    value = json.loads(estimate_line(estimate(7, State.DEGRADED), OUTPUTS, unix_s=1e9))
    assert value == {
        "sequence": 7,
        "state": "degraded",
        "reasons": ["gap"],
        "moments": {"hip_flexion": 7 / 3, "knee_extension": -0.1},
        "unit": "Nm/kg",
        "age_ms": 2.5,
        "source_ns": 5_000_000,
        "source_error_ms": 0.25,
        "arrival_ns": 9_000_000,
        "published_ns": 11_500_000,
        "unix_s": 1e9,
    }


def test_a_line_reads_back_exactly() -> None:
    assert estimate_of(estimate_line(estimate(1), OUTPUTS)) == estimate(1)
    empty = Estimate(2, 0, math.inf, 0, 0, State.INVALID, ("sensor-off",), ())
    back = estimate_of(estimate_line(empty, OUTPUTS))
    assert back.values == () and math.isnan(back.source_error_ms) and back.state is State.INVALID


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"sequence": 1}', "null"])
def test_what_is_no_moment_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        estimate_of(line)


def test_a_file_is_appended_to_and_a_torn_line_ended(tmp_path: Path) -> None:
    path = tmp_path / "new" / "moments.ndjson"
    for first in (0, 3):
        sink = open_sink(f"ndjson:{path}", OUTPUTS)
        run_sink(sink, lambda s, first=first: [s.publish(estimate(first + i)) for i in range(3)])
        assert (sink.published, sink.dropped, sink.trouble) == (3, 0, None)
    assert [m.sequence for m in read_estimates(path)] == [0, 1, 2, 3, 4, 5]

    path.write_bytes(path.read_bytes()[:-20])  # as kill -9 in the middle of a write leaves it
    assert [m.sequence for m in read_estimates(path)] == [0, 1, 2, 3, 4]
    run_sink(open_sink({"url": f"ndjson:{path}"}, OUTPUTS), lambda s: s.publish(estimate(9)))
    lines = path.read_bytes().splitlines()
    assert len(lines) == 7 and estimate_of(lines[6]) == estimate(9)
    with pytest.raises(RecordingError, match=r"line 6: .*cut the line out"):
        list(read_estimates(path))


def test_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    run_sink(open_sink("ndjson:-", OUTPUTS), lambda s: s.publish(estimate(4)))
    assert estimate_of(capfd.readouterr().out) == estimate(4)


@contextmanager
def small_disk(monkeypatch: pytest.MonkeyPatch, room: int) -> Iterator[list[int]]:
    """Writes take ``room`` bytes in all, as a full disk does: the last one in part, then ENOSPC."""
    left, write = [room], os.write

    def limited(file: int, data: bytes) -> int:
        if not threading.current_thread().name.startswith("ndjson:"):
            return write(file, data)
        if left[0] <= 0:
            raise OSError(28, "No space left on device")
        done = write(file, data[: left[0]])
        left[0] -= done
        return done

    monkeypatch.setattr(os, "write", limited)
    yield left
    monkeypatch.undo()


def test_a_full_disk_costs_moments_and_whole_lines_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "moments.ndjson"
    sink = open_sink(f"ndjson:{path}?flush_s=0", OUTPUTS)
    given = QUEUE_LIMIT + 500

    async def fill(left: list[int]) -> None:
        for i in range(given):
            sink.publish(estimate(i))
        await until(lambda: sink.trouble is not None)
        assert "No space left on device" in str(sink.trouble)
        for i in range(given, 2 * given):
            sink.publish(estimate(i))
        assert sink.dropped >= given - QUEUE_LIMIT
        left[0] = 1 << 30  # somebody made room
        await until(lambda: sink.published + sink.dropped == 2 * given)

    with small_disk(monkeypatch, 1000) as left:
        run_sink(sink, lambda _: fill(left))
    found = [m.sequence for m in read_estimates(path)]
    assert len(found) == sink.published and found == sorted(set(found)) and found[-1] == 2 * given - 1
    assert sink.trouble is None and sink.published + sink.dropped == 2 * given


def test_a_disk_that_stays_full_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "moments.ndjson"
    sink = open_sink(f"ndjson:{path}", OUTPUTS)
    with small_disk(monkeypatch, 1000):
        run_sink(sink, lambda s: [s.publish(estimate(i)) for i in range(50)])
    found = list(read_estimates(path))
    assert path.read_bytes().endswith(b"\n") and len(found) == sink.published == 1000 // len(
        estimate_line(estimate(0), OUTPUTS, time.time())
    )
    assert sink.published + sink.dropped == 50


def test_a_real_full_device() -> None:
    sink = open_sink("ndjson:/dev/full", OUTPUTS)

    async def given() -> None:
        sink.publish(estimate(0))
        await until(lambda: sink.trouble is not None)

    run_sink(sink, lambda _: given())
    assert (sink.published, sink.dropped) == (0, 1) and "No space left on device" in str(sink.trouble)


def test_a_reader_that_does_not_read_stops_nobody(tmp_path: Path) -> None:
    fifo = tmp_path / "moments"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    sink = open_sink(f"ndjson:{fifo}", OUTPUTS)
    took: list[float] = []

    def give(s: Sink) -> None:
        for i in range(3000):
            began = time.thread_time()
            s.publish(estimate(i))
            took.append(time.thread_time() - began)

    run_sink(sink, give)
    os.close(reader)
    assert sink.published + sink.dropped == 3000 and sink.dropped > 0


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    path, old = tmp_path / "moments.ndjson", tmp_path / "moments.1"
    sink = open_sink(f"ndjson:{path}?flush_s=0", OUTPUTS, retry_s=0.0)

    async def given() -> None:
        sink.publish(estimate(0))
        await until(lambda: sink.published == 1)
        path.rename(old)
        sink.publish(estimate(1))
        await until(lambda: sink.published == 2)

    run_sink(sink, lambda _: given())
    assert [m.sequence for m in read_estimates(old)] == [0]
    assert [m.sequence for m in read_estimates(path)] == [1]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("ndjson", "is not a sink"),
        ("ndjson:", "is not a sink"),
        ("carrier:pigeon", "'carrier' is not known; allowed: ndjson:-"),
        ("ndjson:-?colour=1", "option 'colour' is not known; allowed: flush_s, fsync_s"),
        ("ndjson:-?flush_s=99", "must be a number from 0 to 10"),
        ("ndjson:-?flush_s=1&flush_s=2", "twice"),
        ({"path": "x", "password": "y"}, "sink with path, password: a sink needs url"),
        ({"url": "ndjson:-", "flush_s": [1]}, "must be a text, a number or true/false"),
    ],
)
def test_what_cannot_be_a_sink_is_refused(where: object, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        open_sink(where, OUTPUTS)  # type: ignore[arg-type]


def test_a_place_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write: .*choose a file"):
        run_sink(open_sink(f"ndjson:{tmp_path}/file/moments", OUTPUTS), lambda _: None)


def test_outputs_of_one_name_are_refused() -> None:
    with pytest.raises(ContractError, match="names, each a different one"):
        open_sink("ndjson:-", (OUTPUTS[0], OUTPUTS[0]))
