"""Calibration, weight rounding and quantization: values by hand, and what bad data does."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quantization import passes
from quantization.converters import builtin
from quantization.lowering import lower_window
from quantization.quantizer import outliers
from quantization.quantizer.calibration import (
    ObservedRange,
    _step,
    _windows_at_once,
    calibrate,
    int8_affine,
    int8_range,
)
from quantization.quantizer.quantize import quantize
from quantization.quantizer.recipe import Recipe
from quantization.quantizer.weight_rounding import round_weights, symmetric_scale
from quantization.tflite.file import read
from tests.quantization.small_models import SMALL, features, windows
from toolkit.errors import ModelFileError, RecordingError, UsageError
from toolkit.model.checkpoint import Checkpoint


def observed(values: np.ndarray) -> ObservedRange:
    return ObservedRange(float(values.min()), float(values.max()), values)


def test_affine_puts_the_ends_on_the_ends() -> None:
    scale, zero_point = int8_affine(-1.0, 3.0, symmetric=False)
    assert scale == pytest.approx(4 / 255)
    # -128 - (-1 / scale) = -128 + 63.75 = -64.25
    assert zero_point == -64
    assert int8_affine(-2.0, 2.0, symmetric=True) == (pytest.approx(2 / 127), 0)
    assert int8_affine(0.0, 0.0, symmetric=False) == (pytest.approx(1 / 127), 0)


def test_percentile_survives_an_outlier_and_minmax_does_not() -> None:
    values = np.random.default_rng(0).normal(0, 1, 100_000)
    values[500] = 1000.0
    assert int8_range(observed(values), "minmax", 99.99, symmetric=False)[1] == 1000.0
    for method in ("percentile", "mse"):
        for symmetric in (False, True):
            high = int8_range(observed(values), method, 99.99, symmetric=symmetric)[1]  # type: ignore[arg-type]
            assert 3.5 < high < 4.5, method  # the 99.995th percentile of a unit normal is 3.9


def test_mse_survives_an_outlier_that_its_sample_missed() -> None:
    values = np.random.default_rng(0).normal(0, 1, 100_000)
    low, high = int8_range(ObservedRange(float(values.min()), 1000.0, values), "mse", 99.99, symmetric=False)
    assert -4.5 < low < -3.5 < 3.5 < high < 4.5


def test_the_sample_of_a_long_calibration_holds_every_channel() -> None:
    """Channel c holds c everywhere; 64 channels and 262,144 to 1,048,576 values give plain steps of 1 to 5."""
    for rows in (4096, 8192, 12_288, 16_384):
        sample = np.tile(np.arange(64.0), rows)[:: _step(64 * rows)]
        assert len(sample) > 130_000
        shares = np.bincount(sample.astype(int), minlength=64) / len(sample)
        assert shares.min() > 0.99 / 64  # each has its 64th, give or take one round


def test_a_sparse_tensor_keeps_its_rare_values() -> None:
    """Fewer than one value in a thousand is not 0: they are the signal, not outliers."""
    values = np.zeros(100_000)
    values[::2000] = 5.0
    assert int8_range(observed(values), "mse", 99.99, symmetric=False)[1] == pytest.approx(5.0, rel=0.05)


def test_mse_range_clips_the_tail_of_a_long_tailed_tensor() -> None:
    values = np.random.default_rng(1).laplace(0, 1, 100_000)
    low, high = int8_range(observed(values), "mse", 99.99, symmetric=False)
    assert high < 0.9 * values.max()
    errors = []
    for bounds in ((low, high), (values.min(), values.max())):
        scale, zero = int8_affine(*bounds, symmetric=False)
        errors.append(
            np.mean((scale * (np.clip(np.rint(values / scale) + zero, -128, 127) - zero) - values) ** 2)
        )
    assert errors[0] < errors[1]


def test_nearest_rounding_by_hand() -> None:
    weight = np.array([[0.26, -0.24, 0.5]])
    assert symmetric_scale(np.array([1.27, -0.3])) == pytest.approx(0.01)
    stored, bias = round_weights(weight, np.array([0.1]), np.full(3, 0.1), None, "nearest")
    assert stored.tolist() == [[3, -2, 5]]
    assert bias.tolist() == [0.1]


def test_compensated_rounding_puts_a_constant_inputs_error_into_the_bias() -> None:
    # One input that is always 2: W x + b = 0.26 * 2 + 0.1 = 0.62; rounding W to 0.3 adds 0.08, which the bias takes back.
    moments = np.array([[4.0, 2.0], [2.0, 1.0]])
    stored, bias = round_weights(np.array([[0.26]]), np.array([0.1]), np.array([0.1]), moments, "compensated")
    assert stored.tolist() == [[3]]
    # The damping of 1 % leaves 1 % of the error where it was, or a little more.
    assert bias[0] == pytest.approx(0.02, abs=0.004)


def test_compensated_rounding_changes_the_product_less() -> None:
    random = np.random.default_rng(2)
    # Six sources drive twenty inputs, as neighbouring sensor channels do: errors can cancel along what never occurs.
    x = random.normal(size=(2000, 6)) @ random.normal(size=(6, 20))
    weight = random.normal(size=(8, 20))
    scale = np.full(20, symmetric_scale(weight) * 4)  # 6 bits, so that rounding matters
    extended = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    moments = extended.T @ extended / len(x)
    errors = {}
    for rounding in ("nearest", "compensated"):
        stored, bias = round_weights(weight, np.zeros(8), scale, moments, rounding)  # type: ignore[arg-type]
        errors[rounding] = np.sqrt(np.mean((x @ (stored * scale).T + bias - x @ weight.T) ** 2))
    assert errors["compensated"] < 0.6 * errors["nearest"]


def test_ranges_are_those_of_all_time_steps_gates_and_cell() -> None:
    graph = passes.apply(lower_window(Checkpoint.random(SMALL, 3)))
    seen = calibrate(graph, features(SMALL, 20))
    assert {"imu/lstm/0/hidden/cell", "emg/lstm/0/hidden/gate/forget", "imu/attention/0/shares"} <= set(
        seen.ranges
    )
    shares = seen.ranges["imu/attention/0/shares"]
    assert 0 < shares.low < 1 / SMALL.window < shares.high < 1


def test_windows_that_come_in_chunks_show_what_they_show_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of any size fits into memory: what is kept of each tensor does not depend on how many windows run together."""
    graph = passes.apply(lower_window(Checkpoint.random(SMALL, 3)))
    inputs = features(SMALL, 23)
    whole = calibrate(graph, inputs)
    monkeypatch.setattr("quantization.quantizer.calibration._windows_at_once", lambda _: 5)
    monkeypatch.setattr("quantization.quantizer.calibration._KEPT", 100)
    chunked = calibrate(graph, inputs)
    assert list(chunked.ranges) == list(whole.ranges) and list(chunked.moments) == list(whole.moments)
    for name, one in whole.ranges.items():
        step = _step(len(one.sample))
        assert step > 1 or len(one.sample) < 200
        other = chunked.ranges[name]
        np.testing.assert_allclose([other.low, other.high], [one.low, one.high], rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(other.sample, one.sample[::step], rtol=1e-12, atol=1e-15)
    for name, moment in whole.moments.items():
        np.testing.assert_allclose(chunked.moments[name], moment, rtol=1e-10, atol=1e-13)


def test_fewer_windows_run_together_the_larger_a_model_is() -> None:
    small, large = (replace(SMALL, hidden=hidden, window=64) for hidden in (16, 128))
    windows = [
        _windows_at_once(passes.apply(lower_window(Checkpoint.random(one, 3)))) for one in (small, large)
    ]
    assert windows == [1_500_000 // (64 * 16), 1_500_000 // (64 * 128)]


def test_cell_scale_is_a_power_of_two_and_the_clip_is_said() -> None:
    graph = passes.apply(lower_window(Checkpoint.random(SMALL, 3)))
    integer = quantize(graph, calibrate(graph, features(SMALL, 20)), Recipe())
    for op in integer.ops:
        if op.kind == "UNIDIRECTIONAL_SEQUENCE_LSTM":
            quantization = integer.tensors[op.inputs[19]].quantization
            assert quantization is not None
            power = np.log2(float(quantization.scale[0]))
            assert power == round(power)
            assert op.options["cell_clip"] == 32768 * float(quantization.scale[0])


def test_a_cell_that_no_power_of_two_holds_is_refused() -> None:
    checkpoint = Checkpoint.random(SMALL, 3)
    weights = dict(checkpoint.weights)
    bias = weights["imu.lstm.0.bias"].copy()
    bias[: 3 * SMALL.hidden] = 40.0  # input, forget and cell gate fully open: the cell counts the rows
    weights["imu.lstm.0.bias"] = bias
    long = replace(SMALL, window=80)
    open_gates = Checkpoint.random(long, 3)
    graph = passes.apply(
        lower_window(replace(open_gates, weights={**open_gates.weights, "imu.lstm.0.bias": bias}))
    )
    with pytest.raises(
        UsageError, match=r"cell state of imu/lstm/0/hidden reaches 8\d\.\d; .* holds less than 64"
    ):
        quantize(graph, calibrate(graph, features(long, 4)), Recipe())


def test_weights_too_small_for_their_bias_are_named_and_zero_weights_are_not() -> None:
    checkpoint = Checkpoint.random(SMALL, 3)

    def converted(value: float) -> None:
        weights = dict(checkpoint.weights)
        weights["imu.lstm.0.weight_ih"] = np.full_like(weights["imu.lstm.0.weight_ih"], value)
        graph = passes.apply(lower_window(replace(checkpoint, weights=weights)))
        quantize(graph, calibrate(graph, features(SMALL, 20)), Recipe())

    converted(0.0)
    with pytest.raises(
        ModelFileError, match=r"imu/lstm/0/.*bias.* reaches 0\.\d+, .*; int32 holds 2\.1e\+09"
    ):
        converted(1e-30)


def test_bad_calibration_data_is_named() -> None:
    graph = passes.apply(lower_window(Checkpoint.random(SMALL, 3)))
    inputs = features(SMALL, 5)
    inputs["emg"][2, 3, 1] = np.inf
    with pytest.raises(RecordingError, match="stream 'emg', window 2, row 3, channel 1 is inf"):
        calibrate(graph, inputs)


def test_a_dead_channel_and_an_outlier_are_warned_about_and_survived() -> None:
    graph = passes.apply(lower_window(Checkpoint.random(SMALL, 3)))
    inputs = features(SMALL, 1000)  # 45,000 values: one outlier is beyond the 99.995th percentile
    inputs["emg"][:, :, 2] = 0.0
    inputs["imu"][7, 4, 1] = 500.0
    seen = calibrate(graph, inputs)
    assert len(seen.warnings) == 2
    assert "stream emg: channel 2 is constant in all windows" in seen.warnings
    assert any("stream imu: channel 1 peaks at 500.0" in text for text in seen.warnings)
    scale = {}
    for method in ("minmax", "percentile", "mse"):
        quantization = quantize(graph, seen, Recipe(calibration=method)).tensor("imu").quantization  # type: ignore[arg-type]
        assert quantization is not None
        scale[method] = float(quantization.scale[0])
    assert scale["minmax"] > 30 * scale["percentile"]
    assert scale["minmax"] > 30 * scale["mse"]


def filtered_artefact(size: float) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Windows of unit normal features, and which hold what a filter makes of one bad sample: it halves every row.

    As of one recording with windows 2 rows apart, so that the same bad rows are in many windows.
    """
    inputs = features(SMALL, 200)
    start = 2 * np.arange(200)[:, None] + np.arange(SMALL.window)[None]
    decay = np.where(start >= 100, size * 0.5 ** np.maximum(start - 100.0, 0), 0.0)
    inputs["imu"][:, :, 1] += decay.astype(np.float32)
    return inputs, (np.abs(inputs["imu"][:, :, 1]) > 10).any(axis=1)


@pytest.mark.parametrize("method", ["percentile", "mse"])
def test_an_outlier_that_filter_and_overlap_have_smeared_leaves_the_range_of_clean_data(method: Any) -> None:
    checkpoint = Checkpoint.random(SMALL, 3)
    inputs, bad = filtered_artefact(1e5)
    # Far beyond any percentile of 99.99: a single sample is in 2.6 % of this stream's values.
    assert 10 < bad.sum() < 50

    def input_scale(values: dict[str, np.ndarray]) -> tuple[float, tuple[str, ...]]:
        files = builtin.build(
            checkpoint,
            replace(windows(checkpoint, len(values["imu"])), inputs=values),
            scheme="int8",
            recipe=Recipe(calibration=method),
        )
        window = next(f for f in files if (f.graph, f.scheme) == ("window", "int8"))
        quantization = read(window.content).tensor("imu").quantization
        assert quantization is not None
        return float(quantization.scale[0]), window.notes

    scale, notes = input_scale(inputs)
    clean, none = input_scale({stream: values[~bad] for stream, values in inputs.items()})
    assert scale == clean
    assert none == ()
    assert notes == (
        f"stream imu: channel 1 peaks at {inputs['imu'].max():.1f} training deviations, an outlier in {bad.sum()} of 200 "
        "windows: percentile and mse ranges leave these windows out, a min-max range is widened by them",
    )


def test_what_most_windows_hold_is_no_artefact_to_leave_out() -> None:
    inputs = features(SMALL, 20)
    inputs["imu"][:11, 2, 1] = 400.0
    found = outliers.find(inputs)
    assert found.sound.all()
    assert len(found.warnings) == 1
    assert "an outlier in 11 of 20 windows, too many to leave out" in found.warnings[0]


def test_a_channel_that_mostly_rests_has_no_artefacts_and_one_in_another_unit_is_named() -> None:
    inputs = features(SMALL, 50)
    inputs["emg"][:, :, 1] = 0.0
    inputs["emg"][:, 0, 1] = 7.0  # rests but for one row in a window
    found = outliers.find(inputs)
    assert found.sound.all() and found.warnings == ()
    inputs["imu"][:, :, 0] *= 1000.0
    found = outliers.find(inputs)
    assert found.sound.all()
    # The median magnitude of a unit normal is 0.67.
    assert len(found.warnings) == 1
    assert re.search(
        r"imu: channel 0 peaks .* usually at 6\d\d\.\d training deviations: its unit", found.warnings[0]
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"calibration": "guess"}, "allowed: minmax, percentile, mse"),
        ({"wide": ["lstm"]}, "recipe entry wide: lstm is not known; allowed: norm, head"),
        ({"colour": 1}, "recipe entry colour is not known"),
        ({"percentile": 20.0}, "above 50"),
        ({"passes": ["x"]}, "pass x is not known"),
        ({"wide": "norm"}, "recipe entry wide is 'norm'; it must be a list of names"),
        ({"wide": [["norm"]]}, r"recipe entry wide is \(\['norm'\],\); it must be a list of names"),
        ({"passes": None}, "recipe entry passes is None; it must be a list of names"),
        ({"passes": [1]}, r"recipe entry passes is \(1,\); it must be a list of names"),
        ({"percentile": "99"}, "recipe entry percentile is '99'; it must be a number"),
        ({"headroom": None}, "recipe entry headroom is None; it must be a number"),
        ({"headroom": True}, "recipe entry headroom is True; it must be a number"),
        ({"headroom": float("nan")}, "headroom is nan; it must be from 1 to 16"),
        ({"weight_rounding": []}, "weight rounding"),
    ],
)
def test_a_wrong_recipe_is_named(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Recipe.from_json(wrong)


def test_recipe_survives_json() -> None:
    recipe = Recipe(calibration="percentile", wide=("norm",), headroom=1.5)
    assert Recipe.from_json(recipe.to_json()) == recipe
