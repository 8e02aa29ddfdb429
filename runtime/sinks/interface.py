"""What every sink of estimates does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from runtime.pipeline.estimate import Estimate


class Sink(ABC):
    """Where estimates go. ``publish`` never blocks and never raises: what cannot be sent is dropped and counted.

    All methods run on the daemon's event loop. A sink that is down says so in :attr:`trouble` and tries again by itself.
    """

    #: What a person calls it: ``mqtt://host:1883/topic``. No secrets.
    name: str
    published: int = 0
    dropped: int = 0
    #: One line about what is wrong now; None when all is well.
    trouble: str | None = None
    #: Where it writes files, None if it writes none.
    folder: Path | None = None
    #: The wearer's body mass, kg, set before it is opened; 0: not stated.
    mass_kg: float = 0.0
    #: Told of every exception that is a mistake of ours and not a peer's; may be called from any thread.
    report: Callable[[Exception], None] = staticmethod(lambda error: None)

    def check(self) -> None:
        """Whether what :meth:`open` needs of this machine is there (packages, passwords, certificates); raises as it does."""
        return

    def check_free(self) -> None:
        """Whether nobody else holds what :meth:`open` takes for itself alone (a file, a socket); raises as it does."""
        return

    def identify(self, run: str, model: str) -> None:
        """Of which run of the daemon and which model estimates are from now on: before :meth:`open`, and after a reload.

        Only who says so other than in each estimate has to listen.
        """
        return

    @abstractmethod
    async def open(self) -> None:
        """Start. UsageError or LinkError if it can never work (a bad path, a port in use); a peer that is down is no error."""

    @abstractmethod
    def publish(self, estimate: Estimate) -> None:
        """Take one estimate."""

    def publish_from_thread(self, estimate: Estimate) -> None:
        """Take one estimate while the event loop hangs: it is called from another thread, and while no other method runs.

        A sink that cannot drops it.
        """
        del estimate
        self.dropped += 1

    @abstractmethod
    async def close(self) -> None:
        """Send what is queued, for at most a second, and let go."""
