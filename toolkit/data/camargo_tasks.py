"""Tasks, speeds, inclines and step heights of a trial of Camargo et al. 2021, from its file of conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.data.readers.matlab import MatTable, tables
from toolkit.data.readers.table import Spans, runs
from toolkit.records import within

#: Label in the tables -> task. What is not here and joins two words with "-" is a transition; standing is left out.
TASKS = {
    "walk": "level",
    "turn1": "turn",
    "turn2": "turn",
    "rampascent": "incline",
    "rampdescent": "decline",
    "stairascent": "stairs-up",
    "stairdescent": "stairs-down",
}
_LEFT_OUT = ("idle", "stand", "")
#: A belt speed that holds for so long, in s, within so much, in m/s, is one speed.
_HOLDS_S, _SAME_SPEED = 3.0, 0.02
_INCH_M = 0.0254


@dataclass(frozen=True)
class Part:
    """Where a trial is one task: ``label`` ends the recording's name, ``condition`` is its speed, incline or step height."""

    label: str
    task: str
    condition: str | None
    spans: Spans | None

    def inside(self, times_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of ``times_s`` lie in this part."""
        return within(times_s, self.spans)


def parts(mode: str, name: str, conditions: Mapping[str, Any]) -> list[Part]:
    """The parts of one trial. Without conditions it is one part, whose task is the mode."""
    found = tables(conditions)
    speeds = next((table for table in found if table.place("Speed") is not None), None)
    if mode == "treadmill" and speeds is not None:
        return _speeds(speeds)
    labels = next((table for table in found if table.place("Label") is not None), None)
    if labels is None:
        return [Part(_whole(mode), _whole(mode), None, None)]
    condition = _condition(mode, name, conditions)
    times, texts = labels.numbers("Header"), [text.strip().lower() for text in labels.texts("Label")]
    result: list[Part] = []
    for task in dict.fromkeys(map(_task, texts)):
        if task is not None:
            on = np.array([_task(text) == task for text in texts], np.bool_)
            spans = tuple((float(times[a]), float(times[b - 1])) for a, b in runs(on))
            label = task if condition is None else f"{task}/{condition}"
            result.append(Part(label, task, condition, spans))
    return result


def _whole(mode: str) -> str:
    return "level" if mode in ("treadmill", "levelground") else mode


def _task(text: str) -> str | None:
    if text in _LEFT_OUT:
        return None
    return TASKS.get(text, "transition" if "-" in text else text)


def _speeds(table: MatTable) -> list[Part]:
    """One part for each belt speed that holds; the ramps between them are a part of their own."""
    times, speed = table.numbers("Header"), table.numbers("Speed")
    rate = 1.0 / float(np.median(np.diff(times)))
    reach = max(1, round(0.5 * rate))
    steady = np.abs(speed - np.roll(speed, reach)) <= _SAME_SPEED
    steady[:reach] = steady[reach] if len(steady) > reach else False
    by_speed: dict[str, list[tuple[float, float]]] = {}
    taken = np.zeros(len(times), np.bool_)
    for first, stop in runs(np.asarray(steady & (speed > 0.05), np.bool_)):
        if (stop - first) / rate >= _HOLDS_S:
            taken[first:stop] = True
            key = f"{float(np.median(speed[first:stop])):.2f}"
            by_speed.setdefault(key, []).append((float(times[first]), float(times[stop - 1])))
    found = [Part(f"level/{key}", "level", f"{key} m/s", tuple(spans)) for key, spans in by_speed.items()]
    between = np.asarray(~taken & (speed > 0.05), np.bool_)
    spans = tuple((float(times[a]), float(times[b - 1])) for a, b in runs(between))
    return [*found, *([Part("level/changing", "level", "changing speed", spans)] if spans else [])]


def _condition(mode: str, name: str, conditions: Mapping[str, Any]) -> str | None:
    """Incline in degrees, step height in m, or the word for the speed over ground."""
    if mode == "ramp":
        incline = _number(conditions, "rampincline")
        return None if incline is None else f"{incline:g}deg"
    if mode == "stair":
        height = _number(conditions, "stairheight")  # in inches
        return None if height is None else f"{height * _INCH_M:.3f}m"
    words = name.split("_")
    return next((word for word in ("slow", "normal", "fast") if word in words), None)


def _number(conditions: Mapping[str, Any], name: str) -> float | None:
    for key, value in conditions.items():
        if key.lower() == name and np.size(value) == 1:
            try:
                return float(np.asarray(value).reshape(-1)[0])
            except (TypeError, ValueError):
                return None
    return None
