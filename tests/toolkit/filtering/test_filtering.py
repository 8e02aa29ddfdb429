"""The filter chain: textbook values, causality, and that any chunking gives the same bits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import sosfilt, sosfilt_zi

from toolkit.contract import Channel, FilterStage, Normaliser, StreamSpec
from toolkit.errors import ContractError
from toolkit.filtering.chain import Chain
from toolkit.filtering.design import butterworth, default_filters


def emg_stream(channels: int = 3, rate_hz: float = 1000.0) -> StreamSpec:
    return StreamSpec("emg", rate_hz, tuple(Channel(f"muscle_{i}", "mV") for i in range(channels)))


def emg_chain(normaliser: Normaliser | None = None) -> Chain:
    example = np.random.default_rng(0).normal(0, 0.1, (2000, 3))
    return Chain(default_filters(emg_stream(), 100.0, [example]), 3, 1000.0, 100.0, normaliser)


def test_sections_agree_with_scipy() -> None:
    stage = butterworth("bandpass", 2, (20.0, 450.0), 1000.0)
    signal = np.random.default_rng(1).normal(0, 1, (500, 2))
    rows = np.array(stage.parameters["coefficients"])
    sections = np.concatenate([rows[:, :3], np.ones((len(rows), 1)), rows[:, 3:]], axis=1)
    state = sosfilt_zi(sections)[:, :, None] * signal[0]
    expected, _ = sosfilt(sections, signal, axis=0, zi=state)
    actual = Chain((stage,), 2, 1000.0, 1000.0).push(signal)
    # float32 against float64: 500 samples of a well-damped filter keep 5 digits of a unit signal.
    np.testing.assert_allclose(actual, expected, atol=2e-5)


def test_lowpass_halves_the_power_at_its_cutoff() -> None:
    time_s = np.arange(4000) / 1000.0
    tone = np.sin(2 * np.pi * 6.0 * time_s)[:, None]
    filtered = Chain((butterworth("lowpass", 2, 6.0, 1000.0),), 1, 1000.0, 1000.0).push(tone)
    amplitude = np.abs(filtered[2000:]).max()
    # A Butterworth filter is 3.01 dB down at its cut-off: 1/sqrt(2). 1 ms sampling of the peak costs below 1e-3.
    assert amplitude == pytest.approx(2**-0.5, abs=1e-3)


def test_constant_input_has_no_transient() -> None:
    gravity = np.full((50, 1), 9.81)
    filtered = Chain((butterworth("lowpass", 2, 12.0, 200.0),), 1, 200.0, 200.0).push(gravity)
    # Two float32 sections of rounding at 9.81: within 2e-5.
    np.testing.assert_allclose(filtered, gravity, atol=2e-5)


def test_resample_takes_each_fifth_row_and_interpolates_between() -> None:
    ramp = np.arange(11, dtype=np.float32)[:, None]
    whole = Chain((FilterStage("resample", {"from_hz": 1000, "to_hz": 200}),), 1, 1000.0, 200.0).push(ramp)
    assert whole[:, 0].tolist() == [0.0, 5.0, 10.0]
    between = Chain((FilterStage("resample", {"from_hz": 100, "to_hz": 250}),), 1, 100.0, 250.0).push(
        ramp[:3]
    )
    np.testing.assert_allclose(between[:, 0], [0.0, 0.4, 0.8, 1.2, 1.6, 2.0], atol=1e-6)


def test_resampling_rates_are_exact_fractions() -> None:
    from fractions import Fraction

    from toolkit.filtering.stages import resample_step

    assert resample_step({"from_hz": 148.148, "to_hz": 100}) == Fraction(37037, 25000)
    assert resample_step({"from_hz": 1000, "to_hz": 100}) == 10


def test_a_row_comes_out_as_soon_as_it_is_known_and_not_before() -> None:
    chain = Chain((FilterStage("resample", {"from_hz": 100, "to_hz": 40}),), 1, 100.0, 40.0)
    ramp = np.arange(6, dtype=np.float32)[:, None]
    # Output row k is at input row 2.5 k: 0, 2.5 (known with input row 3), 5.
    assert [len(chain.push(ramp[i : i + 1])) for i in range(6)] == [1, 0, 0, 1, 0, 1]


def test_envelope_of_a_burst_is_its_rectified_mean() -> None:
    time_s = np.arange(3000) / 1000.0
    carrier = np.sin(2 * np.pi * 97.0 * time_s)[:, None]
    stages = default_filters(emg_stream(1), 100.0, [carrier])
    unscaled = Chain(stages[:-1], 1, 1000.0, 100.0).push(carrier)
    # The mean of |sin| is 2/pi (97 Hz: the samples fall on all phases); the band-pass passes it to 1 %.
    assert unscaled[200:].mean() == pytest.approx(2 / np.pi, rel=0.01)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 400), max_size=12), seed=st.integers(0, 2**16))
def test_any_chunking_gives_the_same_bits(cuts: list[int], seed: int) -> None:
    signal = np.random.default_rng(seed).normal(0, 1, (400, 3))
    normaliser = Normaliser((0.1, 0.2, 0.3), (1.0, 2.0, 0.5))
    whole = emg_chain(normaliser).push(signal)
    chain = emg_chain(normaliser)
    edges = [0, *sorted(cuts), 400]
    parts = [chain.push(signal[a:b]) for a, b in itertools.pairwise(edges)]
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_no_output_depends_on_a_later_input() -> None:
    signal = np.random.default_rng(3).normal(0, 1, (400, 3))
    changed = signal.copy()
    changed[201:] += 5.0
    before, after = emg_chain().push(signal), emg_chain().push(changed)
    assert before[:21].tobytes() == after[:21].tobytes()  # grid row 20 is input row 200
    assert not np.array_equal(before[21:], after[21:])


def test_side_by_side_recordings_equal_each_alone() -> None:
    signals = np.random.default_rng(4).normal(0, 1, (300, 2, 3))
    together = emg_chain().push(signals)
    for index in range(2):
        assert (
            emg_chain().push(signals[:, index]).tobytes()
            == np.ascontiguousarray(together[:, index]).tobytes()
        )


def test_reset_forgets() -> None:
    signal = np.random.default_rng(5).normal(0, 1, (300, 3))
    chain = emg_chain()
    first = chain.push(signal)
    chain.reset()
    assert chain.push(signal).tobytes() == first.tobytes()


def test_envelopes_that_arrive_filtered_skip_the_stage() -> None:
    stream = StreamSpec("emg", 100.0, (Channel("soleus", "1"),))
    assert default_filters(stream, 100.0, []) == ()


def test_a_silent_channel_keeps_a_finite_gain() -> None:
    stages = default_filters(emg_stream(), 100.0, [np.zeros((500, 3))])
    assert stages[-1].parameters["gain"] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            FilterStage("wavelet"),
            "unknown filter stage 'wavelet'; allowed: sections, rectify, scale, rotate, resample",
        ),
        (FilterStage("scale", {"gain": [1.0]}), "needs 3 gains"),
        (FilterStage("scale", {}), "lacks its parameter 'gain'"),
        (FilterStage("scale", {"gain": [1.0, float("nan"), 1.0]}), "must be finite"),
        (FilterStage("sections", {"coefficients": [[1, 0, 0, 0, 1.1]]}), "unstable"),
        (FilterStage("sections", {"coefficients": [[1, 0, 0]]}), "shape (sections, 5)"),
        (FilterStage("resample", {"from_hz": 50, "to_hz": 100}), "expects 50 Hz and gets 100 Hz"),
    ],
)
def test_a_wrong_stage_is_named(stage: FilterStage, message: str) -> None:
    with pytest.raises(ContractError) as caught:
        Chain((stage,), 3, 100.0, 100.0)
    assert message in str(caught.value)


def test_a_chain_that_misses_the_grid_is_refused() -> None:
    with pytest.raises(ContractError, match="ends at 1000 Hz and the model's grid has 100 Hz"):
        Chain((), 3, 1000.0, 100.0)
