"""A thread that says "stale" when the event loop cannot: it hangs in a call, or a busy machine does not let it run.

It is the second of two safeguards. The first is the lease in every estimate (``valid_until_ns``), which a reader checks
by itself and which holds whatever happens to this process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from runtime.daemon.outlet import Outlet
from runtime.pipeline.publisher import Publisher


class StandIn:
    """``beat`` from the event loop at every tick; when none has come for ``after_s`` the thread looks in its place."""

    def __init__(
        self,
        publisher: Publisher,
        now_ns: Callable[[], int],
        outlet: Outlet,
        failed: Callable[[BaseException], None],
        after_s: float = 0.1,
        every_s: float = 0.02,
    ) -> None:
        self._publisher, self._now_ns, self._outlet, self._failed = publisher, now_ns, outlet, failed
        self._after_s, self._every_s = after_s, every_s
        self._beat_s = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="stand-in", daemon=True)
        #: How often it has spoken.
        self.spoken = 0

    def start(self) -> None:
        """Begin."""
        self.beat()
        self._thread.start()

    def beat(self) -> None:
        """The event loop is at work."""
        self._beat_s = time.monotonic()

    def stop(self) -> None:
        """End; before the sinks are closed."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(1.0)

    def _work(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                if time.monotonic() - self._beat_s > self._after_s:
                    said = self._publisher.stand_in(
                        self._now_ns(), self._outlet.give_from_thread, self._every_s
                    )
                    self.spoken += said
            except Exception as error:  # its trouble, and it goes on
                self._failed(error)
