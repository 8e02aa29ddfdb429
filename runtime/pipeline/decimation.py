"""Which rows of the grid an engine is asked for when it is slower than the grid."""

from __future__ import annotations

import math
from collections.abc import Callable


class Decimation:
    """Which rows an engine is asked for. ``every`` is 1 until it needs longer than the grid's period for a row.

    Then it runs the window graph on every n-th row, so that each estimate is a whole and true window; the queue does not grow.
    Ten seconds later, and every ten seconds, it is asked again whether it can do every row.
    """

    #: Costs are averaged over about this many calls, and judged after as many.
    _CALLS = 16
    _ROOM = 0.8
    _AGAIN_S = 10.0

    def __init__(self, period_s: float, clock: Callable[[], float]) -> None:
        self.every = 1
        self._period_s = period_s
        self._clock = clock
        self._cost_s = 0.0
        self._calls = 0
        self._since_s = 0.0

    def took(self, cost_s: float) -> None:
        """One call of the engine."""
        self._calls += 1
        self._cost_s += (cost_s - self._cost_s) / min(self._calls, self._CALLS)

    @property
    def cost_s(self) -> float:
        """What a call takes, on average."""
        return self._cost_s

    @property
    def overloaded(self) -> bool:
        """Whether the engine needs more time than it has."""
        return self._calls >= self._CALLS and self._cost_s > self.every * self._period_s

    @property
    def may_try(self) -> bool:
        """Whether it is time to ask whether every row can be done."""
        return self.every > 1 and self._clock() - self._since_s >= self._AGAIN_S

    def choose(self, window_cost_s: float) -> None:
        """From now on every n-th row, so that a window of ``window_cost_s`` leaves some room."""
        self.every = max(2, math.ceil(window_cost_s / (self._ROOM * self._period_s)))
        self._restart(window_cost_s)

    def rule_out(self) -> None:
        """Nothing is ever too slow: the source waits for the engine."""
        self._period_s = math.inf

    def relax(self) -> None:
        """Every row again."""
        self.every = 1
        self._restart(0.0)

    def wait(self) -> None:
        """Not yet: ask again later."""
        self._since_s = self._clock()

    def fits(self, cost_s: float) -> bool:
        """Whether a call of ``cost_s`` leaves room at every row."""
        return cost_s <= self._ROOM * self._period_s

    def _restart(self, cost_s: float) -> None:
        self._cost_s, self._calls, self._since_s = cost_s, 0, self._clock()
