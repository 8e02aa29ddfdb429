"""An engine that gave NaN was not begun anew, though docs/DAEMON.md said so: a stream that has once held NaN never loses it.

One bad row made every later estimate invalid until a restart. A row that gives a number that is not finite now ends the
stream, as a refusal does: nothing of that row is published, and the next is the first of a new stream.
"""

from __future__ import annotations

import numpy as np

from runtime.pipeline.estimate import State
from tests.runtime.pipeline.harness import BOTH, Bench, SumEngine, node


def test_one_row_that_is_not_finite_ends_the_stream() -> None:
    class Poisoned(SumEngine):
        """Once NaN is in its state it stays, as in an LSTM; only a reset takes it out."""

        calls = 0
        poisoned = False

        def step(self, row: object) -> object:  # type: ignore[override]
            self.calls += 1
            self.poisoned |= self.calls == 100
            values = super().step(row)  # type: ignore[arg-type]
            return np.full_like(values, np.nan) if self.poisoned else values

        def reset(self) -> None:
            self.poisoned = False
            super().reset()

    bench = Bench([node(0, BOTH)], make_engine=Poisoned)
    estimates = bench.until(6.0)
    found = [each for each in estimates if "engine" in each.reasons]
    assert len(found) == 1 and found[0].state is State.INVALID and found[0].values == ()
    assert bench.estimator.refused == 1 and estimates[-1].state is State.OK
