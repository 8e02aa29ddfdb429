"""Now, on the clock of the items' arrival times: this machine's, or a replay's."""

from __future__ import annotations

import time

from firmware_bridge.items import Item


class SourceClock:
    """This machine's monotonic clock until :meth:`begin`. ``hurried``: a replay as fast as it can jumps from item to item."""

    def __init__(self, hurried: bool = False) -> None:
        self.hurried = hurried
        #: Whether the items' times are not this machine's.
        self.foreign = False
        self._newest_ns = self._seen_ns = 0

    def begin(self, origin_ns: int) -> None:
        """The items are of another time, which is ``origin_ns`` now."""
        self.foreign = True
        self._newest_ns, self._seen_ns = origin_ns, time.monotonic_ns()

    def see(self, item: Item) -> None:
        """An item has come; times never go back."""
        if item.arrival_ns >= self._newest_ns:
            self._newest_ns, self._seen_ns = item.arrival_ns, time.monotonic_ns()

    def now_ns(self) -> int:
        """Now. A replay goes on from its newest item, or jumps from one to the next."""
        if not self.foreign:
            return time.monotonic_ns()
        if self.hurried:
            return self._newest_ns
        return self._newest_ns + time.monotonic_ns() - self._seen_ns
