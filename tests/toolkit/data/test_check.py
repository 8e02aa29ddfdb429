"""Each fault that a recording can have is put into a clean one, and is the only thing that is found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from toolkit.data import load
from toolkit.data.check import Finding, check, push_off_sign, to_json
from toolkit.data.worn import turned
from toolkit.records import Recording, Signal


@pytest.fixture(scope="module")
def clean() -> list[Recording]:
    return load("synthetic:people=2,seconds=8,tasks=level,seed=3")


def changed(one: Recording, stream: str, change: Callable[[np.ndarray, list[str]], None]) -> Recording:
    """``one`` with the samples of a stream (or "moments") changed in place by ``change(samples, names)``."""
    signal = one.moments if stream == "moments" else one.signals[stream]
    assert signal is not None
    samples = np.array(signal.samples, np.float64)
    change(samples, list(signal.spec.channel_names))
    new = Signal(signal.spec, signal.start_s, samples)
    if stream == "moments":
        return dataclasses.replace(one, moments=new)
    return dataclasses.replace(one, signals={**one.signals, stream: new})


def test_clean_recordings_break_no_bound(clean: list[Recording]) -> None:
    assert check(clean) == []


def dead(x: np.ndarray, names: list[str]) -> None:
    x[:, 2] *= 1e-3


def flat(x: np.ndarray, names: list[str]) -> None:
    x[:, 3] = np.round(np.sign(x[:, 3]))


def railed(x: np.ndarray, names: list[str]) -> None:
    limit = np.percentile(np.abs(x[:, 1]), 90)
    x[:, 1] = np.clip(20 * x[:, 1], -limit, limit)


def hum(x: np.ndarray, names: list[str]) -> None:
    x[:, 0] += 2 * x[:, 0].std() * np.sin(2 * np.pi * 50 * np.arange(len(x)) / 1000)


def held(x: np.ndarray, names: list[str]) -> None:
    x[1000:1300] = x[1000]


def repeated(x: np.ndarray, names: list[str]) -> None:
    x[1::2] = x[::2]


def volts(x: np.ndarray, names: list[str]) -> None:
    x *= 1e6 / np.abs(x).max()


def in_g(x: np.ndarray, names: list[str]) -> None:
    for place, name in enumerate(names):
        if name.startswith("thigh_accel"):
            x[:, place] /= 9.80665


def in_degrees(x: np.ndarray, names: list[str]) -> None:
    for place, name in enumerate(names):
        if name.startswith("shank_gyro"):
            x[:, place] *= 180 / np.pi


def newton_metres(x: np.ndarray, names: list[str]) -> None:
    x *= 70.0


def clipped(x: np.ndarray, names: list[str]) -> None:
    x[:, 1] = np.minimum(x[:, 1], np.percentile(x[:, 1], 90))


def positive(x: np.ndarray, names: list[str]) -> None:
    x[:, 2] *= -1


def swapped(x: np.ndarray, names: list[str]) -> None:
    shank = [p for p, n in enumerate(names) if n.startswith("shank")]
    thigh = [p for p, n in enumerate(names) if n.startswith("thigh")]
    x[:, shank + thigh] = x[:, thigh + shank]


def mirrored(x: np.ndarray, names: list[str]) -> None:
    for place, name in enumerate(names):
        if name in ("shank_gyro_z", "shank_gyro_x", "shank_accel_z", "shank_accel_x"):
            x[:, place] *= -1  # turned by half a turn about y


def late(x: np.ndarray, names: list[str]) -> None:
    x[:] = np.roll(x, 400, axis=0)


@pytest.mark.parametrize(
    "stream, change, what, channel",
    [
        ("emg", dead, "dead", "lat_gas"),
        ("emg", flat, "flat", "tib_ant"),
        ("emg", railed, "railed", "med_gas"),
        ("emg", hum, "hum", "soleus"),
        ("emg", held, "held", "all"),
        ("imu", repeated, "repeated", "all"),
        ("emg", volts, "unit", None),
        ("imu", in_g, "unit", "thigh"),
        ("imu", in_degrees, "unit", "shank"),
        ("moments", newton_metres, "unit", None),
        ("moments", clipped, "clipped", "knee_extension_moment"),
        ("moments", positive, "sign", "ankle_dorsiflexion_moment"),
        ("imu", swapped, "swapped", "thigh"),
        ("imu", mirrored, "mirrored", "shank"),
        ("emg", late, "lag", None),
    ],
)
def test_a_fault_is_found_and_named(
    clean: list[Recording],
    stream: str,
    change: Callable[[np.ndarray, list[str]], None],
    what: str,
    channel: str | None,
) -> None:
    bad = changed(clean[0], stream, change)
    found = [finding for finding in check([bad, *clean[1:]]) if finding.broken]
    assert found and {finding.recording for finding in found} == {bad.name}
    assert {finding.what for finding in found} == {what}
    if channel is not None:
        assert [finding.channel for finding in found] == [channel]


def test_a_sensor_upside_down(clean: list[Recording]) -> None:
    bad = turned(clean[0], {"thigh": np.diag([1.0, -1.0, -1.0])})
    assert [(f.channel, f.what) for f in check([bad])] == [("thigh", "turned")]


def test_what_is_marked_missing_breaks_nothing(clean: list[Recording]) -> None:
    one = dataclasses.replace(clean[0], missing={"emg": ("soleus",), "imu": ("trunk_gyro_z",)})
    found = check([one])
    assert [(f.channel, f.broken) for f in found] == [("soleus", False), ("trunk_gyro_z", False)]


def test_moments_outside_their_spans_are_not_looked_at(clean: list[Recording]) -> None:
    def spike(x: np.ndarray, names: list[str]) -> None:
        x[:100] = 500.0

    assert check([dataclasses.replace(changed(clean[0], "moments", spike), valid_s=((2.0, 7.0),))]) == []


def test_json_and_the_warning_of_a_sign(clean: list[Recording]) -> None:
    bad = changed(clean[0], "moments", positive)
    found = push_off_sign([bad, *clean])
    assert [f.recording for f in found] == [bad.name] and "scale = -1" in found[0].advice
    value = to_json([bad], found)
    assert value["broken"] == 1 and value["findings"][0]["what"] == "sign"
    assert isinstance(found[0], Finding)
