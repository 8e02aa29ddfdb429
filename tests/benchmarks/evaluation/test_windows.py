"""Which windows are judged, in which numbers, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.evaluation.windows import evaluate_on
from quantization.arithmetic.storage import TensorFormat, decode, encode
from tests.quantization.small_models import SMALL
from toolkit.contract import Channel, ModelInput, Normaliser, SensorContract, StreamSpec
from toolkit.errors import ContractError, RecordingError, UsageError
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import weight_shapes
from toolkit.records import Recording, Signal

RATE, ROWS = 100.0, 1000


def streams() -> tuple[StreamSpec, StreamSpec]:
    imu = tuple(Channel(f"i{n}", "rad/s") for n in range(SMALL.imu_channels))
    emg = tuple(Channel(f"e{n}", "1") for n in range(SMALL.emg_channels))
    return StreamSpec("imu", RATE, imu), StreamSpec("emg", RATE, emg)


def checkpoint(split: dict[str, object] | None) -> Checkpoint:
    inputs = tuple(
        ModelInput(s, (), Normaliser((0.0,) * len(s.channels), (1.0,) * len(s.channels))) for s in streams()
    )
    contract = SensorContract(
        inputs, RATE, SMALL.window, tuple(Channel(n, "Nm/kg") for n in SMALL.outputs), SMALL.horizon_ms
    )
    weights = {name: np.zeros(shape, np.float32) for name, shape in weight_shapes(SMALL).items()}
    return Checkpoint(SMALL, contract, weights, split)


def recording(name: str, *, kind: str = "synthetic", moments: bool = True) -> Recording:
    """Row i of every channel holds i, so that a window tells where it was cut."""
    ramp = np.arange(ROWS, dtype=np.float64)[:, None]
    signals = {s.name: Signal(s, 0.0, np.repeat(ramp, len(s.channels), axis=1)) for s in streams()}
    spec = StreamSpec("moments", RATE, tuple(Channel(n, "Nm/kg") for n in SMALL.outputs))
    return Recording(
        name,
        name,
        "level",
        kind,  # type: ignore[arg-type]
        70.0,
        signals,
        Signal(spec, 0.0, np.repeat(ramp, len(SMALL.outputs), axis=1)) if moments else None,
        tuple(float(v) for v in range(10)),
    )


LAST_30 = {"kind": "chronological", "fractions": [0.6, 0.1, 0.3]}


def test_test_part_only_and_no_window_reaches_before_it() -> None:
    data = evaluate_on(checkpoint(LAST_30), [recording("a")], "a.npz", 10_000)
    assert data.part == "test" and data.available == len(data.windows)
    assert data.windows.inputs["imu"].min() == 700
    assert data.windows.targets[0, 0] == 700 + SMALL.window - 1
    assert data.windows.targets[-1, 0] == 999
    assert evaluate_on(checkpoint(None), [recording("a")], "a", 10_000).part == "all"


def test_sequences_hold_the_newest_sample_of_each_window_in_its_row() -> None:
    data = evaluate_on(checkpoint(LAST_30), [recording("a"), recording("b")], "x", 100)
    assert len(data.windows) < data.available
    for row in range(len(data.windows)):
        run = data.sequences[data.windows.recording[row]]
        for name, values in data.windows.inputs.items():
            np.testing.assert_array_equal(run.inputs[name][data.sequence_row[row]], values[row, -1])
    assert data.sequences[0].inputs["imu"][0, 0] == 700  # the carried state starts with the test part


def test_least_real_kind_is_said() -> None:
    mixed = [recording("a", kind="measured"), recording("b", kind="virtual-imu")]
    assert evaluate_on(checkpoint(LAST_30), mixed, "x", 100).kind == "virtual-imu"


def test_data_that_does_not_fit_is_refused() -> None:
    fitting = recording("a")
    imu = fitting.signals["imu"]
    turned = StreamSpec("imu", RATE, imu.spec.channels[::-1])
    wrong = Recording(
        "a", "a", "level", "synthetic", 70.0,
        {"imu": Signal(turned, 0.0, imu.samples), "emg": fitting.signals["emg"]}, fitting.moments,
    )  # fmt: skip
    with pytest.raises(ContractError, match=r"wrong order: position 0 must be 'i0', not 'i4'"):
        evaluate_on(checkpoint(LAST_30), [wrong], "x", 100)
    with pytest.raises(RecordingError, match="no reference moments"):
        evaluate_on(checkpoint(LAST_30), [recording("a", moments=False)], "x", 100)
    with pytest.raises(UsageError, match="windows is 0"):
        evaluate_on(checkpoint(LAST_30), [fitting], "x", 0)


def test_values_into_and_out_of_int8() -> None:
    form = TensorFormat("imu", (1, 1), np.dtype(np.int8), scale=0.5, zero_point=-3)
    # 0.25 is half a step: away from zero. 100 and -100 saturate.
    values = np.array([0.0, 0.25, -0.25, 0.24, 1.0, 100.0, -100.0], np.float32)
    codes = encode(values, form)
    assert codes.dtype == np.int8 and codes.tolist() == [-3, -2, -4, -3, -1, 127, -128]
    assert decode(codes, form).tolist() == [0.0, 0.5, -0.5, 0.0, 1.0, 65.0, -62.5]
    floats = TensorFormat("imu", (1, 1), np.dtype(np.float32))
    assert encode(values, floats).tolist() == values.tolist() == decode(values, floats).tolist()
