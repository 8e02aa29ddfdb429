"""The model on a thread of its own, behind a bounded queue: reading sensors never waits for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from runtime.pipeline.estimator import Estimator, RowEstimate
from runtime.pipeline.intake import Batch

#: Batches between the intake and the model: a second of 8 nodes that send 50 packets of two streams a second would be 800,
#: but only those that complete rows come here, and they are joined while the model is busy.
QUEUE = 512


class ModelWorker:
    """``deliver`` gets the estimates of each batch, and ``failed`` what stopped the thread; both are called on it."""

    def __init__(
        self,
        estimator: Estimator,
        deliver: Callable[[Sequence[RowEstimate], Sequence[float]], None],
        failed: Callable[[BaseException], None],
        size: int = QUEUE,
    ) -> None:
        self.estimator = estimator
        self.dropped = 0
        self._deliver, self._failed = deliver, failed
        self._queue: queue.Queue[Batch | tuple[Estimator, Future[bool]] | None] = queue.Queue(size)
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

        The future says whether it goes on with the old one's stream. If not, it waits for rows that begin anew.
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
        try:
            while (each := self._queue.get()) is not None:
                if isinstance(each, Batch):
                    estimates = self.estimator.estimate(each, self._queue.qsize())
                    costs, self.estimator.costs_s = self.estimator.costs_s, []
                    if estimates:
                        self._deliver(estimates, costs)
                else:
                    fresh, done = each
                    done.set_result(fresh.continue_from(self.estimator))
                    self.estimator = fresh
        except BaseException as error:  # whatever it is, the daemon must not go on without a model
            self._failed(error)
