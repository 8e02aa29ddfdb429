"""What sensors may send that is no calibration: one line each that says what to do, and nothing of it is ever applied."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest

from runtime.calibration.guide import Guide, Progress, Wanted
from runtime.pipeline.intake import Batch, InputRows
from toolkit.calibration import require_calibration_fits
from toolkit.contract import SensorContract
from toolkit.data import load
from toolkit.data.worn import after_a_stand
from toolkit.errors import ContractError, RecordingError
from toolkit.model import load_checkpoint
from toolkit.model.argument import CALIBRATED
from toolkit.records import Recording

STAND_S, STOP_S = 5.0, 24.0
#: Spoils rows (rows, channels) by channel name, from and until which row.
Spoil = Callable[[np.ndarray, list[str], slice], None]
WALK, STAND, ALL = (7.0, 7.3), (0.5, 0.8), (0.0, STOP_S)


@lru_cache(maxsize=1)
def contract() -> SensorContract:
    return load_checkpoint(CALIBRATED).contract


@lru_cache(maxsize=1)
def session() -> Recording:
    walk = load("synthetic:people=1,seed=77,tasks=level,seconds=25")[0]
    return after_a_stand(walk, STAND_S, np.random.default_rng(0))


def _set(name: str, value: float) -> Spoil:
    def spoil(rows: np.ndarray, names: list[str], span: slice) -> None:
        for place, own in enumerate(names):
            if own.startswith(name):
                rows[span, place] = value

    return spoil


def _at_its_end(rows: np.ndarray, names: list[str], span: slice) -> None:
    """The gyroscope's range ends at 2 rad/s."""
    if "shank_gyro_z" in names:
        place = names.index("shank_gyro_z")
        rows[span, place] = np.clip(rows[span, place], -2.0, 2.0)


def _play(spoil: Spoil, span: tuple[float, float], stop_s: float = STOP_S) -> tuple[Guide, list[Progress]]:
    """The session with one stream spoilt, a tenth of a second at a time, as an intake hands it on."""
    guide, told = Guide(contract(), Wanted(limit_s=60.0)), []
    spoilt = {}
    for name, signal in session().signals.items():
        rows = np.array(signal.samples, np.float32)
        spoil(rows, list(signal.spec.channel_names), slice(*(round(s * signal.spec.rate_hz) for s in span)))
        spoilt[name] = (rows, signal.spec.rate_hz)
    for first_s in np.arange(0.0, stop_s - 1e-6, 0.1):
        inputs = {}
        for name, (rows, rate_hz) in spoilt.items():
            a, b = round(first_s * rate_hz), round((first_s + 0.1) * rate_hz)
            inputs[name] = InputRows(a, rows[a:b], np.zeros(b - a, np.uint8), np.zeros(b - a))
        progress = guide.take(Batch(0, False, inputs, 0.0))
        told += [] if progress is None else [progress]
    return guide, told


@pytest.mark.parametrize(
    ("channel", "span"), [("shank_gyro_x", WALK), ("soleus", WALK), ("thigh_accel_y", STAND)]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_what_is_no_number_is_said_and_done_again(
    channel: str, span: tuple[float, float], value: float
) -> None:
    """The step begins anew, and what comes of it is whole: no number of the file is touched."""
    guide, told = _play(_set(channel, value), span)
    said = f"{channel} sends values that are no numbers: check that sensor, and do it again"
    assert said in {one.trouble for one in told} and guide.step == "done"
    found = guide.result("Ada", "2026-01-01T00:00:00+00:00")
    require_calibration_fits(contract(), found)
    assert found.walk is not None and np.isfinite(found.walk).all()
    assert all(np.isfinite([*imu.rotation.ravel(), *imu.bias]).all() for imu in found.imus)


def test_a_sensor_that_never_gives_a_number_ends_it_in_one_line() -> None:
    """It is not tried for ever: the time that was spent counts."""
    with pytest.raises(
        RecordingError, match=r"step stand: not done after 10 s \(shank_gyro_x and 2 more sends values"
    ):
        guide = Guide(contract(), Wanted(limit_s=10.0))
        for number in range(400):
            inputs = {}
            for item in contract().inputs:
                count = round(0.1 * item.stream.rate_hz)
                rows = np.zeros((count, len(item.stream.channels)), np.float32)
                for place, name in enumerate(item.stream.channel_names):
                    rows[:, place] = np.nan if name.startswith("shank_gyro") else 0.0
                inputs[item.stream.name] = InputRows(
                    number * count, rows, np.zeros(count, np.uint8), np.zeros(count)
                )
            guide.take(Batch(0, False, inputs, 0.0))


def test_a_dead_imu_is_said_while_its_wearer_stands() -> None:
    """Not that its gravity is 9.8 m/s^2 off."""
    _, told = _play(_set("foot_", 0.0), ALL, 6.0)
    assert "foot IMU gives nothing at rest, not even gravity: connect it, or switch it on" in {
        one.trouble for one in told
    }


@pytest.mark.parametrize(
    ("spoil", "span", "said"),
    [
        (_set("soleus", 0.0), ALL, "electrode soleus gives no signal: connect it"),
        (
            _set("foot_", 0.0),
            (STAND_S, STOP_S),
            "foot IMU does not move while its wearer walks: switch it on",
        ),
        (_at_its_end, ALL, "shank IMU: the gyroscope is at the end of its range; choose a wider range"),
    ],
)
def test_one_that_is_refused_is_never_applied_in_part(
    spoil: Spoil, span: tuple[float, float], said: str
) -> None:
    """Dead electrode, dead IMU, saturated gyroscope: the line names it, and the others are not calibrated without it."""
    guide, _ = _play(spoil, span)
    found = guide.result("Ada", "2026-01-01T00:00:00+00:00")
    assert len(found.refused) == 1 and said in found.refused[0]
    with pytest.raises(
        ContractError, match="the calibration is refused, so nothing of it is used: "
    ) as caught:
        require_calibration_fits(contract(), found)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_walk_that_is_too_short_has_no_result() -> None:
    """Sources that end after six strides or so."""
    guide, _ = _play(lambda rows, names, span: None, ALL, STAND_S + 7.0)
    assert guide.step == "walk"
    with pytest.raises(RecordingError, match="step walk is missing; the sources ended too early"):
        guide.result("Ada", "2026-01-01T00:00:00+00:00")


def test_no_standing_is_said() -> None:
    """Who walks from the start is told which segment moved, and stays in that step."""
    guide, told = Guide(contract(), Wanted()), []
    signals = load("synthetic:people=1,seed=77,tasks=level,seconds=25")[0].signals
    for first_s in np.arange(0.0, 8.0, 0.1):
        inputs = {}
        for name, signal in signals.items():
            a, b = (round(s * signal.spec.rate_hz) for s in (first_s, first_s + 0.1))
            rows = np.asarray(signal.samples[a:b], np.float32)
            inputs[name] = InputRows(a, rows, np.zeros(b - a, np.uint8), np.zeros(b - a))
        progress = guide.take(Batch(0, False, inputs, 0.0))
        told += [] if progress is None else [progress.trouble]
    assert guide.step == "stand" and any(
        "moved while standing" in text and "do it again" in text for text in told
    )
