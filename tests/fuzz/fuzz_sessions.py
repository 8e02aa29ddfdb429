"""Hostile sessions through the session, the pipeline and the daemon: nothing raises, nothing grows, nobody else suffers.

    python -m tests.fuzz.fuzz_sessions --sessions 2000 [--seed 1] [--daemon] [--seconds 4]

Each session is drawn from its seed, which is printed with whatever it finds. With ``--daemon`` each goes through a whole
daemon as well: reader, model thread, recorder, publisher, sinks.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import numpy as np

from firmware_bridge.items import Chunk, Item
from firmware_bridge.sources.base import Source, SourceUrl
from firmware_bridge.streams.alignment import Aligner
from firmware_bridge.streams.receiver import NodeKey
from firmware_bridge.streams.session import Session, SessionStep
from runtime.pipeline.estimator import Estimator
from runtime.pipeline.input_from import InputFrom
from runtime.pipeline.intake import Intake
from runtime.pipeline.pipeline import Pipeline, still
from tests.fuzz.hostile_sessions import HONEST, HostileSession
from tests.runtime.pipeline.harness import SumEngine, contract
from toolkit.contract import SensorContract

#: What a session may hold of a stream: the aligner waits 5 s for all to speak, and keeps twice that of a clock that stands.
_MOST_WAITING_S = 10.0


class Checks:
    """What must hold after each item, and at the end."""

    def __init__(self, session: HostileSession) -> None:
        self.hostile = session
        self._known = 0
        self._truth: dict[tuple[int, int], object] = {}
        self._aligner: Aligner | None = None
        self._next: dict[str, int] = {}
        self.honest_packets = 0

    def step(self, item: Item, session: Session, step: SessionStep) -> None:
        """Rows follow one another, in the form that was chosen; times are possible; the honest node's values are its own."""
        if not isinstance(item, Chunk):
            assert step == ((), (), {})
            return
        arrival_s = item.arrival_ns * 1e-9
        for each in step.samples:
            assert each.times_s.shape == (each.data.samples,) and np.isfinite(each.times_s).all()
            assert each.times_s[-1] <= arrival_s + 0.1 + each.error_s and each.error_s >= 0
        self._rows(session, step)
        if not self.hostile.same_number:
            self._honest(step)

    def _rows(self, session: Session, step: SessionStep) -> None:
        before, self._aligner = self._aligner, session.aligner
        if session.aligner is not before:
            self._next = {}
            if session.by_hand:
                return  # chosen anew after this step: its rows are those of the axis before
        for name, rows in step.rows.items():
            assert session.aligner is not None
            assert rows.values.shape == (len(rows.times_s), len(session.aligner.specs[name].channels))
            assert rows.first == self._next.get(name, 0) and np.isfinite(rows.times_s).all()
            self._next[name] = rows.first + len(rows.times_s)

    def _honest(self, step: SessionStep) -> None:
        link = self.hostile.honest
        for sent in link.sent[self._known :]:
            self._truth[sent.boot, sent.sequence] = sent
        self._known = len(link.sent)
        numbers = {id(r.packet): (r.boot, r.sequence) for r in step.received}
        for each in step.samples:
            if each.key != NodeKey(0, 0):
                continue
            sent = self._truth[numbers[id(each.data)]]
            assert each.data == sent.packet  # type: ignore[attr-defined]
            error_s = float(each.times_s[-1]) - (self.hostile.begun_ns * 1e-9 + sent.time_s)  # type: ignore[attr-defined]
            assert abs(error_s) <= each.error_s + 2e-6, (error_s, each.error_s)
            self.honest_packets += 1

    def end(self, session: Session) -> None:
        """Every ledger balances, what is kept is bounded, and the honest node was heard."""
        for link in session.receiver.links.values():
            assert link.balance().balances and all(node.balance().balances for node in link.nodes.values())
        if session.aligner is not None:
            for name, kept in session.aligner._waiting.items():
                rate_hz = session.aligner.specs[name].rate_hz
                assert sum(len(times) for times, _ in kept) <= 1_000 + _MOST_WAITING_S * rate_hz + 255
        if not self.hostile.same_number:
            assert self.honest_packets > 10 * self.hostile.seconds


def run_session(seed: int, seconds: float) -> Counter[str]:
    """One session through :class:`Session`, choosing its streams by itself, and with wanted ones."""
    given, counts = contract(), Counter[str]()
    for wanted in (None, {item.stream.name: item.stream for item in given.inputs}):
        drawn, session = HostileSession(seed, given, seconds), Session(wanted=wanted)
        checks = Checks(drawn)
        for item in drawn:
            step = session.process(item)
            checks.step(item, session, step)
            counts["samples"] += sum(len(each.times_s) for each in step.samples)
            counts["rows"] += sum(len(rows.times_s) for rows in step.rows.values())
        checks.end(session)
        counts["damaged"] += sum(link.damaged for link in session.receiver.links.values())
        counts["reboots"] += session.receiver.balance().reboots
        counts["untimed"] += session.untimed
    return counts


