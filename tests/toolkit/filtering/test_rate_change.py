"""Sensors of another rate: what passes, what does not, when, and that chunks change nothing."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.contract import ModelInput, Normaliser
from toolkit.data.channels import emg_stream, imu_stream
from toolkit.errors import ContractError
from toolkit.filtering.design import default_filters
from toolkit.filtering.rate_change import RateChange, passed_hz, rate_change


def _imu() -> ModelInput:
    stream = imu_stream()
    return ModelInput(stream, default_filters(stream, 100.0, []), Normaliser((0.0,) * 24, (1.0,) * 24))


def _emg() -> ModelInput:
    stream = emg_stream()
    noise = np.random.default_rng(0).normal(size=(2000, 9))
    return ModelInput(stream, default_filters(stream, 100.0, [noise]), Normaliser((0.0,) * 9, (1.0,) * 9))


def _sine(change: RateChange, hz: float, from_hz: float, to_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """What comes out for a sine of 8 s, and the sine itself at those times; without the first second."""
    seconds = np.arange(round(8 * from_hz)) / from_hz
    out = change.push(np.sin(2 * np.pi * hz * seconds)[:, None].astype(np.float32))[:, 0]
    truth = np.sin(2 * np.pi * hz * np.arange(len(out)) / to_hz)
    return out[round(to_hz) :], truth[round(to_hz) :]


@pytest.mark.parametrize("rate_hz", [60.0, 100.0, 148.15, 400.0, 1000.0])
def test_an_imu_of_another_rate_moves_in_time_with_the_contract(rate_hz: float) -> None:
    """Up to the 12 Hz that the contract's filter passes, within 1 % of the amplitude, and not late."""
    for hz in (1.0, 5.0, 12.0):
        change = rate_change(_imu(), rate_hz, "sensors imu")
        assert change is not None
        out, truth = _sine(change, hz, rate_hz, 200.0)
        assert np.abs(out - truth).max() < 0.01
        assert change.delay_s <= 0.05


def test_emg_is_not_folded() -> None:
    """1925.93 Hz to 1000 Hz: what lies above 600 Hz would come out below 400, and is 50 dB down instead."""
    for hz in (20.0, 100.0, 400.0):
        change = rate_change(_emg(), 1925.93, "sensors emg")
        assert change is not None and change.delay_s < 0.01
        out, truth = _sine(change, hz, 1925.93, 1000.0)
        assert np.abs(out - truth).max() < 0.01
    for hz in (610.0, 700.0, 900.0):
        change = rate_change(_emg(), 1925.93, "sensors emg")
        assert change is not None
        assert np.abs(_sine(change, hz, 1925.93, 1000.0)[0]).max() < 10 ** (-48 / 20)


def test_any_chunking_gives_the_same_bits_and_nothing_comes_before_what_it_rests_on() -> None:
    rows = np.random.default_rng(1).normal(size=(900, 3)).astype(np.float32)
    change = RateChange(148.15, 200.0, 35.0)
    whole = change.push(rows)
    assert (
        len(whole) == int((900 - 1 - change.ahead) * 200 / 148.15) + 2
    )  # all whose three later rows are there
    for size in (1, 7, 64):
        change.reset()
        parts = [change.push(rows[i : i + size]) for i in range(0, 900, size)]
        assert np.array_equal(np.concatenate(parts), whole)
    other = rows.copy()
    other[500:] = 0.0
    change.reset()
    changed = np.flatnonzero((change.push(other) != whole).any(axis=1))
    assert len(changed) > 500 and (change.newest(changed) >= 500).all()


def test_a_constant_stays_as_it_is() -> None:
    change = RateChange(1925.93, 1000.0, 400.0)
    assert np.allclose(change.push(np.full((500, 1), 9.80665, np.float32)), 9.80665, rtol=1e-6)


def test_what_the_contracts_filters_pass() -> None:
    """12 Hz Butterworth of second order is at -3 dB there and at -20 dB at 12 x 99^(1/4) Hz, about; the bilinear transform
    bends that a little."""
    assert passed_hz(_imu(), 0.5**0.5) == pytest.approx(12.0, abs=0.1)
    assert passed_hz(_imu()) == pytest.approx(12 * 99**0.25, rel=0.1)
    assert passed_hz(_emg(), 0.5**0.5) == pytest.approx(450.0, abs=1.0)


def test_a_sensor_that_is_too_slow_is_refused() -> None:
    with pytest.raises(
        ContractError, match=r"500 Hz is too slow .* up to 450 Hz, which needs at least 1000 Hz"
    ):
        rate_change(_emg(), 500.0, "sensors emg")
    with pytest.raises(ContractError, match="20 Hz is too slow"):
        rate_change(_imu(), 20.0, "sensors imu")
    assert rate_change(_imu(), 200.0, "sensors imu") is None
