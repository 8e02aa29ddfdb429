"""What goes wrong beside the estimates (a sink, the recording, the queue), as lines of the log that do not flood it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.log.journal import Journal

#: Trouble is over when none was seen for so long (a datagram is refused, the next is not), and other words wait as long.
QUIET_S = 10.0


@dataclass
class _Known:
    words: str
    said_s: float
    seen_s: float


class FaultLog:
    """``look`` often: a warning when something begins to be in trouble, or in another; a line when it is over."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: dict[str, _Known] = {}

    def look(self, now_s: float, found: Mapping[str, str | None]) -> None:
        """``found``: who -> what is wrong with it now, None if nothing is."""
        for who, words in found.items():
            known = self._known.get(who)
            if words is not None:
                if known is None or (known.words != words and now_s - known.said_s >= QUIET_S):
                    self._journal.warning("trouble", who=who, reason=words)
                    self._known[who] = _Known(words, now_s, now_s)
                else:
                    known.seen_s = now_s
            elif known is not None and now_s - known.seen_s >= QUIET_S:
                self._journal.info("trouble over", who=who)
                del self._known[who]
