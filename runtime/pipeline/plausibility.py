"""Live plausibility: the newest seconds of the model's inputs, judged twice a second."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration import Calibration
from toolkit.model.float_model import FloatModel
from toolkit.plausibility import Doubt, FamiliarStrides, SensorLayout, fingerprint, judge, layout_of
from toolkit.plausibility.familiar import SPAN_S

#: Time from one judgement to the next, s.
EVERY_S = 0.5
#: A doubt is believed when it was there in this many judgements running, and forgotten when as many were without it.
RUNNING = 2


class PlausibilityWatch:
    """Takes the rows that the model takes; :attr:`doubts` is what is believed now."""

    def __init__(self, familiar: FamiliarStrides, layout: SensorLayout) -> None:
        self._familiar, self._layout = familiar, layout
        self._span = round(SPAN_S * layout.grid_rate_hz)
        self._every = round(EVERY_S * layout.grid_rate_hz)
        self.doubts: tuple[Doubt, ...] = ()
        #: Whether there were strides to judge yet.
        self.judged = False
        self._ring = np.empty((0, len(layout.mean)), np.float32)
        self._waiting = 0
        self._seen: dict[tuple[str, str], int] = {}

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of what is doubted, each once: reasons of an estimate."""
        return tuple(dict.fromkeys(doubt.kind for doubt in self.doubts))

    def reset(self) -> None:
        """The rows begin anew: what was before says nothing of them. What is believed stays until something else is seen."""
        self._ring = self._ring[:0]
        self._waiting = 0

    def append(self, rows: Mapping[str, NDArray[np.float32]]) -> bool:
        """Add rows of every input; whether they were judged."""
        joined = np.concatenate([rows[name] for name in self._layout.inputs], axis=1)
        self._ring = np.concatenate([self._ring, joined])[-self._span :]
        self._waiting += len(joined)
        if self._waiting < self._every or len(self._ring) < self._span:
            return False
        self._waiting = 0
        self._judge()
        return True

    def _judge(self) -> None:
        found = fingerprint(self._ring.astype(np.float64), self._layout)
        if found is None:  # nobody walks: sensors are judged by strides, and there are none
            return
        self.judged = True
        doubts = _by_place(judge(found, self._familiar, self._layout))
        believed = _by_place(self.doubts)
        for key in sorted({*doubts, *self._seen}):
            self._seen[key] = min(max(self._seen.get(key, 0) + (1 if key in doubts else -1), 0), RUNNING)
            if key in doubts and (self._seen[key] == RUNNING or key in believed):
                believed[key] = doubts[key]
            elif self._seen[key] == 0:
                believed.pop(key, None)
                del self._seen[key]
        self.doubts = tuple(believed.values())


def watch_of(checkpoint: FloatModel, calibration: Calibration | None) -> PlausibilityWatch | None:
    """What judges the sensors of a model that knows its training people's strides, in a session that is calibrated."""
    layout = layout_of(checkpoint.contract)
    if checkpoint.familiar is None or layout is None or calibration is None:
        return None
    return PlausibilityWatch(FamiliarStrides.from_json(checkpoint.familiar), layout)


def _by_place(doubts: tuple[Doubt, ...]) -> dict[tuple[str, str], Doubt]:
    return {(doubt.kind, doubt.sensor): doubt for doubt in doubts}
