"""The label filter against scipy's design and response, and the causal one against causality."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, sosfilt, sosfilt_zi

from toolkit.data.smoothing import causal_low_pass, zero_phase_low_pass
from toolkit.errors import RecordingError


def test_causal_equals_scipys_butterworth() -> None:
    values = np.random.default_rng(0).normal(size=(400, 3))
    sections = butter(2, 12.0, fs=100.0, output="sos")
    state = sosfilt_zi(sections)[:, :, None] * values[0]
    expected, _ = sosfilt(sections, values, axis=0, zi=state)
    np.testing.assert_allclose(causal_low_pass(values, 12.0, 100.0), expected, atol=1e-12)  # rounding


def gain(frequency_hz: float) -> float:
    time = np.arange(2000) / 100.0
    wave = np.sin(2 * np.pi * frequency_hz * time)[:, None]
    out = zero_phase_low_pass(wave, 6.0, 100.0)[500:1500, 0]
    # In phase with the input: the projection on it is the whole response.
    return float(2 * np.mean(out * wave[500:1500, 0]))


def test_zero_phase_is_half_power_at_its_cutoff_and_keeps_phase() -> None:
    assert gain(6.0) == pytest.approx(np.sqrt(0.5), abs=1e-6)  # rounding and the start's remains
    assert gain(1.0) == pytest.approx(1.0, abs=1e-3)
    # Two passes of |H|^2 = 1 / (1 + (tan(pi 20/100) / (1.2465 tan(pi 6/100)))^4) = 1 / (1 + 3.055^4).
    assert gain(20.0) == pytest.approx(0.01135, abs=2e-5)
    step = np.repeat([0.0, 1.0], 100)[:, None]
    smooth = zero_phase_low_pass(step, 6.0, 100.0)[:, 0]
    np.testing.assert_allclose(smooth, 1 - smooth[::-1], atol=1e-6)  # symmetric: no delay


def test_constants_and_ramps_pass_unchanged_to_the_ends() -> None:
    ramp = np.linspace(0, 5, 60)[:, None]
    np.testing.assert_allclose(zero_phase_low_pass(ramp, 6.0, 100.0), ramp, atol=2e-3)
    flat = np.full((20, 2), 3.0)
    np.testing.assert_allclose(zero_phase_low_pass(flat, 6.0, 100.0), flat, atol=1e-12)
    np.testing.assert_allclose(causal_low_pass(flat, 6.0, 100.0), flat, atol=1e-12)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, 50.0, 60.0])
def test_cutoff_out_of_range_is_refused(cutoff: float) -> None:
    with pytest.raises(RecordingError, match="must be above 0 and below 50 Hz"):
        causal_low_pass(np.zeros((10, 1)), cutoff, 100.0)
    with pytest.raises(RecordingError):
        zero_phase_low_pass(np.zeros((10, 1)), cutoff, 100.0)
