"""What the sources give, to the pipeline, the recording and the model's queue. What one link sends cannot stop the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from firmware_bridge.items import Item, LinkChange
from firmware_bridge.streams.session import SessionStep
from runtime.daemon.clock import SourceClock
from runtime.daemon.recorder import Recorder
from runtime.daemon.source_keeper import SourceKeeper
from runtime.daemon.supervisor import Supervisor
from runtime.daemon.worker import ModelWorker
from runtime.log.journal import Journal
from runtime.pipeline.estimate import State
from runtime.pipeline.intake import Batch, Intake
from runtime.pipeline.states import MISMATCH

_NOTHING = SessionStep((), (), {})


@dataclass
class _Rest:
    """A link whose bytes are not looked at until ``until_s``; the pause before the next will be longer."""

    until_s: float
    pause_s: float
    over: bool = False


class Reader:
    """``make_intake`` makes a fresh intake: the one that stumbled over an item may hold half of it.

    A link whose item raised is left out for a pause that grows (its bytes are recorded all the same), so that a node that sends
    what nobody foresaw costs the others a moment, not the estimates.
    """

    def __init__(
        self,
        keeper: SourceKeeper,
        make_intake: Callable[[], Intake],
        recorder: Recorder | None,
        clock: SourceClock,
        supervisor: Supervisor,
        journal: Journal,
    ) -> None:
        self._keeper, self._make_intake, self._recorder = keeper, make_intake, recorder
        self._clock, self._supervisor, self._journal = clock, supervisor, journal
        self.intake = make_intake()
        #: When the newest sample came, on the machine's monotonic clock; 0 before the first.
        self.sample_ns = 0
        #: Items that were not looked at because their link rested.
        self.passed_over = 0
        #: Called with every batch that the model gets.
        self.tap: Callable[[Batch], None] = lambda batch: None
        self._head_new = False
        self._resting: dict[int, _Rest] = {}

    @property
    def mismatch(self) -> tuple[State, str] | None:
        """State and reason of what cannot be estimated because the sensors do not fit the model's contract."""
        return (State.INVALID, MISMATCH) if self.intake.trouble is not None else None

    def begin_file(self) -> None:
        """A recording has its links, and what is said of it, at its head: with the next item a new file begins."""
        self._head_new = True

    async def run(self, worker: ModelWorker) -> None:
        """Until the sources end."""
        async for item in self._keeper:
            self._see(item)
            batch = self._decode(item)
            with self._supervisor.cover("recording"):
                self._record(item)
            if self.intake.step.samples:
                self.sample_ns = time.monotonic_ns()
            if batch is None:
                continue
            self.tap(batch)
            while self._clock.foreign and worker.full:
                await asyncio.sleep(0.001)
            if not worker.put(batch):
                self.intake.realign()
            # Estimates that are ready go out before the next of a burst of packets is decoded.
            await asyncio.sleep(0)
        self._journal.info("sources ended")

    def _see(self, item: Item) -> None:
        self._clock.see(item)
        if isinstance(item, LinkChange):
            link = self._name(item.link)
            self._journal.warning("link up" if item.up else "link down", link=link, reason=item.reason)

    def _name(self, link: int) -> str:
        return self._keeper.links[link] if link < len(self._keeper.links) else str(link)

    def _decode(self, item: Item) -> Batch | None:
        rest = self._resting.get(item.link)
        now_s = time.monotonic()
        if rest is not None and now_s < rest.until_s:
            self.intake.step = _NOTHING
            self.passed_over += 1
            return None
        name = f"link {self._name(item.link)}"
        if rest is not None and not rest.over:
            rest.over = True
            self._supervisor.begun(name)
        try:
            return self.intake.decode(item)
        except Exception as error:
            pauses = self._supervisor.pauses
            ran_s = now_s - rest.until_s if rest is not None else 0.0
            pause_s = pauses.after(rest.pause_s if rest is not None else None, ran_s)
            self._resting[item.link] = _Rest(now_s + pause_s, pause_s)
            self._supervisor.failed(name, error, pause_s)
            self.intake = self._make_intake()
            return None

    def _record(self, item: Item) -> None:
        if self._recorder is None:
            return
        ledger = self.intake.session.receiver.ledger
        if self._head_new or self._recorder.full:
            origin_ns = self._keeper.origin_ns if self._head_new else None
            self._head_new = False
            start_ns = item.arrival_ns if origin_ns is None else origin_ns
            self._recorder.start(self._keeper.links, start_ns, ledger())
        self._recorder.append(item, self.intake.step, time.monotonic_ns())
