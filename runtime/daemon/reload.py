"""Another model in the place of the running one: at a signal, or when the bundle on the disk is another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from runtime.daemon.model import LoadedModel
from runtime.daemon.supervisor import describe
from runtime.daemon.worker import ModelWorker
from runtime.log.journal import Journal
from runtime.log.notify import Notifier
from runtime.pipeline.estimator import Estimator


class Reloader:
    """Holds the running ``model``. One reload at a time; whatever goes wrong, the old model goes on.

    ``load`` reads and opens the bundle (in a thread), ``estimator`` puts it to work, ``realign`` chooses the streams and begins
    the rows anew, ``changed`` is told of the model that runs now. Whoever sets ``asked`` gets a reload, one however often it is
    set before that begins.
    """

    def __init__(
        self,
        model: LoadedModel,
        load: Callable[[], LoadedModel],
        estimator: Callable[[LoadedModel], Estimator],
        worker: ModelWorker,
        realign: Callable[[], None],
        changed: Callable[[LoadedModel], None],
        journal: Journal,
        notifier: Notifier,
        asked: asyncio.Event,
    ) -> None:
        self.model = model
        self._load, self._estimator, self._worker, self._realign = load, estimator, worker, realign
        self._changed = changed
        self._journal, self._notifier = journal, notifier
        self._one = asyncio.Lock()
        self._asked = asked
        #: Of the manifest that was loaded or refused last.
        self._tried = model.stamp()
        self.reloads = self.refused = 0
        #: Why the last reload was refused; None after a good one.
        self.trouble: str | None = None

    async def reload(self) -> bool:
        """Load the bundle again and put it in place; False, and the old one goes on, if it cannot be used."""
        async with self._one:
            self._notifier.reloading(time.monotonic_ns())
            try:
                fresh, continued = await self._exchange()
            except Exception as error:  # also what a bundle raises that is being written just now
                self.refused += 1
                self.trouble = describe(error)
                self._journal.error("reload refused", reason=self.trouble, **self.model.words())
                return False
            finally:
                self._notifier.ready()
            self.model = fresh
            self._changed(fresh)
            if not continued:
                self._realign()
            self.reloads += 1
            self.trouble = None
            self._journal.info("reloaded", continued=continued, **fresh.words())
            return True

    async def serve(self) -> None:
        """Reload whenever it is asked for, for ever."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.reload()

    async def watch(self, every_s: float) -> None:
        """Reload when the manifest on the disk is another one, and has been for two looks ``every_s`` apart."""
        seen = self._tried
        while True:
            await asyncio.sleep(every_s)
            now = await asyncio.to_thread(self.model.stamp)
            if now == seen and now != self._tried:
                await self.reload()
            seen = now

    async def _exchange(self) -> tuple[LoadedModel, bool]:
        self._tried = await asyncio.to_thread(self.model.stamp)
        fresh = await asyncio.to_thread(self._load)
        fresh.require_same_sensors(self.model)
        future = await asyncio.to_thread(self._worker.exchange, self._estimator(fresh))
        return fresh, await asyncio.wrap_future(future)
