"""Small parts of the daemon: log, service manager, recorder, histograms, publisher, states, queue to the model."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firmware_bridge.items import Chunk
from firmware_bridge.recording.file import RecordingReader, RecordingWriter
from firmware_bridge.streams.session import SessionStep
from runtime.daemon.recorder import Recorder
from runtime.daemon.supervisor import Pauses
from runtime.daemon.worker import ModelWorker
from runtime.log.faults import FaultLog
from runtime.log.journal import Journal
from runtime.log.notify import Notifier
from runtime.log.state_log import StateLog
from runtime.pipeline.estimate import Estimate, State
from runtime.pipeline.estimator import Estimator, RowEstimate
from runtime.pipeline.histogram import Histogram, Tally
from runtime.pipeline.intake import Batch
from runtime.pipeline.publisher import Publisher
from runtime.pipeline.states import (
    Finding,
    FindingWindow,
    Rules,
    Verdict,
)
from tests.runtime.pipeline.harness import SumEngine, contract
from toolkit.errors import OutputError, UsageError

MS = 1_000_000


class TestJournal:
    def test_text(self) -> None:
        out = io.StringIO()
        Journal("info", "text", out).warning("link down", link="serial /dev/x", reason="", count=3, share=0.5)
        (line,) = out.getvalue().splitlines()
        assert line.startswith("time=20")
        assert line.endswith(
            ' level=warning event="link down" link="serial /dev/x" reason="" count=3 share=0.5'
        )

    def test_json_and_level(self) -> None:
        out = io.StringIO()
        journal = Journal("warning", "json", out)
        journal.debug("a")
        journal.info("b")
        journal.error("c", text='with "quotes"\nand lines')
        (line,) = out.getvalue().splitlines()
        value = json.loads(line)
        assert (value["level"], value["event"], value["text"]) == ("error", "c", 'with "quotes"\nand lines')

    def test_a_line_stays_a_line(self) -> None:
        """What a node or a person named must not forge a second line."""
        out = io.StringIO()
        Journal("info", "text", out).info("x", name="a\nlevel=error event=forged")
        assert len(out.getvalue().splitlines()) == 1

    def test_under_systemd(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setenv("JOURNAL_STREAM", "8:1")
        Journal().error("bad")
        assert capsys.readouterr().err == "<3>level=error event=bad\n"

    def test_nobody_reads(self) -> None:
        class Gone(io.StringIO):
            tries = 0

            def write(self, text: str) -> int:
                self.tries += 1
                raise BrokenPipeError

        gone = Gone()
        journal = Journal("info", "text", gone)
        journal.info("x")
        journal.info("y")
        assert gone.tries == 2
        closed = io.StringIO()
        closed.close()
        Journal("info", "text", closed).info("x")


class TestNotifier:
    def test_words(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(tmp_path / "s"))
            manager.settimeout(5)
            notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "s"), "WATCHDOG_USEC": "3000000"})
            assert notifier.watchdog_s == 1.5
            notifier.ready()
            notifier.status("a\nb")
            notifier.watchdog()
            notifier.reloading(5_000)
            notifier.stopping()
            heard = [manager.recv(1000) for _ in range(5)]
        assert heard == [
            b"READY=1",
            b"STATUS=a b",
            b"WATCHDOG=1",
            b"RELOADING=1\nMONOTONIC_USEC=5",
            b"STOPPING=1",
        ]

    def test_abstract_socket(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind("\0edgetool-test-notify")
            manager.settimeout(5)
            Notifier({"NOTIFY_SOCKET": "@edgetool-test-notify"}).ready()
            assert manager.recv(100) == b"READY=1"

    def test_nobody_listens(self, tmp_path: Path) -> None:
        Notifier({}).ready()
        late = Notifier({"NOTIFY_SOCKET": str(tmp_path / "late")})
        late.ready()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(tmp_path / "late"))
            manager.settimeout(5)
            late.status("now")
            assert manager.recv(1000) == b"STATUS=now"

    def test_a_watchdog_of_another_process(self) -> None:
        assert Notifier({"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}).watchdog_s is None
        assert Notifier({"WATCHDOG_USEC": "x"}).watchdog_s is None
        assert Notifier({"WATCHDOG_USEC": "0"}).watchdog_s is None


class TestRecorder:
    STEP = SessionStep((), (), {})

    def test_a_new_file_when_links_are_added(self, tmp_path: Path) -> None:
        recorder = Recorder(tmp_path, "walk")
        recorder.start(["a"], 0, {})
        recorder.append(Chunk(0, 5, b"one"), self.STEP, 5)
        recorder.start(["a", "b"], 10, {})
        recorder.append(Chunk(1, 15, b"two"), self.STEP, 15)
        recorder.close({})
        files = sorted(tmp_path.glob("walk-*.etl"), key=lambda path: path.stat().st_ino)
        assert len(files) == 2
        held = {}
        for file in files:
            reader = RecordingReader.open(file)
            held[reader.snapshot.links] = [i.data for i in reader.items() if isinstance(i, Chunk)]
            assert reader.closed
        assert held == {("a",): [b"one"], ("a", "b"): [b"two"]}
        assert recorder.status().trouble is None and recorder.status().bytes == 3

    def test_trouble_and_back(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        recorder = Recorder(tmp_path, again_s=0.0)
        recorder.start(["a"], 0, {})

        def full(self: RecordingWriter, item: Any, now_ns: int) -> None:
            raise OutputError("disk full")

        with monkeypatch.context() as broken:
            broken.setattr(RecordingWriter, "append", full)
            recorder.append(Chunk(0, 5, b"lost"), self.STEP, 5)
            assert recorder.status().trouble == "disk full"
            recorder.append(Chunk(0, 6, b"lost too"), self.STEP, 6)
        recorder.tick(7)
        assert recorder.status().trouble is None
        recorder.append(Chunk(0, 8, b"kept"), self.STEP, 8)
        recorder.close({})
        data = [
            item.data
            for file in tmp_path.glob("*.etl")
            for item in RecordingReader.open(file).items()
            if isinstance(item, Chunk)
        ]
        assert data == [b"kept"]

    def test_a_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        recorder = Recorder(tmp_path / "file")
        recorder.start(["a"], 0, {})
        recorder.append(Chunk(0, 5, b"one"), self.STEP, 5)
        assert recorder.status().trouble is not None and "cannot write" in recorder.status().trouble


class TestHistogram:
    def test_counts_and_quantiles(self) -> None:
        tally = Tally()
        for time_ms in (0.05, 0.1, 0.2, 4.0, 4.9, 2000.0):
            tally.add(time_ms)
        shot = tally.snapshot()
        assert shot.count == 6 and shot.largest_ms == 2000.0 and shot.sum_ms == pytest.approx(2009.25)
        assert shot.counts[0] == 2  # at most 0.1
        assert shot.counts[-1] == 1
        assert shot.quantile_ms(0.5) == 0.25  # the third of six lies in the bucket up to 0.25
        assert shot.quantile_ms(0.8) == 5.0
        assert shot.quantile_ms(1.0) == 2000.0

    def test_nothing_counted(self) -> None:
        assert Histogram().quantile_ms(0.99) is None

    def test_a_quantile_is_never_above_the_largest(self) -> None:
        tally = Tally()
        tally.add(3.2)
        assert tally.snapshot().quantile_ms(0.99) == 3.2


class TestStateLog:
    def _said(
        self, seconds: float, state_at: Callable[[float], tuple[State, tuple[str, ...]]]
    ) -> list[tuple[float, str]]:
        """What is told of estimates at 100 Hz, and when."""
        text, said = io.StringIO(), []
        log = StateLog(Journal("info", "json", text), Notifier({}))
        for tick in range(round(seconds * 100)):
            state, reasons = state_at(tick / 100)
            before = text.tell()
            log.look(tick / 100, Estimate(tick, 0, 0.0, 0, 0, state, reasons, ()), None, ())
            if text.tell() > before:
                said.append((tick / 100, json.loads(text.getvalue()[before:])["state"]))
        return said

    def test_what_may_not_be_used_is_said_at_once_and_its_end_too(self) -> None:
        stale = (State.STALE, ("late",))
        said = self._said(10, lambda t: stale if 3 <= t < 5 else (State.OK, ()))
        assert said == [(0.0, "ok"), (3.0, "stale"), (5.0, "ok")]

    def test_a_short_gap_is_not_worth_a_line(self) -> None:
        gap = (State.DEGRADED, ("gap",))
        assert self._said(50, lambda t: gap if t % 5 < 0.04 and t > 1 else (State.OK, ())) == [(0.0, "ok")]

    def test_degraded_that_lasts_is_said_after_a_second(self) -> None:
        gap = (State.DEGRADED, ("gap",))
        said = self._said(20, lambda t: gap if 3 <= t < 9 else (State.OK, ()))
        assert said == [(0.0, "ok"), (4.0, "degraded"), (10.0, "ok")]

    def test_flicker_is_said_once_a_minute(self) -> None:
        gap = (State.DEGRADED, ("gap",))
        said = self._said(200, lambda t: gap if t % 1 < 0.6 and t > 1 else (State.OK, ()))
        assert [state for _, state in said][:3] == ["ok", "degraded", "ok"] and 3 <= len(said) <= 4


class TestFaultLog:
    def _said(self, looks: list[tuple[float, str | None]]) -> list[tuple[str, str]]:
        text = io.StringIO()
        faults = FaultLog(Journal("info", "json", text))
        for now_s, words in looks:
            faults.look(now_s, {"sink": words, "other": None})
        entries = [json.loads(line) for line in text.getvalue().splitlines()]
        assert {entry["who"] for entry in entries} <= {"sink"}
        return [(entry["event"], entry.get("reason", "")) for entry in entries]

    def test_begin_and_end_are_said_once(self) -> None:
        looks = [
            (0.0, None),
            *((t / 10, "down") for t in range(10, 600)),
            *((t / 10, None) for t in range(600, 800)),
        ]
        assert self._said(looks) == [("trouble", "down"), ("trouble over", "")]

    def test_flicker_is_one_trouble(self) -> None:
        """A UDP sink to nobody is refused every other time."""
        assert self._said([(t / 50, "refused" if t % 2 else None) for t in range(3000)]) == [
            ("trouble", "refused")
        ]

    def test_other_words_are_said_but_not_too_often(self) -> None:
        looks = [(float(t), "a" if t % 2 else "b") for t in range(30)]
        assert [words for _, words in self._said(looks)] == ["b", "a", "b"]  # at 0, 11 and 22 s


class TestVerdict:
    def test_worst_first_and_once(self) -> None:
        found = [(State.DEGRADED, "gap"), (State.INVALID, "off"), (State.DEGRADED, "gap")]
        assert Verdict.worst(found) == Verdict(State.INVALID, ("off", "gap"))
        assert Verdict.worst([]) == Verdict(State.OK)

    def test_and_also(self) -> None:
        gap = Verdict(State.DEGRADED, ("gap",))
        assert gap.and_also(State.STALE, "late") == Verdict(State.STALE, ("late", "gap"))
        assert gap.and_also(State.DEGRADED, "flat") == Verdict(State.DEGRADED, ("gap", "flat"))

    def test_a_finding_leaves_with_its_row(self) -> None:
        window = FindingWindow(4, Rules(), 10.0)
        for _ in range(4):
            last = window.append(0)
        assert last == Verdict(State.OK)
        said = [window.append(int(Finding.REBOOT) if row == 0 else 0) for row in range(6)]
        assert said == [Verdict(State.DEGRADED, ("reboot",))] * 4 + [Verdict(State.OK)] * 2

    def _after(self, window: FindingWindow, rows: str) -> str:
        """``g``: a row in a gap, ``.``: none. What is said of each: ``d`` degraded, ``i`` invalid, ``o`` ok."""
        for _ in range(20):
            window.append(0)
        said = [window.append(int(Finding.GAP) if row == "g" else 0) for row in rows]
        assert {v.reasons for v in said} <= {(), ("gap",)}
        return "".join(v.state.value[0] for v in said)

    def test_a_short_gap_degrades_while_it_lasts_and_a_long_one_for_a_window(self) -> None:
        # 40 ms at 100 Hz are 4 rows. The fifth row in a gap degrades until it has left the window of 20.
        assert self._after(FindingWindow(20, Rules(), 10.0), "gggg" + 20 * ".") == "dddd" + 20 * "o"
        assert (
            self._after(FindingWindow(20, Rules(gap_share=1.0), 10.0), "ggggg" + 21 * ".") == 24 * "d" + "oo"
        )
        # Two short gaps are no long one.
        assert self._after(FindingWindow(20, Rules(), 10.0), "gg.gg" + 21 * ".") == "ddodd" + 21 * "o"

    def test_many_short_gaps_degrade(self) -> None:
        # A fifth of 20 rows are 4; the fifth row degrades while five are in the window.
        assert (
            self._after(FindingWindow(20, Rules(), 10.0), "gg.gg.g" + 14 * "." + "...")
            == "ddoddo" + 14 * "d" + "oooo"
        )

    def test_every_gap_counts_if_told_so(self) -> None:
        rules = Rules(short_gap_ms=0.0)
        assert self._after(FindingWindow(20, rules, 10.0), "g" + 20 * ".") == 20 * "d" + "o"
        rules = Rules(gap_share=0.0)
        assert self._after(FindingWindow(20, rules, 10.0), "g" + 20 * ".") == 20 * "d" + "o"
        rules = Rules(gaps_invalid=True)
        assert self._after(FindingWindow(20, rules, 10.0), "g" + 20 * ".") == 20 * "i" + "o"

    def test_a_gap_does_not_outlive_a_reset(self) -> None:
        window = FindingWindow(4, Rules(), 10.0)
        for _ in range(8):
            window.append(int(Finding.GAP))
        window.reset()
        assert [window.append(0).reasons for _ in range(5)] == [("warm-up",)] * 3 + [(), ()]

    def test_warm_up_is_a_window_less_one(self) -> None:
        window = FindingWindow(4, Rules(), 10.0)
        assert [window.append(0).reasons for _ in range(5)] == [("warm-up",)] * 3 + [(), ()]

    def test_share_of_saturated_rows(self) -> None:
        window = FindingWindow(10, Rules(saturated_share=0.2), 10.0)
        said = [window.append(int(Finding.SATURATED)) for _ in range(3)]
        assert [v.state for v in said] == [State.INVALID] * 3  # warm-up; then by share
        for _ in range(7):
            last = window.append(0)
        assert last == Verdict(State.INVALID, ("saturated",))  # three of ten
        assert window.append(0) == Verdict(State.DEGRADED, ("saturated",))  # two of ten: not above a fifth

    def test_rules_are_checked(self) -> None:
        with pytest.raises(UsageError, match="stale_hz is 0; it must be between 1 and 100"):
            Rules(stale_hz=0)


class TestPublisher:
    def _publisher(self, **rules: float) -> tuple[Publisher, list[Estimate]]:
        given: list[Estimate] = []
        return Publisher(Rules(**rules), 10.0, 0, given.append), given  # type: ignore[arg-type]

    def _estimate(self, source_ms: float, verdict: Verdict | None = None) -> RowEstimate:
        source_ns = round(source_ms * MS)
        return RowEstimate(0, source_ns, 1.0, source_ns + 5 * MS, verdict or Verdict(State.OK), (1.0,))

    def test_what_became_too_old_on_the_way_is_stale_and_empty(self) -> None:
        publisher, given = self._publisher()
        publisher.publish([self._estimate(100), self._estimate(300)], 400 * MS)
        assert [(m.state, m.reasons, m.values) for m in given] == [
            (State.STALE, ("late",), ()),
            (State.OK, (), (1.0,)),
        ]
        assert given[0].age_ms == 295 and publisher.deadlines_missed == 2

    def test_silence_is_said_in_time_and_at_a_rate(self) -> None:
        publisher, given = self._publisher()
        publisher.publish([self._estimate(100)], 110 * MS)
        for now_ms in range(110, 2000, 10):
            publisher.tick(now_ms * MS)
        # stale_ms is 150: the first at 260; then every 100 ms; invalid when the sample is more than 1000 ms old.
        assert [m.published_ns // MS for m in given[1:6]] == [260, 360, 460, 560, 660]
        assert [m.state for m in given[1:]] == [State.STALE] * 9 + [State.INVALID] * 9
        assert {m.reasons for m in given[1:]} == {("silent",)}
        assert {(m.source_ns, m.values) for m in given[1:]} == {(100 * MS, ())}

    def test_trouble_is_a_reason(self) -> None:
        publisher, given = self._publisher()
        publisher.tick(100 * MS, (State.INVALID, "contract-mismatch"))
        assert (given[0].state, given[0].reasons) == (State.INVALID, ("contract-mismatch", "waiting"))

    def test_times_in_states(self) -> None:
        publisher, _ = self._publisher()
        publisher.publish([self._estimate(0)], 10 * MS)
        publisher.publish([self._estimate(100, Verdict(State.DEGRADED, ("gap",)))], 110 * MS)
        seconds = publisher.seconds(160 * MS)
        assert seconds[State.OK] == pytest.approx(0.1) and seconds[State.DEGRADED] == pytest.approx(0.05)
        assert publisher.in_state_s(160 * MS) == pytest.approx(0.05)
        assert publisher.counts[State.OK] == publisher.counts[State.DEGRADED] == 1

    def test_a_clock_that_jumps_says_all_it_would_have_said(self) -> None:
        publisher, given = self._publisher()
        publisher.publish([self._estimate(100)], 110 * MS)
        publisher.catch_up(1110 * MS)
        assert [m.published_ns // MS for m in given[1:]] == [310, 410, 510, 610, 710, 810, 910, 1010]


class TestModelWorker:
    def test_a_full_queue_says_so(self) -> None:
        inside, go_on = threading.Event(), threading.Event()

        class Stuck(Estimator):
            def estimate(self, batch: Batch, behind: int = 0) -> list[RowEstimate]:
                inside.set()
                assert go_on.wait(10)
                return []

        given = contract()
        worker = ModelWorker(Stuck(given, SumEngine(given)), lambda e, c: None, lambda e: None, size=2)  # type: ignore[arg-type]
        batch = Batch(0, False, {}, 0.0)
        worker.start()
        assert worker.put(batch) and inside.wait(10)
        assert [worker.put(batch) for _ in range(4)] == [True, True, False, False]
        assert (worker.dropped, worker.waiting, worker.full) == (2, 2, True)
        go_on.set()
        assert worker.stop()
        assert worker.waiting == 0

    def test_a_failure_is_handed_on(self) -> None:
        class Broken(Estimator):
            def estimate(self, batch: Batch, behind: int = 0) -> list[RowEstimate]:
                raise ZeroDivisionError("bug")

        given, failed = contract(), list[BaseException]()
        done, resumed = threading.Event(), threading.Event()

        def fail(error: BaseException, pause_s: float) -> None:
            failed.append(error)
            done.set()

        def works() -> Estimator:
            return Estimator(given, SumEngine(given))  # type: ignore[arg-type]

        worker = ModelWorker(
            Broken(given, SumEngine(given)),  # type: ignore[arg-type]
            lambda e, c: None,
            fail,
            resumed.set,
            works,
            pauses=Pauses(0.01, 0.02, 1.0),
        )
        worker.start()
        worker.put(Batch(0, True, {}, 0.0))
        assert done.wait(10) and isinstance(failed[0], ZeroDivisionError)
        assert resumed.wait(10) and not isinstance(worker.estimator, Broken)
        assert worker.stop()


def test_an_exchanged_estimator_of_another_contract_waits_for_a_restart() -> None:
    """In mid-stream nobody knows which rows of two inputs belong together."""
    given, other = contract(), contract(imu_channels=3)
    old, new = Estimator(given, SumEngine(given)), Estimator(other, SumEngine(other))  # type: ignore[arg-type]
    assert not new.continue_from(old)
    rows = {name: np.zeros((4, n), np.float32) for name, n in (("imu", 3), ("emg", 1))}
    from runtime.pipeline.intake import InputRows

    def batch(restart: bool) -> Batch:
        inputs = {
            name: InputRows(0, values, np.zeros(4, np.uint8), np.arange(4.0)) for name, values in rows.items()
        }
        return Batch(0, restart, inputs, 0.001)

    assert new.estimate(batch(False)) == []
    # Rows 0 and 1 of the grid at 50 Hz lie at raw rows 0, 2 of imu (100 Hz) and only row 0 of emg (200 Hz, 4 rows).
    assert len(new.estimate(batch(True))) == 1
