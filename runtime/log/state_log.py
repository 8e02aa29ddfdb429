"""Changes of state as lines of the log: at once where estimates may no longer be used, or may again, and never a flood."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.log.journal import Journal
from runtime.log.notify import Notifier
from runtime.pipeline.estimate import Estimate, State

#: At most a line in so many seconds; and a change between ok and degraded must have lasted as long: on a link that loses
#: frames there are several a second.
_LEAST_S = 1.0
#: If none of them lasts, one is told all the same.
_FLICKER_S = 60.0


class StateLog:
    """``look`` often. The service manager gets the same words."""

    def __init__(self, journal: Journal, notifier: Notifier) -> None:
        self._journal, self._notifier = journal, notifier
        self._said: tuple[State, tuple[str, ...]] | None = None
        self._said_s = -float("inf")
        self._seen: tuple[State, tuple[str, ...]] | None = None
        self._since_s = -float("inf")

    def look(
        self,
        now_s: float,
        newest: Estimate | None,
        contract: str | None,
        missing: Sequence[str],
        doubts: Sequence[str] = (),
    ) -> None:
        """``contract``: why the sensors do not fit; ``missing``: streams that no node has; ``doubts``: what seems wrong."""
        if newest is None:
            return
        seen = (newest.state, newest.reasons)
        if seen != self._seen:
            self._seen, self._since_s = seen, now_s
        if seen == self._said or now_s - self._said_s < _LEAST_S or not self._worth_telling(now_s):
            return
        self._said, self._said_s = seen, now_s
        words = {"state": newest.state.value, "reasons": ",".join(newest.reasons)}
        if contract is not None:
            words["contract"] = contract
        elif missing:
            words["missing"] = ", ".join(missing)
        if doubts:
            words["doubts"] = "; ".join(doubts)
        level = self._journal.info if newest.state is State.OK else self._journal.warning
        level("state", **words)
        self._notifier.status(f"{newest.state.value} {','.join(newest.reasons)}".strip())

    def _worth_telling(self, now_s: float) -> bool:
        assert self._seen is not None
        if self._said is None or max(self._said[0].rank, self._seen[0].rank) >= State.STALE.rank:
            return True
        return now_s - self._since_s >= _LEAST_S or now_s - self._said_s >= _FLICKER_S
