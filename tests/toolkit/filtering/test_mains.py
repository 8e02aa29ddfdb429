"""Mains hum: a line of known size is found as that size, noise has none, and the notch takes out the line and little else."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.contract import Channel, ModelInput, Normaliser, StreamSpec
from toolkit.errors import ContractError
from toolkit.filtering.chain import Chain
from toolkit.filtering.design import default_filters
from toolkit.filtering.mains import MAINS_HZ, SPECTRUM_S, find_hum, harmonics_hz, mean_response, notch
from toolkit.filtering.stages import build

RATE_HZ = 1000.0
TIMES_S = np.arange(round(SPECTRUM_S * RATE_HZ)) / RATE_HZ


def _noise(seed: int, size: float = 0.1) -> np.ndarray:
    """Two channels of white noise of this root mean square."""
    return np.random.default_rng(seed).normal(0.0, size, (len(TIMES_S), 2))


@pytest.mark.parametrize("line_hz", MAINS_HZ)
@pytest.mark.parametrize("off_hz", [-0.2, 0.0, 0.13])
def test_a_line_is_found_as_large_as_it_is(line_hz: int, off_hz: float) -> None:
    """Amplitude 0.1 of the line, 0.05 of its third harmonic, on the second channel alone, wherever mains is just now."""
    samples = _noise(1)
    samples[:, 1] += 0.1 * np.sin(2 * np.pi * (line_hz + off_hz) * TIMES_S)
    samples[:, 1] += 0.05 * np.sin(2 * np.pi * 3 * (line_hz + off_hz / 3) * TIMES_S)
    found = {hum.line_hz: hum for hum in find_hum(samples, RATE_HZ)}
    sizes = found[line_hz].amplitudes
    third = harmonics_hz(line_hz, RATE_HZ).index(3 * line_hz)
    assert sizes[0, 1] == pytest.approx(0.1, rel=0.15) and sizes[third, 1] == pytest.approx(0.05, rel=0.25)
    assert np.count_nonzero(sizes) == 2
    assert not found[110 - line_hz].amplitudes.any()


def test_noise_has_no_line() -> None:
    """200 spectra of two channels, ten lines each."""
    assert not any(hum.amplitudes.any() for seed in range(200) for hum in find_hum(_noise(seed), RATE_HZ))


@pytest.mark.parametrize("line_hz", MAINS_HZ)
def test_the_notch_takes_the_line_and_its_odd_harmonics(line_hz: int) -> None:
    """Below 1 % within 0.01 Hz of 50, 150, 250, 350 Hz (60, 180, ...), above 97 % from 5 Hz away: what 2 Hz of width give."""
    stage = notch(line_hz, RATE_HZ)
    assert len(stage.parameters["coefficients"]) == 4
    times_s = np.arange(3000) / RATE_HZ
    lines = [n * line_hz for n in (1, 3, 5, 7)]
    for hz, low, high in [(hz, 0.0, 0.01) for hz in lines] + [
        (hz + away, 0.97, 1.01) for hz in (0, *lines) for away in (-5, 5) if hz + away > 0
    ]:
        wave = np.sin(2 * np.pi * hz * times_s).astype(np.float32)[:, None]
        out = build(stage, 1).push(wave)[2000:]
        assert low <= np.sqrt(2.0) * out.std() <= high, hz


def test_a_stream_that_is_too_slow_has_no_notch() -> None:
    """Below 111 Hz a line at 50 Hz is beyond what an anti-alias filter leaves."""
    with pytest.raises(ContractError, match="a notch at 50 Hz needs a rate above 111 Hz, not 100 Hz"):
        notch(50, 100.0)
    assert len(notch(50, 200.0).parameters["coefficients"]) == 1
    assert harmonics_hz(50, 100.0) == () and harmonics_hz(50, 200.0) == (50,)


def test_the_mean_response_is_what_the_chain_gives() -> None:
    """A line driven through the whole chain for a second, against the formula: 50 Hz, and 20 Hz, where the band-pass falls."""
    stream = StreamSpec("emg", RATE_HZ, (Channel("soleus", "mV"), Channel("tib_ant", "mV")))
    examples = [np.random.default_rng(2).normal(size=(3000, 2)) * [1.0, 0.1]]
    item = ModelInput(stream, default_filters(stream, 100.0, examples), Normaliser((0.0, 0.0), (1.0, 1.0)))
    times_s = np.arange(2000) / RATE_HZ
    for hz in (20.0, 50.0):
        driven = np.sin(2 * np.pi * hz * times_s)[:, None].repeat(2, axis=1).astype(np.float32)
        out = Chain.of(item, 100.0).push(driven)[100:].mean(axis=0)
        assert mean_response(item.filters, 2, hz, RATE_HZ) == pytest.approx(out, rel=0.01)
