"""A calibration as filter stages, and on recordings: before the contract's filters, in float32, as it runs live and in C."""

from __future__ import annotations

import dataclasses

import numpy as np

from toolkit.calibration.session import Calibration
from toolkit.contract import FilterStage, SensorContract, StreamSpec
from toolkit.data.imus import imus
from toolkit.errors import ContractError
from toolkit.filtering.stages import build
from toolkit.records import Recording, Signal


def require_calibration_fits(contract: SensorContract, calibration: Calibration | None) -> None:
    """ContractError for a calibration made for another model, of sensors that the model does not have, or with one refused."""
    if calibration is None:
        return
    if contract.calibration is None:
        raise ContractError("the model takes sensors as they are worn: leave the calibration out")
    if calibration.reference != contract.calibration_hash:
        raise ContractError(
            f"the calibration was made for another model (on {calibration.reference[:12]}, not on "
            f"{contract.calibration_hash[:12]}): make it again with edgetool calibrate and this model"
        )
    if calibration.refused:
        raise ContractError(
            f"the calibration is refused, so nothing of it is used: {'; '.join(calibration.refused)}"
        )
    known = {one.channel for one in calibration.channels}
    for item in contract.inputs:
        stages(calibration, item.stream)
        if not imus(item.stream):
            missing = [name for name in item.stream.channel_names if name not in known]
            if missing:
                raise ContractError(
                    f"the calibration has no gain for {', '.join(missing)} of stream {item.stream.name!r}"
                )


def stages(calibration: Calibration, stream: StreamSpec) -> tuple[FilterStage, ...]:
    """What ``calibration`` does to ``stream``, to run before its filters; empty for a stream that it says nothing of.

    ContractError if the stream has an IMU that the calibration lacks: sensors are calibrated all, or not at all.
    """
    result = []
    by_segment = {one.segment: one for one in calibration.imus}
    found = imus(stream) if by_segment else ()
    if found:
        missing = [imu.segment for imu in found if imu.segment not in by_segment]
        if missing:
            raise ContractError(
                f"the calibration has no {', '.join(missing)}, which stream {stream.name!r} has; it has "
                f"{', '.join(by_segment)}: calibrate with the sensors that the model uses"
            )
        ours = [by_segment[imu.segment] for imu in found]
        result.append(
            FilterStage(
                "rotate",
                {
                    "places": [list(imu.places) for imu in found],
                    "rotation": [np.round(one.rotation, 7).reshape(9).tolist() for one in ours],
                    "bias": [np.round(one.bias, 7).tolist() for one in ours],
                },
            )
        )
    gains = {one.channel: one.gain for one in calibration.channels}
    if any(name in gains for name in stream.channel_names):
        result.append(
            FilterStage("scale", {"gain": [float(f"{gains.get(n, 1.0):.8g}") for n in stream.channel_names]})
        )
    return tuple(result)


def calibrated(recording: Recording, calibration: Calibration) -> Recording:
    """``recording`` as calibrated sensors would have given it, in float32. ContractError if it is calibrated already.

    Where one axis of an accelerometer or gyroscope is missing, all three are afterwards.
    """
    if recording.calibration:
        raise ContractError(f"recording {recording.name!r} is calibrated already")
    signals, missing = {}, {}
    for name, signal in recording.signals.items():
        samples = np.array(signal.samples, np.float32)
        gone = _spoilt(recording, name)
        for stage in stages(calibration, signal.spec):
            samples = np.array(build(stage, len(signal.spec.channels)).push(samples))
        samples[:, gone] = 0.0
        signals[name] = Signal(signal.spec, signal.start_s, samples)
        missing[name] = tuple(signal.spec.channel_names[place] for place in gone)
    return dataclasses.replace(recording, signals=signals, calibration=calibration.reference, missing=missing)


def _spoilt(recording: Recording, stream: str) -> list[int]:
    """Places of the channels that are missing once sensors are turned: of three axes one does not turn without the others."""
    gone = set(recording.missing_places(stream))
    if not gone:
        return []
    for imu in imus(recording.signals[stream].spec):
        for three in (imu.places[:3], imu.places[3:]):
            gone |= set(three) if gone & set(three) else set()
    return sorted(gone)