def run_pipeline(seed: int, seconds: float) -> Counter[str]:
    """One session through intake and estimator. Unless somebody took its name, the honest node's estimates must flow."""
    given, counts = contract(), Counter[str]()
    drawn = HostileSession(seed, given, seconds)
    inputs = {item.stream.name: InputFrom((f"{HONEST}/{item.stream.name}",)) for item in given.inputs}
    intake = Intake(given, inputs)
    pipeline = Pipeline(intake, Estimator(given, SumEngine(given), clock=still))
    checks = Checks(drawn)
    for item in drawn:
        estimates = pipeline.process(item)
        checks.step(item, intake.session, intake.step)
        counts["estimates"] += len(estimates)
    checks.end(intake.session)
    counts["pipelines"] += 1
    clear = not (drawn.same_name or drawn.same_number)
    counts["clear"] += clear
    if clear:
        assert intake.trouble is None and not intake.missing
        assert counts["estimates"] > 10 * seconds, counts
    return counts


class HostileSource(Source):
    """A session as a source: as fast as it can, on a clock of its own."""

    def __init__(self, session: HostileSession) -> None:
        super().__init__(SourceUrl("hostile://", "hostile", "", {"speed": "max"}))
        self._session = session

    @property
    def links(self) -> tuple[str, ...]:
        return tuple(f"hostile {link}" for link in range(self._session.links))

    @property
    def origin_ns(self) -> int | None:
        return self._session.begun_ns

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def __aiter__(self) -> AsyncIterator[Item]:
        for count, item in enumerate(self._session):
            if count % 16 == 0:
                await asyncio.sleep(0)
            yield item


def run_daemon(seed: int, seconds: float) -> Counter[str]:
    """One session through a whole daemon, with a recording: it ends with its source, and no part of it has failed."""
    from runtime.daemon.model import load_model
    from runtime.settings import RecordingSettings
    from tests.runtime.daemon.harness import Running, settings

    with tempfile.TemporaryDirectory() as folder:
        wanted = settings("hostile://", recording=RecordingSettings(Path(folder)))
        given: SensorContract = load_model(wanted.model).bundle.contract
        drawn = HostileSession(seed, given, seconds)
        inputs: Mapping[str, InputFrom] = {
            item.stream.name: InputFrom((f"{HONEST}/{item.stream.name}",)) for item in given.inputs
        }
        running = Running(
            settings("hostile://", inputs=inputs, recording=RecordingSettings(Path(folder))),
            lambda _: HostileSource(drawn),
        )
        asyncio.run(asyncio.wait_for(running.daemon.run(), 600))
        failed = running.event("part failed")
        assert not failed, failed
        assert running.event("stopped") and running.event("sources ended")
        estimates = len(running.estimates)
        (recorded,) = list(Path(folder).glob("*.etl"))
        # A daemon freezes what there is when it starts, as a process with one daemon may: here the next one would keep it.
        gc.unfreeze()
        del running
        gc.collect()
        return Counter({"daemons": 1, "daemon estimates": estimates, "recorded": recorded.stat().st_size})


def rss_mb() -> float:
    """The resident memory of this process, now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> int:
    """Run and report; exit code 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--daemon", action="store_true", help="through the whole daemon as well")
    given = parser.parse_args()
    kinds: list[Callable[[int, float], Counter[str]]] = [run_session, run_pipeline]
    kinds += [run_daemon] if given.daemon else []
    total, found, begun_s, base_mb = Counter[str](), [], time.monotonic(), 0.0
    for place in range(given.sessions):
        seed = given.seed + place
        for kind in kinds:
            try:
                total += kind(seed, given.seconds)
            except Exception:
                found.append((kind.__name__, seed))
                print(f"{kind.__name__} seed {seed}:\n{traceback.format_exc()}", flush=True)
        if place == min(50, given.sessions // 4):
            base_mb = rss_mb()
        if place % 100 == 99:
            print(
                f"{place + 1} sessions, {time.monotonic() - begun_s:.0f} s, {rss_mb():.0f} MB, {dict(total)}",
                flush=True,
            )
    grown = rss_mb() - base_mb
    print(
        f"{given.sessions} sessions from seed {given.seed}: {len(found)} found {found[:20]}; "
        f"memory {base_mb:.0f} MB, {grown:+.1f} MB"
    )
    print(dict(total))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
