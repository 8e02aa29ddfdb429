"""Alignment: samples that carry their own time as their value, so that a wrong row shows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware_bridge.streams.alignment import (
    Aligner,
    AlignmentSettings,
    GapPolicy,
    Rows,
    StreamAligner,
)
from toolkit.contract import Channel, StreamSpec
from toolkit.errors import UsageError

SPEC = StreamSpec("imu", 100.0, (Channel("thigh_gyro_z", "rad/s"),))


def push(stream: StreamAligner, times_s: list[float]) -> None:
    stream.append(np.array(times_s), np.array(times_s)[:, None])


def gather(stream: StreamAligner, times_s: list[float], now_s: float) -> Rows:
    push(stream, times_s)
    return stream.rows(now_s)


def without(times_s: NDArray[np.float64], low: float, high: float) -> list[float]:
    return [float(t) for t in times_s if not low <= t < high]


def test_rows_are_interpolated_between_the_samples_of_a_drifting_crystal() -> None:
    stream = StreamAligner(SPEC, 0.0, AlignmentSettings())
    rows = gather(stream, [i * 0.0101 for i in range(101)], now_s=1.01)
    assert rows.first == 0
    # A value equals its time: 101 samples reach 1.01 s, so rows 0 to 101.
    np.testing.assert_allclose(rows.values[:, 0], np.arange(102) / 100, atol=1e-6)
    assert rows.valid.all()


def test_a_row_waits_for_the_sample_after_it_and_no_longer() -> None:
    stream = StreamAligner(SPEC, 0.0, AlignmentSettings())
    assert len(gather(stream, [0.0, 0.0101], 0.0101).values) == 2
    assert len(gather(stream, [0.0199], 0.0199).values) == 0  # row 2 is at 0.020
    assert len(gather(stream, [0.0301], 0.0301).values) == 2


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("hold", [0.19, 0.19, 0.19]), ("invalidate", [0.19, 0.19, 0.19]), ("interpolate", [0.20, 0.21, 0.22])],
)
def test_a_gap_is_filled_as_declared_and_marked(policy: GapPolicy, expected: list[float]) -> None:
    stream = StreamAligner(SPEC, 0.0, AlignmentSettings(policy))
    rows = gather(stream, without(np.arange(40) / 100, 0.195, 0.225), now_s=0.5)
    np.testing.assert_allclose(rows.values[20:23, 0], expected, atol=1e-6)
    assert np.flatnonzero(~rows.valid[:40]).tolist() == [20, 21, 22]


def test_a_gap_longer_than_the_limit_is_held_even_when_interpolating() -> None:
    stream = StreamAligner(SPEC, 0.0, AlignmentSettings("interpolate", longest_gap_s=0.05))
    rows = gather(stream, without(np.arange(60) / 100, 0.195, 0.4), now_s=0.6)
    np.testing.assert_allclose(rows.values[20:40, 0], 0.19, atol=1e-6)


def test_late_samples_within_the_window_are_put_in_their_place() -> None:
    settings = AlignmentSettings(reorder_s=0.05)
    orderly, shuffled = (StreamAligner(SPEC, 0.0, settings) for _ in range(2))
    times = [i / 100 for i in range(50)]
    expected = gather(orderly, times, 0.5)
    mixed = times.copy()
    mixed[10:13] = [times[12], times[10], times[11]]
    parts = [gather(shuffled, [t], max(mixed[: i + 1])) for i, t in enumerate(mixed)]
    assert np.concatenate([p.values for p in parts]).tobytes() == expected.values.tobytes()
    assert shuffled.late == 0


def test_a_sample_that_is_too_late_is_counted_not_used() -> None:
    stream = StreamAligner(SPEC, 0.0, AlignmentSettings(reorder_s=0.02))
    gather(stream, without(np.arange(50) / 100, 0.195, 0.205), now_s=0.5)
    push(stream, [0.20])
    assert stream.late == 1


def test_silence_becomes_a_gap() -> None:
    stream = StreamAligner(SPEC, 0.0, AlignmentSettings("invalidate", reorder_s=0.02))
    gather(stream, [0.0, 0.01], 0.01)
    rows = stream.rows(now_s=0.1)
    # Settled: up to now - reorder window - 1.75 periods = 0.0625 s.
    assert rows.first == 2
    assert len(rows.values) == 5
    assert not rows.valid.any()
    np.testing.assert_allclose(rows.values, 0.01)


@pytest.mark.parametrize("times_s", [[np.nan], [0.02, np.nan, 0.04], [-np.inf, 0.03], [0.02, np.inf]])
def test_times_that_are_no_numbers_are_refused(times_s: list[float]) -> None:
    stream = StreamAligner(SPEC, 0.0, AlignmentSettings())
    gather(stream, [0.0, 0.01], 0.01)
    with pytest.raises(ValueError, match="finite"):
        push(stream, times_s)
    assert gather(stream, [0.02], 0.02).first == 2


@pytest.mark.parametrize("seed", range(20))
def test_rows_are_what_the_two_samples_about_them_say(seed: int) -> None:
    """Against the definition, row by row: irregular samples, some lost, some packets swapped, of random values."""
    random = np.random.default_rng(seed)
    epoch_s = float(random.uniform(0, 1e5))
    times = epoch_s + np.cumsum(random.uniform(0.006, 0.014, 400))
    times = times[random.random(400) > 0.05]
    samples = random.normal(0, 1, (len(times), 1))
    stream = StreamAligner(SPEC, epoch_s, AlignmentSettings(reorder_s=0.2))
    packets = [part for part in np.array_split(np.arange(len(times)), 100) if len(part)]
    for place in random.choice(len(packets) - 1, 10, replace=False):
        packets[place], packets[place + 1] = packets[place + 1], packets[place]
    first, now_s = 0, -np.inf
    for part in packets:
        stream.append(times[part], samples[part])
        now_s = max(now_s, float(times[part][-1]))
        rows = stream.rows(now_s)
        assert rows.first == first and len(rows.values) == len(rows.valid) == len(rows.times_s)
        for number, value, valid, time_s in zip(range(first, 10**6), rows.values, rows.valid, rows.times_s):
            assert time_s == epoch_s + number / 100
            after = int(np.searchsorted(times, time_s))
            if after in (0, len(times)):
                continue  # before the first sample and after the last other rules hold
            low_s, high_s = times[after - 1], times[after]
            assert valid == (high_s - low_s <= 0.0175)
            share = (time_s - low_s) / (high_s - low_s) if valid else 0.0
            between = (1 - share) * samples[after - 1, 0] + share * samples[after, 0]
            assert value[0] == pytest.approx(between, abs=2e-6)
        first += len(rows.values)
    assert stream.late == 0 and first > 350


@pytest.mark.parametrize("seed", range(5))
def test_packets_cut_anywhere_give_the_same_rows(seed: int) -> None:
    random = np.random.default_rng(seed)
    times = np.cumsum(random.uniform(0.008, 0.012, 300))
    keep = random.random(300) > 0.1
    times = times[keep]
    results = []
    for chunks in (len(times), 40, 7):
        stream = StreamAligner(SPEC, 0.0, AlignmentSettings())
        parts = [gather(stream, list(part), float(part[-1])) for part in np.array_split(times, chunks)]
        results.append((np.concatenate([p.values for p in parts]), np.concatenate([p.valid for p in parts])))
    for values, valid in results[1:]:
        # The newest rows may still wait in one of the runs.
        count = min(len(values), len(results[0][0]))
        assert count > 280
        assert values[:count].tobytes() == results[0][0][:count].tobytes()
        assert valid[:count].tobytes() == results[0][1][:count].tobytes()


def test_streams_start_together_when_the_last_has_spoken() -> None:
    emg = StreamSpec("emg", 1000.0, (Channel("soleus", "mV"),))
    aligner = Aligner({"imu": SPEC, "emg": emg})
    early = np.arange(10) / 100
    aligner.append("imu", early, early[:, None], 0.1)
    assert aligner.rows() == {}
    assert aligner.epoch_s is None
    times = 0.055 + np.arange(60) / 1000
    aligner.append("emg", times, times[:, None], 0.12)
    assert aligner.epoch_s == pytest.approx(0.055)
    rows = aligner.rows()
    np.testing.assert_allclose(rows["imu"].values[:, 0], [0.055, 0.065, 0.075, 0.085], atol=1e-6)
    np.testing.assert_allclose(rows["emg"].values[:, 0], times, atol=1e-6)


def test_a_wrong_policy_is_named() -> None:
    with pytest.raises(
        UsageError, match="gap policy 'zero' is unknown; allowed: hold, interpolate, invalidate"
    ):
        AlignmentSettings("zero")  # type: ignore[arg-type]


def test_the_rows_of_a_nights_silence_come_in_parts_and_are_all_there() -> None:
    """Eight hours at 100 Hz are 2.9 million rows; made at once, those of 8 nodes would not fit a small computer's memory."""
    stream = StreamAligner(SPEC, 0.0, AlignmentSettings())
    push(stream, [0.0, 0.01])
    push(stream, [28_800.0, 28_800.01])
    parts = []
    while len((rows := stream.rows(28_800.04)).valid):
        parts.append(rows)
    assert max(len(rows.valid) for rows in parts) == 100_000
    assert [rows.first for rows in parts] == [100_000 * place for place in range(len(parts))]
    valid = np.concatenate([rows.valid for rows in parts])
    assert len(valid) == 2_880_002 and np.flatnonzero(valid).tolist() == [0, 1, 2_880_000, 2_880_001]


def test_an_absurd_rate_takes_no_memory() -> None:
    stream = StreamAligner(StreamSpec("imu", 1e30, SPEC.channels), 0.0, AlignmentSettings())
    assert len(gather(stream, [0.0, 0.01], 0.01).valid) <= 100_000
