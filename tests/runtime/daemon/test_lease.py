"""An ``ok`` estimate does not outlive its limit: its lease, and the thread that says "stale" when the loop hangs."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

from runtime.daemon.outlet import Outlet
from runtime.daemon.stand_in import StandIn
from runtime.daemon.supervisor import Supervisor
from runtime.log.journal import Journal
from runtime.pipeline.estimate import Estimate, State
from runtime.pipeline.estimator import RowEstimate
from runtime.pipeline.histogram import RecentTally
from runtime.pipeline.publisher import Publisher
from runtime.pipeline.states import Rules, Verdict
from runtime.sinks import open_sink
from runtime.sinks.frame import EstimateFrame
from runtime.sinks.interface import Sink
from runtime.sinks.json_lines import estimate_line, estimate_of, read_estimates
from tests.runtime.daemon.harness import Collect, Running, during, settings
from tests.runtime.sinks.harness import OUTPUTS

MS = 1_000_000


def _published(state: State, source_ms: int, now_ms: int) -> Estimate:
    row = RowEstimate(0, source_ms * MS, 1.0, source_ms * MS, Verdict(state), (1.0, 2.0), "abc")
    return row.published(7, now_ms * MS, Rules(stale_ms=150.0), "run1")


class TestLease:
    def test_it_ends_where_the_estimate_would_be_stale(self) -> None:
        estimate = _published(State.OK, 100, 110)
        assert estimate.valid_until_ns == 250 * MS and (estimate.run, estimate.model) == ("run1", "abc")
        # Published a nanosecond later than that it has no values, and no lease.
        late = replace(estimate, published_ns=0)
        assert late.valid_until_ns == 250 * MS
        stale = _published(State.OK, 100, 251)
        assert (
            stale.state is State.STALE and stale.values == () and stale.valid_until_ns == stale.published_ns
        )

    def test_readers_get_it(self) -> None:
        estimate = _published(State.OK, 100, 110)
        line = estimate_line(estimate, OUTPUTS)
        assert json.loads(line)["valid_until_ns"] == 250 * MS and estimate_of(line) == estimate
        frame = EstimateFrame.of(estimate, 1)
        assert frame.valid_ms == 140 and EstimateFrame.from_bytes(bytes(frame)) == frame
        assert EstimateFrame.of(_published(State.INVALID, 100, 110), 1).valid_ms == 0
        # Never more than is left: parts of a millisecond are cut off.
        assert EstimateFrame.of(replace(estimate, published_ns=110 * MS + 1), 1).valid_ms == 139

    def test_silence_has_none(self) -> None:
        given: list[Estimate] = []
        publisher = Publisher(Rules(), 10.0, 0, given.append, "run1")
        publisher.tick(200 * MS)
        assert given[0].valid_until_ns == given[0].published_ns and given[0].run == "run1"


class OnTheLoop(Collect):
    """Cannot take an estimate from another thread."""

    name = "on the loop"

    def publish_from_thread(self, estimate: Estimate) -> None:
        Sink.publish_from_thread(self, estimate)


def test_a_loop_that_hangs_is_stood_in_for(tmp_path: Path) -> None:
    """The loop is held in a call for a second: the sinks that can take it hear "stale", in order and without a hole."""
    file = tmp_path / "m.ndjson"
    given = settings(
        "sim://synthetic", sinks=(f"ndjson:{file}",), rules=Rules(stale_ms=200.0, silence_ms=4000.0)
    )
    held: list[tuple[int, int]] = []
    on_loop = OnTheLoop()

    async def work(running: Running) -> None:
        await running.until(lambda: running.is_state(State.OK))
        began_ns = time.monotonic_ns()
        time.sleep(1.0)
        held.append((began_ns, time.monotonic_ns()))
        await running.until(lambda: running.is_state(State.OK))

    async def all_of_it() -> Running:
        running = Running(given, extra_sinks=(on_loop,))
        await during(running, work)
        return running

    running = asyncio.run(all_of_it())
    estimates = list(read_estimates(file))
    assert [each.sequence for each in estimates] == list(range(len(estimates)))
    ((began_ns, ended_ns),) = held
    meanwhile = [each for each in estimates if began_ns < each.published_ns < ended_ns]
    assert {each.state for each in meanwhile} == {State.STALE} and len(meanwhile) >= 2
    newest_ok = max(each.source_ns for each in estimates if each.published_ns < began_ns and each.values)
    assert meanwhile[0].published_ns >= newest_ok + 200 * MS
    # A sink that cannot take one from a thread counts what it missed.
    assert on_loop.dropped == running.daemon._parts.stand_in.spoken >= len(meanwhile)
    assert on_loop.published + on_loop.dropped == len(estimates)


def test_it_is_silent_while_the_loop_beats() -> None:
    sink, said = OnTheLoop(), list[BaseException]()
    outlet = Outlet(Supervisor(Journal("error")))
    outlet.sinks.append(sink)
    publisher = Publisher(Rules(stale_ms=10.0, silence_ms=50.0), 10.0, 0, outlet.give)
    now = [0]
    standing = StandIn(publisher, lambda: now[0], outlet, said.append, after_s=0.05, every_s=0.001)
    standing.start()
    try:
        until_s = time.monotonic() + 0.2
        while time.monotonic() < until_s:
            standing.beat()
            now[0] += MS
        spoken = standing.spoken
        end_s = time.monotonic() + 20.0
        while not standing.spoken > spoken:  # nobody beats any more
            now[0] += MS
            assert time.monotonic() < end_s
    finally:
        standing.stop()
    assert said == [] and sink.estimates == [] and sink.dropped == standing.spoken


def test_what_it_raises_is_its_own_trouble() -> None:
    failed: list[BaseException] = []

    def broken() -> int:
        raise ZeroDivisionError

    publisher = Publisher(Rules(), 10.0, 0, lambda _: None)
    outlet = Outlet(Supervisor(Journal("error")))
    standing = StandIn(publisher, broken, outlet, failed.append, after_s=0.0, every_s=0.001)
    standing.start()
    end_s = time.monotonic() + 20.0
    while len(failed) < 3:
        assert time.monotonic() < end_s
        time.sleep(0.001)
    standing.stop()
    assert all(isinstance(each, ZeroDivisionError) for each in failed)


def test_udp_takes_one_from_a_thread() -> None:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(10)
        sink = open_sink(f"udp://127.0.0.1:{listener.getsockname()[1]}", OUTPUTS)

        async def given() -> None:
            await sink.open()
            await asyncio.to_thread(sink.publish_from_thread, _published(State.STALE, 1, 2))
            await sink.close()

        asyncio.run(given())
        assert EstimateFrame.from_bytes(listener.recv(2048)).state is State.STALE
    assert (sink.published, sink.dropped) == (1, 0)


def test_recent_ages_forget() -> None:
    tally, second = RecentTally(span_s=10.0, slots=10), 1_000_000_000
    for tick in range(60):
        tally.add(1.0 if tick < 30 else 20.0, tick * second)
    recent = tally.snapshot(59 * second)
    assert (recent.count, recent.largest_ms, recent.sum_ms) == (10, 20.0, 200.0)
    assert tally.snapshot(64 * second).count == 5 and tally.snapshot(200 * second).count == 0
