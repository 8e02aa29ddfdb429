"""Calibrating the session while the daemon runs: the guide looks at the rows that the model gets, and the result is reloaded.

One calibration at a time. Its steps are judged on a thread; reading and estimating go on meanwhile. Nothing is written before
all of it is done and good, then the file is written whole and the model is loaded again with it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from runtime.calibration.guide import Guide, Wanted
from runtime.daemon.supervisor import describe
from runtime.log.journal import Journal
from runtime.pipeline.intake import Batch, Intake
from runtime.status.status import CalibrationStatus
from toolkit.calibration import Calibration, require_calibration_fits
from toolkit.contract import SensorContract
from toolkit.errors import EdgetoolError, UsageError

#: Batches are looked at this often, s.
_LOOK_S = 0.1
#: Batches that wait at most: a minute of 100 a second. More only wait where the computer is far too slow.
_MOST = 6_000


class Calibrator:
    """``path`` is where the configuration has the session's calibration, None if it has none. ``contract``, ``intake`` and
    ``reload`` are the running model's."""

    def __init__(
        self,
        path: Path | None,
        contract: Callable[[], SensorContract],
        intake: Callable[[], Intake],
        reload: Callable[[], Awaitable[bool]],
        journal: Journal,
    ) -> None:
        self._path, self._contract, self._intake = path, contract, intake
        self._reload, self._journal = reload, journal
        self._batches: deque[Batch] = deque(maxlen=_MOST)
        self._task: asyncio.Task[None] | None = None
        self.status = CalibrationStatus()

    @property
    def possible(self) -> bool:
        """Whether the model asks for a calibration and the configuration has a place for it."""
        return self._path is not None and self._contract().calibration is not None

    @property
    def running(self) -> bool:
        """Whether a calibration goes on."""
        return self._task is not None and not self._task.done()

    def take(self, batch: Batch) -> None:
        """A batch that the model gets as well."""
        if self.running:
            self._batches.append(batch)

    def start(
        self, person: str, strides: int, stand: bool, swing: bool = False, contraction: bool = False
    ) -> None:
        """See Calibrated. UsageError if one goes on or there is no place for the result, ContractError for a model
        that takes sensors as they are worn."""
        if self.running:
            raise UsageError("a calibration is in progress: cancel it first")
        if self._path is None:
            raise UsageError(
                'the config names no file for a calibration: write calibration = "today.json" under [model]'
            )
        guide = Guide(self._contract(), Wanted(stand, strides, swing=swing, contraction=contraction))
        self._batches.clear()
        self._intake().realign()  # so that all inputs begin together
        self.status = CalibrationStatus(True, guide.step)
        self._journal.info("calibration", step=guide.step, person=person)
        self._task = asyncio.create_task(self._guide(guide, person), name="calibration")

    def cancel(self) -> bool:
        """See Calibrated."""
        if not self.running or self._task is None:
            return False
        self._task.cancel()
        self.status = CalibrationStatus(message="cancelled; the calibration is unchanged")
        self._journal.info("calibration given up")
        return True

    async def _guide(self, guide: Guide, person: str) -> None:
        try:
            while guide.step != "done":
                await asyncio.sleep(_LOOK_S)
                batches = [self._batches.popleft() for _ in range(len(self._batches))]
                await asyncio.to_thread(self._look, guide, batches)
            await self._finish(guide, person)
        except asyncio.CancelledError:
            raise
        except EdgetoolError as error:
            self.status = CalibrationStatus(message=f"{describe(error)}", failed=True)
            self._journal.warning("calibration failed", reason=describe(error))
        except Exception as error:  # a mistake of ours must not look like a calibration that goes on
            self.status = CalibrationStatus(message=f"it failed: {describe(error)}", failed=True)
            self._journal.error("calibration failed", reason=describe(error))

    def _look(self, guide: Guide, batches: list[Batch]) -> None:
        for batch in batches:
            told = guide.take(batch)
            if told is not None:
                self.status = CalibrationStatus(True, told.step, told.share, told.trouble)

    async def _finish(self, guide: Guide, person: str) -> None:
        intake = self._intake()
        nodes = {f"{n}/{stream}": intake.session.receiver.name(key) for n, stream, key, _ in intake.streams()}
        created = datetime.now(UTC).isoformat(timespec="seconds")
        found = await asyncio.to_thread(guide.result, person, created, nodes)
        require_calibration_fits(
            self._contract(), found
        )  # one that is refused is not written, nor applied in part
        assert self._path is not None
        await asyncio.to_thread(found.save, self._path)
        if not await self._reload():
            self.status = CalibrationStatus(
                message=f"it is in {self._path}, but the model could not be loaded with it: the log says why",
                failed=True,
            )
            return
        self.status = CalibrationStatus(message=_words(found))
        self._journal.info("calibrated", file=str(self._path), verdict=found.verdict, person=person)


def _words(found: Calibration) -> str:
    advice = [imu.advice for imu in found.imus] + [channel.advice for channel in found.channels]
    more = "; ".join([*filter(None, advice), *(f"WARNING: {warning}" for warning in found.warnings)])
    return f"calibrated on {found.strides} strides: {found.verdict}" + (f". {more}" if more else "")
