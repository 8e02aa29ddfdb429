"""The synthetic people walk as people do: peaks and their timing against published ranges; physics that must hold."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from toolkit.data import load
from toolkit.data.synthetic.cycles import mean_cycles
from toolkit.data.synthetic.norms import RANGES, Range
from toolkit.data.synthetic.tasks import TASKS

cycles = cache(mean_cycles)


def cases() -> list[tuple[Range, float]]:
    return [(r, speed) for r in RANGES for speed in TASKS[r.task].speeds]


def name(case: object) -> str:
    if isinstance(case, Range):
        return f"{case.task}-{case.quantity}-{case.extreme}-{case.search[0]}"
    return str(case)


def peak(curve: NDArray[np.float64], case: Range) -> tuple[float, int]:
    part = curve[case.search[0] : case.search[1] + 1]
    place = int(part.argmax() if case.extreme == "max" else part.argmin())
    return float(part[place]), case.search[0] + place


@pytest.mark.parametrize(("case", "speed"), cases(), ids=name)
def test_the_people_together_are_in_the_normal_range(case: Range, speed: float) -> None:
    value, place = peak(cycles(TASKS[case.task], speed)[case.quantity].mean(axis=0), case)
    assert case.low <= value <= case.high, f"{value:.2f} at {place} %; {case.source}"
    assert case.place[0] <= place <= case.place[1], f"{value:.2f} at {place} %; {case.source}"


@pytest.mark.parametrize(("case", "speed"), cases(), ids=name)
def test_each_person_is_near_the_normal_range(case: Range, speed: float) -> None:
    """A person may leave the range of means by a third of its width: that is what deviations are for."""
    room = (case.high - case.low) / 3
    for curve in cycles(TASKS[case.task], speed)[case.quantity]:
        value, _ = peak(curve, case)
        assert case.low - room <= value <= case.high + room


@pytest.mark.parametrize("task", TASKS)
def test_forces_carry_the_body(task: str) -> None:
    """Over a cycle both legs together push body weight up, or the body would rise or fall: half of it a leg."""
    for speed in TASKS[task].speeds:
        force = cycles(TASKS[task], speed)["vertical force"].mean(axis=0)
        assert force[:100].mean() == pytest.approx(0.5, abs=0.05)
        assert force[70:98].max() == 0.0  # and none in swing


@pytest.mark.parametrize("task", TASKS)
def test_slowest_and_fastest_are_still_gait(task: str) -> None:
    """At the ends of the speed range peaks may be half a range's width outside what holds at usual speed."""
    for speed in TASKS[task].speed_range:
        for case in (r for r in RANGES if r.task == task):
            room = (case.high - case.low) / 2
            value, _ = peak(cycles(TASKS[task], speed)[case.quantity].mean(axis=0), case)
            assert case.low - room <= value <= case.high + room, (
                f"{case.quantity} at {speed} m/s: {value:.2f}"
            )


@pytest.mark.parametrize("task", TASKS)
def test_the_body_moves_at_about_the_speed_in_its_name(task: str) -> None:
    """Speed follows from stride rate, angles and leg length, so it is near the nominal one and not equal to it."""
    for recording in load(f"synthetic:people=8,seconds=3,tasks={task}"):
        nominal, actual = float(recording.name.split("/")[2]), float(recording.provenance["speed_m_per_s"])
        assert actual == pytest.approx(nominal, rel=0.35), recording.name


def test_faster_walking_needs_more() -> None:
    slow, fast = (cycles(TASKS["level"], speed) for speed in (0.8, 1.6))
    for quantity in ("hip moment", "ankle moment", "hip angle", "vertical force"):
        assert np.ptp(fast[quantity].mean(axis=0)) > np.ptp(slow[quantity].mean(axis=0)), quantity
