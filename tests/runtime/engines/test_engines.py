"""One contract for every inference engine: state, instances, input checks, and the native one's bits."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from quantization.bundle import Bundle
from quantization.reference import Interpreter
from quantization.tflite.file import read
from runtime.engines import ENGINES, open_engine, usual_scheme
from runtime.engines.interface import Engine, Rows, probe
from tests.artefacts import once
from tests.runtime.engines.models import MODELS, make_bundle
from tests.tools import require
from toolkit.cache_folder import cache_folder
from toolkit.errors import (
    InputError,
    MissingDependencyError,
    ModelFileError,
    UsageError,
)
from toolkit.model.config import STREAMS

#: Only what is installed: tflite-runtime needs numpy 1, and test_tflite_runtime.py runs this file beside it.
WITH_TFLITE_RUNTIME = importlib.util.find_spec("tflite_runtime") is not None
RUNS = [
    ("litert", "int8"),
    ("litert", "float32"),
    ("native", "int8"),
    *([("tflite-runtime", "float32")] if WITH_TFLITE_RUNTIME else []),
]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Bundle]]:
    """Bundles, and a cache of what is compiled of them, of this run: workers that share this file share them."""
    folder = once(tmp_path_factory, "engines", _fill)
    made = Path(os.environ.get("EDGETOOL_TEST_BUNDLES", folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGETOOL_CACHE", str(folder / "cache"))
        yield {name: Bundle.load(made / name) for name in MODELS}


def _fill(folder: Path) -> None:
    folder.mkdir()
    if "EDGETOOL_TEST_BUNDLES" not in os.environ:
        for name, config in MODELS.items():
            make_bundle(folder / name, config)
        if shutil.which(os.environ.get("CC", "cc")):  # who lacks it skips, or fails, where it is asked for
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("EDGETOOL_CACHE", str(folder / "cache"))
                open_engine(Bundle.load(folder / "small"), "native", "int8")


def engine_of(bundle: Bundle, name: str, scheme: str) -> Engine:
    if name == "native":
        require(os.environ.get("CC", "cc"))
    return open_engine(bundle, name, scheme)


@pytest.fixture(params=RUNS, ids="-".join)
def engine(request: pytest.FixtureRequest, bundles: dict[str, Bundle]) -> Engine:
    return engine_of(bundles["small"], *request.param)


def drawn(engine: Engine, rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    return {s: draw.normal(size=(rows, n)).astype(np.float32) for s, n in engine.channels.items()}


def row(inputs: Rows, index: int) -> dict[str, np.ndarray]:
    return {stream: values[index] for stream, values in inputs.items()}


def steps(engine: Engine, inputs: Rows) -> np.ndarray:
    return np.array([engine.step(row(inputs, i)) for i in range(len(inputs["imu"]))])


def test_reset_starts_anew_and_state_matters(engine: Engine) -> None:
    inputs = drawn(engine, 12)
    first, second = steps(engine, inputs), steps(engine, inputs)
    assert not np.array_equal(first[0], second[0])
    engine.reset()
    np.testing.assert_array_equal(steps(engine, inputs), first)


def test_a_window_equals_its_steps_from_reset(engine: Engine) -> None:
    inputs = drawn(engine, engine.rows, 1)
    last = steps(engine, inputs)[-1]
    if engine.name == "native":
        np.testing.assert_array_equal(engine.window(inputs), last)
    else:
        # LiteRT's float kernels may add in an order that depends on the shape; its int8 output is a step of 1e-4 or so.
        np.testing.assert_allclose(engine.window(inputs), last, rtol=1e-5, atol=1e-3)


def test_a_window_leaves_the_stream_alone_and_has_no_memory(engine: Engine) -> None:
    inputs, window = drawn(engine, 12), drawn(engine, engine.rows, 2)
    expected = steps(engine, inputs)
    alone = engine.window(window)
    engine.reset()
    disturbed = []
    for i in range(12):
        disturbed.append(engine.step(row(inputs, i)))
        np.testing.assert_array_equal(engine.window(window), alone)
    np.testing.assert_array_equal(disturbed, expected)


@pytest.mark.parametrize("run", RUNS, ids="-".join)
def test_interleaved_instances_do_not_meet(run: tuple[str, str], bundles: dict[str, Bundle]) -> None:
    one, two = engine_of(bundles["small"], *run), engine_of(bundles["small"], *run)
    a, b = drawn(one, 12, 3), drawn(two, 12, 4)
    expected_a, expected_b = steps(one, a), steps(two, b)
    one.reset()
    two.reset()
    mixed = [(one.step(row(a, i)), two.step(row(b, i))) for i in range(12)]
    np.testing.assert_array_equal([x for x, _ in mixed], expected_a)
    np.testing.assert_array_equal([x for _, x in mixed], expected_b)


@pytest.mark.parametrize("run", RUNS, ids="-".join)
def test_a_saved_state_goes_on_in_another_instance(run: tuple[str, str], bundles: dict[str, Bundle]) -> None:
    """Saved after 5 of 14 rows, when the rings (9 rows) are partly filled, and again after 11, when they have turned."""
    one, two = engine_of(bundles["small"], *run), engine_of(bundles["small"], *run)
    inputs = drawn(one, 14, 5)
    whole = steps(one, inputs)
    for stop in (5, 11):
        one.reset()
        steps(one, {s: v[:stop] for s, v in inputs.items()})
        two.restore(one.save())
        np.testing.assert_array_equal(steps(two, {s: v[stop:] for s, v in inputs.items()}), whole[stop:])


def test_state_of_another_model_or_cut_short_is_refused(engine: Engine, bundles: dict[str, Bundle]) -> None:
    scheme = "float32" if engine.name == "tflite-runtime" else "int8"
    other = open_engine(bundles["two-heads"], engine.name, scheme)
    with pytest.raises(InputError, match="does not belong to this model"):
        engine.restore(other.save())
    with pytest.raises(InputError, match="bytes and this model's"):
        engine.restore(engine.save()[:-1])


def test_bad_input_is_named_and_leaves_the_state(engine: Engine) -> None:
    inputs = drawn(engine, 12, 6)
    expected = steps(engine, inputs)
    engine.reset()
    steps(engine, row(inputs, slice(0, 6)))  # type: ignore[arg-type]
    good = row(inputs, 6)
    spoilt = good["emg"].copy()
    spoilt[1] = np.nan
    for bad, message in (
        ({**good, "emg": spoilt}, r"stream 'emg' is nan at \(1,\)"),
        ({**good, "imu": np.full(5, np.inf, np.float32)}, r"stream 'imu' is inf at \(0,\)"),
        ({**good, "imu": good["imu"][:4]}, r"stream 'imu' has shape \(4,\); the model needs \(5,\)"),
        ({"imu": good["imu"]}, "stream 'emg' is missing"),
    ):
        with pytest.raises(InputError, match=message):
            engine.step(bad)
    with pytest.raises(InputError, match=r"has shape \(8, 5\); the model needs \(9, 5\)"):
        engine.window(drawn(engine, 8))
    np.testing.assert_array_equal(steps(engine, row(inputs, slice(6, 12))), expected[6:])  # type: ignore[arg-type]


def test_a_window_is_checked_as_a_row_is(engine: Engine) -> None:
    window = drawn(engine, engine.rows, 7)
    expected = engine.window(window)
    for value in (np.nan, -np.inf):
        spoilt = {stream: values.copy() for stream, values in window.items()}
        spoilt["imu"][3, 1] = value
        with pytest.raises(InputError, match=rf"stream 'imu' is {value} at \(3, 1\)"):
            engine.window(spoilt)
    np.testing.assert_array_equal(engine.window(window), expected)


def test_rows_of_other_types_are_the_same_rows(engine: Engine) -> None:
    """Lists, float64 and every other element of a larger array: converted, never read as they lie in memory."""
    inputs = drawn(engine, 4, 8)
    expected = steps(engine, inputs)
    engine.reset()
    wide = {stream: np.repeat(values, 2, axis=1)[:, ::2] for stream, values in inputs.items()}
    found = [
        engine.step({s: v[0].tolist() for s, v in inputs.items()}),
        engine.step({s: v[1].astype(np.float64) for s, v in inputs.items()}),
        engine.step(row(wide, 2)),
        engine.step(row(inputs, 3)),
    ]
    np.testing.assert_array_equal(found, expected)


def test_moments_given_earlier_stay_as_they_were(engine: Engine) -> None:
    """A step's result is the caller's: the next step must not write into it."""
    inputs = drawn(engine, 3, 9)
    first = engine.step(row(inputs, 0))
    kept = first.copy()
    engine.step(row(inputs, 1))
    engine.window(drawn(engine, engine.rows, 10))
    np.testing.assert_array_equal(first, kept)


def test_a_large_value_is_no_error_but_saturates(engine: Engine) -> None:
    """1e30 squared is beyond float32: a check by sums must not take it for NaN."""
    huge = {s: np.full(n, 1e30, np.float32) for s, n in engine.channels.items()}
    assert np.isfinite(engine.step(huge)).all()


@pytest.mark.parametrize("model", MODELS)
def test_native_has_the_bits_of_the_integer_reference(model: str, bundles: dict[str, Bundle]) -> None:
    bundle = bundles[model]
    engine = engine_of(bundle, "native", "int8")
    graph = read(bundle.graph("window", "int8").content)
    interpreter = Interpreter(graph)
    output = graph.tensor("moments").quantization
    assert output is not None
    for seed in range(10):
        inputs = drawn(engine, engine.rows, seed)
        stored = []
        for stream in STREAMS:
            form = graph.tensor(stream).quantization
            assert form is not None
            quotient = (inputs[stream] / np.float32(form.scale[0])).astype(np.float64)
            whole = np.trunc(quotient + np.copysign(0.5, quotient)) + form.zero_point[0]
            stored.append(np.clip(whole, -128, 127).astype(np.int8)[None])
        interpreter.reset()
        (moments,) = interpreter.run(stored)
        expected = (moments.astype(np.int32) - output.zero_point[0]).astype(np.float32) * np.float32(
            output.scale[0]
        )
        np.testing.assert_array_equal(engine.window(inputs), expected.ravel())


def test_tflite_runtime_says_what_to_do_for_int8(bundles: dict[str, Bundle]) -> None:
    error, message = MissingDependencyError, "pip install tflite-runtime"
    if WITH_TFLITE_RUNTIME:
        error, message = ModelFileError, "use scheme float32 or engine native"
    for bundle in bundles.values():
        with pytest.raises(error, match=message):
            open_engine(bundle, "tflite-runtime", "int8")


class Forgetful:
    """An engine around another, with one fault: what the probe must find."""

    def __init__(self, inner: Engine, fault: str) -> None:
        self._inner, self._fault = inner, fault
        self._kept = np.float32(0)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def step(self, values: Rows) -> np.ndarray:
        if self._fault == "forgets":
            self._inner.reset()
        return self._inner.step(values)

    def reset(self) -> None:
        if self._fault != "keeps":
            self._inner.reset()

    def window(self, values: Rows) -> np.ndarray:
        self._kept += self._fault == "remembers"
        return self._inner.window(values) + self._kept


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("forgets", "forgets the stream's state"),
        ("keeps", "keeps state through a reset"),
        ("remembers", "from window to window"),
    ],
)
def test_the_probe_finds_silent_faults(fault: str, message: str, engine: Engine) -> None:
    probe(engine)
    with pytest.raises(ModelFileError, match=message):
        probe(Forgetful(engine, fault))  # type: ignore[arg-type]


def test_each_engine_opens_with_its_usual_scheme(bundles: dict[str, Bundle]) -> None:
    for name in {run[0] for run in RUNS}:
        assert open_engine(bundles["small"], name, usual_scheme(name)).name == name


def test_unknown_names_say_what_there_is(bundles: dict[str, Bundle]) -> None:
    with pytest.raises(UsageError, match=", ".join(ENGINES)):
        open_engine(bundles["small"], "torch")
    with pytest.raises(UsageError, match="int8 graphs; it has no float32"):
        open_engine(bundles["small"], "native", "float32")


def test_a_missing_package_or_compiler_is_one_line(
    bundles: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(MissingDependencyError, match=r"no-such-compiler.* apt install gcc"):
        open_engine(bundles["small"], "native")
    monkeypatch.setitem(__import__("sys").modules, "tflite_runtime.interpreter", None)
    with pytest.raises(MissingDependencyError, match="pip install tflite-runtime"):
        open_engine(bundles["small"], "tflite-runtime")


def test_the_library_is_compiled_once(
    bundles: dict[str, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine_of(bundles["small"], "native", "int8")
    shutil.copytree(cache_folder(), tmp_path / "cache")  # another worker may compile into the shared one
    monkeypatch.setenv("EDGETOOL_CACHE", str(tmp_path / "cache"))
    before = {p: p.stat().st_mtime_ns for p in cache_folder().iterdir()}
    assert before
    engine_of(bundles["small"], "native", "int8")
    assert {p: p.stat().st_mtime_ns for p in cache_folder().iterdir()} == before
