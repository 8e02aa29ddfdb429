"""``[inputs]``: what a sensor sends becomes what the model takes (units, axes, names, rate), or one line says why not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from firmware_bridge.protocol.packets import ChannelDescriptor, StreamDescriptor
from firmware_bridge.protocol.table import Format
from firmware_bridge.simulator.faults import Faults
from firmware_bridge.simulator.virtual_node import Programme, VirtualNode
from runtime.pipeline.input_from import Axes, ChannelFrom, InputFrom, require_inputs_fit
from runtime.pipeline.input_plan import InputPlan, SensorStream, plan_input
from tests.runtime.pipeline.harness import BOTH, Bench, node
from toolkit.contract import Channel, ModelInput, Normaliser, SensorContract, StreamSpec
from toolkit.errors import ContractError, UsageError

AXES = "xyz"
IMU = tuple(
    Channel(f"foot_{kind}_{axis}", unit)
    for kind, unit in (("accel", "m/s^2"), ("gyro", "rad/s"))
    for axis in AXES
)


def _item(channels: Sequence[Channel] = IMU, rate_hz: float = 100.0, name: str = "imu") -> ModelInput:
    count = len(channels)
    return ModelInput(
        StreamSpec(name, rate_hz, tuple(channels)), (), Normaliser((0.0,) * count, (1.0,) * count)
    )


def _stream(names: Sequence[tuple[str, str]], rate_hz: float = 100.0, name: str = "imu") -> SensorStream:
    channels = tuple(ChannelDescriptor(label, unit, 1.0) for label, unit in names)
    return SensorStream(name, "box", StreamDescriptor(0, name, Format.FLOAT32, rate_hz, channels))


BRAINFLOW = [(f"accel {i}", "g") for i in (1, 2, 3)] + [(f"gyro {i}", "deg/s") for i in (1, 2, 3)]


def _out(plan: InputPlan, row: Sequence[float]) -> list[float]:
    """The model's channels of one row of all of a stream's channels."""
    joined = np.array([[row[column] for column in plan.columns[0]]], np.float32)
    return [float(v) for v in plan.apply(joined)[0]]


def test_g_and_degrees_turned_by_the_axes() -> None:
    """The contract's x is the sensor's -y, its y the sensor's x: accelerometer and gyroscope alike."""
    wanted = InputFrom(
        ("imu",),
        check_names=False,
        unit={"accel": "g", "gyro": "deg/s"},
        axes={"": Axes.of(["-y", "x", "z"])},
    )
    plan = plan_input(_item(), [_stream(BRAINFLOW)], wanted)
    assert _out(plan, [1, 2, 3, 90, 180, 360]) == pytest.approx(
        [-2 * 9.80665, 1 * 9.80665, 3 * 9.80665, -math.pi, math.pi / 2, 2 * math.pi]
    )


def test_channels_by_name_in_any_order_with_a_unit_a_scale_and_others_left_out() -> None:
    emg = _item([Channel("soleus", "mV"), Channel("tib_ant", "mV")], name="emg")
    stream = _stream([("battery", "V"), ("ch2", "uV"), ("ch1", "uV")], name="emg")
    wanted = InputFrom(
        ("emg",), channels={"soleus": ChannelFrom("ch1"), "tib_ant": ChannelFrom("emg/ch2", "V", -2.0)}
    )
    plan = plan_input(emg, [stream], wanted)
    assert plan.columns[0].tolist() == [1, 2]  # the battery is not watched: that it never changes is no fault
    assert _out(plan, [3.7, 5.0, 250.0]) == pytest.approx([0.25, -2.0 * 5.0 * 1000])


