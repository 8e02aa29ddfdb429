"""Runs the parts of a daemon: what one of them raises is that part's trouble; it is counted, told, and begun again.

Nothing of a daemon runs outside of it: tasks through :meth:`Supervisor.start`, calls from callbacks inside
:meth:`Supervisor.cover`, and what slips past both through :meth:`Supervisor.stray`, the event loop's last resort.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from runtime.log.journal import Journal
from runtime.status.status import PartStatus
from toolkit.errors import EdgetoolError

#: Parts that are told apart; whoever can make up names must not fill the memory. More are counted as :data:`OTHERS`.
_MOST_PARTS = 256
OTHERS = "others"


@dataclass(frozen=True)
class Pauses:
    """Seconds between a failure and the next try: ``first_s``, doubled up to ``longest_s``; a part that has run for ``ran_s``
    begins with the first again, and is out of trouble."""

    first_s: float = 0.25
    longest_s: float = 30.0
    ran_s: float = 10.0

    def after(self, pause_s: float | None, ran_s: float) -> float:
        """The pause after a run of ``ran_s`` that followed a pause of ``pause_s`` (None: the first run)."""
        if pause_s is None or ran_s >= self.ran_s:
            return self.first_s
        return min(2 * pause_s, self.longest_s)


@dataclass
class _Part:
    """What is known of one part; times in s of the machine's monotonic clock."""

    failures: int = 0
    words: str | None = None
    failed_s: float = -float("inf")
    told_s: float = -float("inf")
    untold: int = 0
    resting: bool = False


class Supervisor:
    """One a daemon; all on its event loop but :meth:`failed`, which any thread may call."""

    def __init__(
        self,
        journal: Journal,
        pauses: Pauses | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pauses = pauses or Pauses()
        self._journal, self._clock = journal, clock
        self._parts: dict[str, _Part] = {}
        self._covers: dict[str, _Cover] = {}

    def start(
        self,
        name: str,
        make: Callable[[], Awaitable[None]],
        fatal: type[BaseException] | tuple[type[BaseException], ...] = (),
    ) -> asyncio.Task[None]:
        """A task that runs ``make()`` again whenever it raises, until it returns or is cancelled.

        What is ``fatal`` is not tried again: the task raises it.
        """
        self._part(name)
        return asyncio.create_task(self._run(name, make, fatal), name=name)

    def cover(self, name: str) -> _Cover:
        """``with supervisor.cover("sink 1"):`` an exception inside is counted and told, and goes no further."""
        cover = self._covers.get(name)
        if cover is None:
            self._part(name)
            cover = _Cover(self, name)
            if len(self._covers) < _MOST_PARTS:
                self._covers[name] = cover
        return cover

    def failed(self, name: str, error: BaseException, pause_s: float | None = None) -> None:
        """Count a failure of ``name``; tell it at once, and then at most every ten seconds. ``pause_s``: how long it rests."""
        part, now_s = self._part(name), self._clock()
        words = describe(error)
        part.failures += 1
        part.failed_s, part.resting = now_s, pause_s is not None
        if part.words != words or now_s - part.told_s >= self.pauses.ran_s or pause_s is not None:
            rest = {} if pause_s is None else {"again_s": round(pause_s, 3)}
            more = {"more": part.untold} if part.untold else {}
            self._journal.error("part failed", part=name, reason=words, at=_place(error), **rest, **more)
            part.told_s, part.untold = now_s, 0
        else:
            part.untold += 1
        part.words = words

    def begun(self, name: str) -> None:
        """``name`` is at work again after its rest."""
        self._part(name).resting = False
        self._journal.info("part begun again", part=name)

    def stray(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """For ``loop.set_exception_handler``: what a callback or a forgotten task of a library raised."""
        del loop
        error = context.get("exception")
        self.failed("event loop", error if error is not None else RuntimeError(str(context.get("message"))))

    def status(self) -> tuple[PartStatus, ...]:
        """Every part, how often it has failed, and what its trouble is now."""
        now_s = self._clock()
        result = []
        for name, part in list(self._parts.items()):
            over = not part.resting and now_s - part.failed_s >= self.pauses.ran_s
            result.append(PartStatus(name, part.failures, None if over else part.words))
        return tuple(result)

    async def _run(
        self,
        name: str,
        make: Callable[[], Awaitable[None]],
        fatal: type[BaseException] | tuple[type[BaseException], ...],
    ) -> None:
        pause_s = None
        while True:
            began_s = self._clock()
            try:
                await make()
                return
            except Exception as error:
                if isinstance(error, fatal):
                    raise
                pause_s = self.pauses.after(pause_s, self._clock() - began_s)
                self.failed(name, error, pause_s)
            await asyncio.sleep(pause_s)
            self.begun(name)

    def _part(self, name: str) -> _Part:
        if name not in self._parts and len(self._parts) >= _MOST_PARTS:
            name = OTHERS
        return self._parts.setdefault(name, _Part())


class _Cover:
    """See :meth:`Supervisor.cover`. ``ended_well`` says of the last time whether nothing was raised."""

    def __init__(self, supervisor: Supervisor, name: str) -> None:
        self._supervisor, self._name = supervisor, name
        self.ended_well = True

    def __enter__(self) -> _Cover:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.ended_well = error is None
        if not isinstance(error, Exception):
            return False
        self._supervisor.failed(self._name, error)
        return True


def describe(error: BaseException) -> str:
    """An error as one line: a mistake of a person's by its words, one of ours with its class."""
    words = " ".join(str(error).split())[:300]
    if isinstance(error, EdgetoolError):
        return words
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _place(error: BaseException) -> str:
    """File and line where it was raised; what a bug report needs."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown"
