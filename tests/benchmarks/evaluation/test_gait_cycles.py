"""Windows are put into the gait cycles that their labels lie in."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.evaluation.gait_cycles import curve, group, spread
from toolkit.contract import Channel, StreamSpec
from toolkit.records import Recording, Signal, Windows

SPEC = StreamSpec("imu", 100.0, (Channel("a", "m/s^2"),))


def recording(name: str, person: str, task: str, strikes: tuple[float, ...]) -> Recording:
    return Recording(
        name, person, task, "synthetic", 70.0, {"imu": Signal(SPEC, 0.0, np.zeros((10, 1)))}, None, strikes
    )


def windows(recordings: list[Recording], times: list[np.ndarray]) -> Windows:
    owner = np.concatenate([np.full(len(t), i, np.int32) for i, t in enumerate(times)])
    time_s = np.concatenate(times)
    return Windows(
        {"imu": np.zeros((len(owner), 1, 1), np.float32)},
        np.zeros((len(owner), 1), np.float32),
        owner,
        time_s,
        tuple(recordings),
    )


def test_cycles_phases_and_parts() -> None:
    # Strikes at 1, 2, 3 s; windows every 0.1 s from 0.5 to 3.4 s: 5 before, two whole cycles of 10, 5 after.
    data = windows([recording("r", "p", "level", (1.0, 2.0, 3.0))], [np.arange(5, 35) / 10])
    units = group(data)
    assert [int(np.sum(units.cycle == c)) for c in range(4)] == [5, 10, 10, 5]
    assert units.whole.tolist() == [False, True, True, False]
    assert units.whole_cycles == 2 and units.over == "gait cycles"
    assert units.phase[5:15] == pytest.approx(np.arange(10) / 10)
    # A horizon of 500 ms moves every label into a later place of its cycle.
    assert group(data, horizon_ms=500).whole.tolist() == [True, True, False]


def test_a_pause_and_a_cycle_with_a_hole_are_not_whole() -> None:
    times = np.concatenate([np.arange(0, 10), np.arange(10, 15), np.arange(20, 60)]) / 10
    data = windows([recording("r", "p", "level", (0.0, 1.0, 2.0, 5.0, 6.0))], [times])
    assert group(data).whole.tolist() == [True, False, False, True]


def test_without_heel_strikes_blocks_of_a_second() -> None:
    units = group(windows([recording("r", "p", "level", ())], [np.arange(0, 35) / 10]))
    assert units.over == "blocks of 1 s" and units.whole_cycles == 0
    assert [int(np.sum(units.cycle == c)) for c in range(4)] == [10, 10, 10, 5]
    assert curve(np.zeros(35), units) is None


def test_people_are_resampled_when_there_are_enough() -> None:
    def over(people: int) -> tuple[str, int]:
        several = [recording(f"r{i}", f"p{i % people}", "level", (0.0, 1.0)) for i in range(2 * people)]
        units = group(windows(several, [np.arange(0, 10) / 10] * len(several)))
        return units.over, len(np.unique(units.resample))

    assert over(4) == ("gait cycles", 8)
    assert over(5) == ("people", 5)


def test_spread_keeps_whole_cycles_of_every_recording() -> None:
    strikes = tuple(float(v) for v in range(21))
    data = windows(
        [recording(t, "p", t, strikes) for t in ("level", "stairs")],
        [np.arange(0, 2000) / 100, np.arange(0, 2000) / 100],
    )
    units = group(data)
    rows = spread(data, units, 1000)
    assert len(rows) == 1000 and (np.diff(rows) > 0).all()
    kept = units.take(rows)
    assert kept.whole_cycles == 10
    assert all(np.sum(kept.cycle == c) == 100 for c in np.unique(kept.cycle))
    assert [int(np.sum(data.recording[rows] == i)) for i in (0, 1)] == [500, 500]
    # Evenly over the recording: the cycles kept of 20 are those in the middle of each fifth.
    assert np.unique(kept.cycle)[:5].tolist() == [2, 6, 10, 14, 18]
    assert spread(data, units, 4000).tolist() == list(range(4000))
    assert len(spread(data, units, 1)) == 200  # one cycle of each recording, rather than none


def test_curve_of_a_ramp() -> None:
    data = windows([recording("r", "p", "level", (0.0, 1.0, 2.0))], [np.arange(0, 200) / 100])
    units = group(data)
    got = curve(np.concatenate([units.phase[:100], units.phase[100:] + 2.0]), units)
    assert got is not None and got.cycles == 2
    # Two ramps, 2 apart: mean is the ramp plus 1, deviation 1.
    assert got.mean[50] == pytest.approx(1.5) and got.deviation[50] == pytest.approx(1.0)
    assert len(got.mean) == 101