def test_the_scale_and_unit_of_a_named_channel_go_with_it_when_axes_are_exchanged() -> None:
    wanted = InputFrom(
        ("imu",),
        axes={"foot": Axes.of(["y", "z", "x"])},
        channels={
            f"foot_{kind}_{axis}": ChannelFrom(f"{kind} {i}", scale=2.0 if (kind, i) == ("accel", 1) else 1.0)
            for kind in ("accel", "gyro")
            for i, axis in enumerate(AXES, 1)
        },
    )
    plan = plan_input(_item(), [_stream(BRAINFLOW)], wanted)
    # x takes the sensor's y, y its z, z its x, and the sensor's x alone is doubled.
    assert _out(plan, [1, 2, 3, 0, 0, 0])[:3] == pytest.approx([2 * 9.80665, 3 * 9.80665, 2 * 9.80665])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["y", "x", "z"], "left-handed"),
        (["-x", "y", "z"], "left-handed"),
        (["x", "x", "z"], "name x twice"),
        (["x", "y"], "must be three of x, y, z"),
        (["x", "y", "w"], "must be three of x, y, z"),
        (["--x", "y", "z"], "must be three of x, y, z"),
        ("xyz", "must be three of x, y, z"),
        ([1, 2, 3], "must be three of x, y, z"),
    ],
)
def test_axes_that_no_sensor_has(words: object, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Axes.of(words)
    assert "\n" not in str(caught.value)


def test_all_right_handed_axes_are_rotations() -> None:
    found = 0
    for code in range(6**3):
        words = [("+-"[c // 3] + AXES[c % 3]) for c in (code // 36, code // 6 % 6, code % 6)]
        try:
            axes = Axes.of(words)
        except UsageError:
            continue
        turn = np.zeros((3, 3))
        turn[range(3), axes.places] = axes.signs
        assert np.allclose(turn @ turn.T, np.eye(3)) and np.linalg.det(turn) == pytest.approx(1.0)
        found += 1
    assert found == 24  # the rotations of a cube


@pytest.mark.parametrize(
    ("wanted", "stream", "words"),
    [
        (InputFrom(("imu",), False), _stream(BRAINFLOW), "must be in m/s^2 and is in g; give unit in [inputs.imu]"),
        (InputFrom(("imu",), False, {"": "g"}), _stream(BRAINFLOW), "unit 'g' cannot be in channel 'foot_gyro_x'"),
        (InputFrom(("imu",), False, {"": "mV"}), _stream(BRAINFLOW), "unit 'mV' cannot be in channel 'foot_accel_x'"),
        (
            InputFrom(("imu",), False, {"accel": "g", "gyro": "deg/s"}),
            _stream(BRAINFLOW, 148.15),
            "must have 100 Hz and has 148.15 Hz; with resample = true in [inputs.imu] it is resampled",
        ),
        (
            InputFrom(("imu",), False, {"accel": "g", "gyro": "deg/s"}, resample=True),
            _stream(BRAINFLOW, 20.0),
            "20 Hz is too slow for the model: its filters pass up to 45 Hz, which needs at least 100 Hz",
        ),
        (
            InputFrom(("imu",), channels={"foot_accel_x": ChannelFrom("ax")}),
            _stream(BRAINFLOW),
            "the sensors have no channel 'ax' for foot_accel_x; they have imu/accel 1,",
        ),
        (
            InputFrom(("imu",), channels={"foot_accel_x": ChannelFrom("accel 1")}),
            _stream(BRAINFLOW),
            "the sensors have no channel 'foot_accel_y' for foot_accel_y",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(wanted: InputFrom, stream: SensorStream, words: str) -> None:
    with pytest.raises(ContractError) as caught:
        plan_input(_item(), [stream], wanted)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"eeg": InputFrom(("eeg",))}, "input 'eeg' is not one of the model's"),
        ({"imu": InputFrom(("imu",), axes={"hand": Axes.of(["x", "y", "z"])})}, "no IMU; it has them on foot"),
        ({"imu": InputFrom(("imu",), channels={"a": ChannelFrom("b")})}, "names 'a', which the model does not have"),
        ({"emg": InputFrom(("emg",), unit={"gyro": "deg/s"})}, "input 'emg' has no IMU"),
    ],
)  # fmt: skip
def test_what_the_model_does_not_have_is_refused_before_a_sensor_is_asked(
    inputs: Mapping[str, InputFrom], words: str
) -> None:
    contract = SensorContract(
        (_item(), _item([Channel("soleus", "mV")], name="emg")), 100.0, 10, (Channel("knee", "Nm/kg"),)
    )
    with pytest.raises(ContractError) as caught:
        require_inputs_fit(contract, inputs)
    assert words in str(caught.value)


def test_a_pipeline_with_a_scale_is_the_pipeline_of_sensors_that_read_so() -> None:
    """IMU times -2, EMG in uV times 1000: exact in float32, so every estimate is that of a node that sends such values."""
    mapped = Bench(
        [node(0, {**BOTH, "emg": (200.0, 1, "uV")})],
        inputs={
            "imu": InputFrom(("imu",), scale={"": -2.0}),
            "emg": InputFrom(("emg",), unit={"": "uV"}, scale={"": 1000.0}),
        },
    )
    plain = node(0, BOTH).programme
    tables = {0: plain.tables[0] * np.int32(-2), 1: plain.tables[1]}
    other = Bench([VirtualNode(Programme(plain.descriptor, tables), 0)])
    for bench in (mapped, other):
        bench.until(2.0)
        assert bench.intake.trouble is None
    values = [[e.values for e in bench.estimates if e.values] for bench in (mapped, other)]
    assert values[0] == values[1] and len(values[0]) > 70


def test_a_resampled_stream_keeps_time_and_says_what_is_missing() -> None:
    """imu at 148.15 Hz for a contract of 100 Hz: as many estimates, and a stall is a gap there too."""
    streams = {**BOTH, "imu": (148.15, 2, "rad/s")}
    inputs = {"imu": InputFrom(("imu",), resample=True)}
    bench = Bench([node(0, streams)], inputs=inputs)
    bench.until(4.0)
    assert bench.intake.trouble is None
    values = [e for e in bench.estimates if e.values]
    # 50 Hz less the samples ahead that the filter waits for, the window of 20 rows, and the first packets.
    assert 150 <= len(values) <= 181
    assert {e.state.value for e in values[1:]} <= {"ok"}
    stalled = Bench([node(0, streams, Faults(stall_s=2.0, stall_for_s=0.3))], inputs=inputs)
    stalled.until(4.0)
    gaps = [e for e in stalled.estimates if "gap" in e.reasons]
    assert gaps and 1.9e9 < min(e.source_ns for e in gaps) < 2.1e9
