"""The model on a thread of its own, behind a bounded queue: reading sensors never waits for it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from runtime.daemon.supervisor import Pauses
from runtime.pipeline.estimator import Estimator, RowEstimate
from runtime.pipeline.intake import Batch

#: Batches between the intake and the model: a second of 8 nodes that send 50 packets of two streams a second would be 800,
#: but only those that complete rows come here, and they are joined while the model is busy.
QUEUE = 512

_Exchange = tuple[Estimator, Future[bool]]


class ModelWorker:
    """``deliver`` gets the estimates of each batch, ``failed`` what the model raised and how long it rests (s), and
    ``resumed`` is called after the rest: rows must begin anew. All three are called on the thread.

    ``renew`` makes the estimator that goes on after a failure; without it the old one does.
    """

    def __init__(
        self,
        estimator: Estimator,
        deliver: Callable[[Sequence[RowEstimate], Sequence[float]], None],
        failed: Callable[[BaseException, float], None],
        resumed: Callable[[], None] = lambda: None,
        renew: Callable[[], Estimator] | None = None,
        size: int = QUEUE,
        pauses: Pauses | None = None,
    ) -> None:
        self.estimator = estimator
        self.dropped = 0
        self._deliver, self._failed, self._resumed, self._renew = deliver, failed, resumed, renew
        self._pauses = pauses or Pauses()
        self._queue: queue.Queue[Batch | _Exchange | None] = queue.Queue(size)
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, batch: Batch) -> bool:
        """Hand over a batch; False, and it is counted, if the queue is full."""
        try:
            self._queue.put_nowait(batch)
        except queue.Full:
            self.dropped += 1
            return False
        return True

    @property
    def full(self) -> bool:
        """Whether :meth:`put` would fail now."""
        return self._queue.full()

    @property
    def waiting(self) -> int:
        """Batches in the queue."""
        return self._queue.qsize()

    def exchange(self, estimator: Estimator) -> Future[bool]:
        """Put another estimator in place between two batches; may wait for the queue.

        The future says whether it goes on with the old one's stream, or what it raised: then the old one goes on.
        If it does not go on with the stream, it waits for rows that begin anew.
        """
        done: Future[bool] = Future()
        self._queue.put((estimator, done))
        return done

    def stop(self, patience_s: float = 5.0) -> bool:
        """Work off what waits, then end; False if that takes longer."""
        try:
            self._queue.put(None, timeout=patience_s)
        except queue.Full:
            return False
        self._thread.join(patience_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        pause_s, began_s = None, time.monotonic()
        while (each := self._queue.get()) is not None:
            if not isinstance(each, Batch):
                self._exchange(*each)
                continue
            try:
                self._estimate(each)
            except BaseException as error:  # whatever an engine raises: its trouble, not the daemon's
                pause_s = self._pauses.after(pause_s, time.monotonic() - began_s)
                self._failed(error, pause_s)
                if not self._rest(pause_s):
                    return
                began_s = time.monotonic()
                self._resumed()

    def _estimate(self, batch: Batch) -> None:
        estimates = self.estimator.estimate(batch, self._queue.qsize())
        costs, self.estimator.costs_s = self.estimator.costs_s, []
        if estimates:
            self._deliver(estimates, costs)

    def _exchange(self, fresh: Estimator, done: Future[bool]) -> None:
        try:
            continued = fresh.continue_from(self.estimator)
        except BaseException as error:
            done.set_exception(error)
            return
        self.estimator = fresh
        done.set_result(continued)

    def _rest(self, pause_s: float) -> bool:
        """Drop batches for so long, then renew the estimator; False when the worker is to end."""
        until_s = time.monotonic() + pause_s
        exchanged = False
        while (left_s := until_s - time.monotonic()) > 0 and not exchanged:
            try:
                each = self._queue.get(timeout=left_s)
            except queue.Empty:
                break
            if each is None:
                return False
            if isinstance(each, Batch):
                self.dropped += 1
            else:  # another model is what may help
                self._exchange(*each)
                exchanged = True
        if self._renew is not None and not exchanged:
            try:
                self.estimator = self._renew()
            except BaseException as error:  # the old one is tried again, and says whether it works
                self._failed(error, 0.0)
        self.estimator.wait_for_restart()
        return True
