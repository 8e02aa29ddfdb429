"""Live plausibility: the newest seconds of the model's inputs, judged every two seconds against the person's own walk."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration import Calibration, layout_of
from toolkit.calibration.moments import Moments
from toolkit.model.float_model import FloatModel
from toolkit.plausibility import Doubt, Familiar, Judge

#: Rows that are added to the moments at once, and to what is novel.
_TOGETHER, _FRESH = 50, 10
#: Of a span, this part may be rows that fill a gap: 0.1 s. A value that is held through a longer one is no movement.
_MOST_GAPS = 0.025


class PlausibilityWatch:
    """Takes the rows that the model takes; :attr:`doubts` is what is believed now."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._inputs = judge.shape.layout.inputs
        self._moments = Moments(judge.shape)
        self._novelty = judge.novelty()
        self._judged: tuple[Doubt, ...] = ()
        self._waiting: list[NDArray[np.float32]] = []
        self._fresh: list[NDArray[np.float32]] = []
        self._filled: list[NDArray[np.bool_]] = []
        self._gaps = np.zeros(0, bool)
        #: Whether there was a walk to judge yet.
        self.judged = False

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """What the last walk says; where that is nothing, whether the newest rows are unlike any."""
        if not self._judged and self._novelty.novel:
            return (self._judge.sudden(float(self._novelty.value)),)
        return self._judged

    def reset(self) -> None:
        """The rows begin anew: what was before says nothing of them. What is believed stays until something else is seen."""
        self._moments.reset()
        self._novelty.reset()
        self._waiting, self._fresh, self._filled = [], [], []
        self._gaps = np.zeros(0, bool)

    def append(
        self, rows: Mapping[str, NDArray[np.float32]], filled: NDArray[np.bool_] | None = None
    ) -> bool:
        """Add rows of every input; whether they were judged. ``filled`` (rows,): those that fill a gap.

        Who stands, sets off or stops is not judged, nor are gaps: what was doubted stays.
        """
        joined = np.concatenate([rows[name] for name in self._inputs], axis=1)
        self._waiting.append(joined)
        self._filled.append(np.zeros(len(joined), bool) if filled is None else filled)
        self._fresh.append(joined)
        # A few rows cost as much as many: they wait for each other, but not at a judgement.
        if sum(map(len, self._fresh)) >= _FRESH:
            self._novelty.append(np.concatenate(self._fresh))
            self._fresh = []
        if sum(map(len, self._waiting)) < min(_TOGETHER, self._moments.until_whole):
            return False
        joined, gaps = np.concatenate(self._waiting), np.concatenate(self._filled)
        self._waiting, self._filled = [], []
        now = False
        while len(joined):
            count = self._moments.until_whole
            now = self._judge_half(joined[:count], gaps[:count]) or now
            joined, gaps = joined[count:], gaps[count:]
        return now

    def _judge_half(self, rows: NDArray[np.float32], gaps: NDArray[np.bool_]) -> bool:
        """Add ``rows``, at most what the half of a triangle that has begun is short of; whether they were judged."""
        size = 2 * self._judge.shape.half
        self._gaps = np.concatenate([self._gaps, gaps])[-size:]
        now = False
        for span in self._moments.append(rows):
            whole = np.count_nonzero(self._gaps) <= _MOST_GAPS * size
            doubts = self._judge.judge(span) if whole else None
            if doubts is not None:
                self._judged, self.judged, now = doubts, True, True
        return now


def watch_of(checkpoint: FloatModel, calibration: Calibration | None) -> PlausibilityWatch | None:
    """What judges the sensors of a model that knows its training people's walks, in a session that is calibrated.

    None for a model without that knowledge or with an older form of it, and for a calibration without the person's walk.
    ContractError if they are of other sensors than the model's.
    """
    layout = layout_of(checkpoint.contract)
    known = None if checkpoint.familiar is None else Familiar.read(checkpoint.familiar)
    if known is None or layout is None or calibration is None or calibration.walk is None:
        return None
    return PlausibilityWatch(Judge(known, calibration.walk, layout))
