"""What a C3D file's motion gives a recording: the virtual IMU, heel strikes, and where its moments are true."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.data.contacts import valid_spans
from toolkit.data.dataset_file import DatasetFile, RecordingUse
from toolkit.data.frames import UPRIGHT, imu_signal, mirrored
from toolkit.data.frames_file import (
    LENGTHS,
    EventsUse,
    FramesUse,
    Side,
    for_side,
    frame_for_side,
    other_side,
)
from toolkit.data.heel_strikes import refined
from toolkit.data.readers.c3d import C3d
from toolkit.data.readers.table import runs
from toolkit.errors import RecordingError
from toolkit.records import Signal

Float = NDArray[np.float64]
#: A rate in the TOML and the file's own may differ by this share: files hold it as float32.
_SAME_RATE = 1e-4


@dataclass(frozen=True, eq=False)
class Motion:
    """``signals`` holds "imu" if frames are given; ``valid_s`` is None without force plates."""

    signals: Mapping[str, Signal]
    heel_strikes_s: tuple[float, ...] | None
    valid_s: tuple[tuple[float, float], ...] | None
    notes: Mapping[str, str]


def read_motion(dataset: DatasetFile, use: RecordingUse, opened: Callable[[str], C3d], where: str) -> Motion:
    """All that [virtual_imu] frames, [events] and [force_plates] say of one recording; ``opened`` gives a file by its key."""
    signals: dict[str, Signal] = {}
    strikes: tuple[float, ...] | None = None
    notes: dict[str, str] = {}
    if dataset.frames is not None:
        trial = opened(dataset.frames.file)
        signals["imu"], strikes, notes = _inertial(dataset.frames, trial, use.side, where)
    if dataset.events is not None:
        strikes = refined(strikes or (), _events(dataset.events, opened(dataset.events.file), use.side))
    valid_s = None
    if dataset.plates is not None and use.side is not None:
        plates = dataset.plates
        feet = [[for_side(name, side) for name in plates.foot] for side in (use.side, other_side(use.side))]
        valid_s = valid_spans(
            opened(plates.file), plates.up, LENGTHS[plates.unit], feet[0], feet[1], strikes or ()
        )
        strikes = refined(strikes or (), [start for start, _ in valid_s])
    return Motion(signals, strikes, valid_s, notes)


def _inertial(
    use: FramesUse, trial: C3d, side: Side | None, where: str
) -> tuple[Signal, tuple[float, ...], dict[str, str]]:
    if abs(trial.point_rate_hz / use.rate_hz - 1.0) > _SAME_RATE:
        raise RecordingError(
            f"{trial.path} has {trial.point_rate_hz:g} frames per second and [virtual_imu] says "
            f"{use.rate_hz:g}; correct rate_hz"
        )
    _require_length_unit(trial, use.unit)
    frames = [frame_for_side(frame, side) for frame in use.frames]
    names = list(dict.fromkeys(name for frame in frames for name in frame.points))
    stack = np.stack([trial.point(name) for name in names], axis=1)
    first, last = _longest_run(np.asarray(np.isfinite(stack).all(axis=(1, 2))), trial, names)
    points = stack[first : last + 1] @ UPRIGHT[use.up].T * LENGTHS[use.unit]
    start_s = trial.first_s + first / use.rate_hz
    by_name = {name: points[:, place] for place, name in enumerate(names)}
    signal, strikes = imu_signal(frames, by_name, use.rate_hz, start_s, use.low_pass_hz, where)
    smoothing = "none" if use.low_pass_hz is None else f"causal Butterworth low-pass {use.low_pass_hz:g} Hz"
    notes = {
        "virtual_imu": f"computed from segment frames by backward differences; smoothing before: {smoothing}"
    }
    if last - first + 1 < len(stack):
        notes["frames"] = f"{first} to {last} of {len(stack)}: in others a point was not seen"
    if side == "left":
        signal = mirrored(signal)
        notes["mirrored"] = "left leg, reflected in the sagittal plane"
    return signal, strikes, notes


def _longest_run(seen: NDArray[np.bool_], trial: C3d, names: list[str]) -> tuple[int, int]:
    """First and last frame of the longest run in which all points were seen."""
    found = runs(seen)
    if not found:
        raise RecordingError(f"{trial.path}: in no frame were all of {', '.join(names)} seen")
    first, stop = max(found, key=lambda run: run[1] - run[0])
    return first, stop - 1


def _require_length_unit(trial: C3d, unit: str) -> None:
    if trial.point_unit in LENGTHS and trial.point_unit != unit:
        raise RecordingError(
            f"{trial.path}: its points are in {trial.point_unit} and [virtual_imu] says {unit}; correct unit"
        )


def _events(use: EventsUse, trial: C3d, side: Side | None) -> list[float]:
    context = for_side(use.context, side)
    return [e.time_s for e in trial.events if e.label == use.label and e.context == context]
