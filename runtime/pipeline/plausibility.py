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
        self._waiting, self._fresh = [], []

    def append(self, rows: Mapping[str, NDArray[np.float32]]) -> bool:
        """Add rows of every input; whether they were judged. Who stands, sets off or stops is not: what was doubted stays."""
        now = False
        joined = np.concatenate([rows[name] for name in self._inputs], axis=1)
        self._waiting.append(joined)
        self._fresh.append(joined)
        # A few rows cost as much as many: they wait for each other, but not at a judgement.
        if sum(map(len, self._fresh)) >= _FRESH:
            self._novelty.append(np.concatenate(self._fresh))
            self._fresh = []
        if sum(map(len, self._waiting)) < min(_TOGETHER, self._moments.until_whole):
            return False
        joined, self._waiting = np.concatenate(self._waiting), []
        for span in self._moments.append(joined):
            doubts = self._judge.judge(span)
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
