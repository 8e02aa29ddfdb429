"""Recordings from a dataset TOML: read its files, convert units, compute the virtual IMU, put all on one start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import Channel, StreamSpec
from toolkit.data import heel_strikes, readers
from toolkit.data.dataset_file import (
    DatasetFile,
    RecordingUse,
    StreamUse,
    VirtualImuUse,
    read_dataset_file,
)
from toolkit.data.readers.table import Spans, Table, span_rows
from toolkit.data.skeleton import imu_signal, poses
from toolkit.data.smoothing import zero_phase_low_pass
from toolkit.data.units import conversion
from toolkit.errors import RecordingError
from toolkit.reading import is_folder
from toolkit.records import Recording, Signal

Float = NDArray[np.float64]

#: What streams must have in common to be one recording, s.
SHORTEST_S = 0.5


def load_dataset(path: Path, root: Path | None = None) -> list[Recording]:
    """All recordings of the dataset TOML at ``path``; ``root`` takes the place of the file's own data folder."""
    dataset = read_dataset_file(path, root)
    if not is_folder(dataset.root):
        raise RecordingError(
            f"{path}: data folder {dataset.root} does not exist; correct root in it, or name the source {path}:root=FOLDER"
        )
    return [_recording(dataset, use) for use in dataset.recordings]


def _recording(dataset: DatasetFile, use: RecordingUse) -> Recording:
    tables: dict[str, Table] = {}

    def opened(key: str) -> Table:
        if key not in tables:
            tables[key] = readers.read(dataset.root / use.files[key])
        return tables[key]

    signals: dict[str, Signal] = {}
    strikes = use.heel_strikes_s
    virtual = dataset.virtual_imu
    if virtual is not None:
        signals["imu"], found = _virtual_imu(virtual, opened(virtual.file))
        strikes = found if strikes is None else strikes
    for stream in dataset.streams:
        signals[stream.name] = _signal(dataset, stream, use, opened(stream.file))
    if strikes is None:
        strikes = _from_shank(signals.get("imu"))
    signals, notes = common_start(signals, f"{dataset.path}: recording {use.name!r}")
    start = next(iter(signals.values())).start_s
    stop = start + min(signal.duration_s for signal in signals.values())
    moments = signals.pop("moments", None)
    return Recording(
        name=use.name,
        person=use.person,
        task=use.task,
        kind=dataset.kind,
        mass_kg=use.mass_kg,
        signals=signals,
        moments=moments,
        heel_strikes_s=tuple(t for t in strikes if start <= t < stop),
        valid_s=use.valid_s,
        missing=use.missing,
        provenance={"source": dataset.source, **_virtual_note(virtual), **notes},
    )


def _signal(dataset: DatasetFile, stream: StreamUse, use: RecordingUse, source: Table) -> Signal:
    times = source.time_axis(stream.time, stream.rate_hz)
    spans = use.valid_s if stream.name == "moments" else None
    there = [column for column in stream.columns if column.channel not in use.missing.get(stream.name, ())]
    values = np.zeros((len(times), len(stream.columns)))
    values[:, [stream.columns.index(column) for column in there]] = source.columns(
        [column.column for column in there], times, spans
    )
    channels, factors = [], []
    for column in stream.columns:
        where = f"{dataset.path}, [{stream.name}] {column.channel}"
        unit, factor = conversion(column.unit, use.mass_kg, stream.name, column.channel, where)
        channels.append(Channel(column.channel, unit))
        factors.append(factor * column.scale)
    values = values * np.array(factors)
    if stream.low_pass_hz is not None:
        values = _low_passed(values, times, stream.low_pass_hz, stream.rate_hz, spans)
    return Signal(StreamSpec(stream.name, stream.rate_hz, tuple(channels)), float(times[0]), values)


def _low_passed(values: Float, times: Float, cutoff_hz: float, rate_hz: float, spans: Spans | None) -> Float:
    """Labels without delay; each valid span for itself, so that numbers without meaning do not leak into it."""
    if spans is None:
        return zero_phase_low_pass(values, cutoff_hz, rate_hz)
    result = np.array(values)
    for rows in span_rows(times, spans):
        result[rows] = zero_phase_low_pass(values[rows], cutoff_hz, rate_hz)
    return result


def _virtual_imu(use: VirtualImuUse, source: Table) -> tuple[Signal, tuple[float, ...]]:
    times = source.time_axis(use.time, use.rate_hz)
    said = {None: None, True: "deg", False: "rad"}[source.in_degrees]
    if said is not None and said != use.unit:
        raise RecordingError(
            f"{source.path}: its header says that angles are in {said} and the dataset says {use.unit}; correct unit"
        )
    skeleton = use.skeleton
    factor = np.pi / 180.0 if use.unit == "deg" else 1.0
    angles = dict(zip(skeleton.angle_columns, factor * source.columns(skeleton.angle_columns, times).T))
    positions = dict(zip(skeleton.position_columns, source.columns(skeleton.position_columns, times).T))
    signal = imu_signal(skeleton, angles, positions, use.rate_hz, float(times[0]), use.low_pass_hz)
    where = poses(skeleton, angles, positions)
    if "foot" not in where:
        return signal, ()
    ahead = where["foot"].position[:, 0] - where[skeleton.segments[0].name].position[:, 0]
    return signal, heel_strikes.from_foot(ahead, use.rate_hz, float(times[0]))


def _virtual_note(use: VirtualImuUse | None) -> dict[str, str]:
    if use is None:
        return {}
    smoothing = "none" if use.low_pass_hz is None else f"causal Butterworth low-pass {use.low_pass_hz:g} Hz"
    return {
        "virtual_imu": f"computed from joint angles by backward differences; smoothing before: {smoothing}"
    }


def _from_shank(imu: Signal | None) -> tuple[float, ...]:
    name = "shank_gyro_z"
    if imu is None or name not in imu.spec.channel_names:
        return ()
    column = imu.samples[:, imu.spec.channel_names.index(name)].astype(np.float64)
    return heel_strikes.from_shank(column, imu.spec.rate_hz, imu.start_s)


def common_start(signals: dict[str, Signal], where: str) -> tuple[dict[str, Signal], dict[str, str]]:
    """Cut ``signals`` to one start. A stream whose sample times fall between the others' is moved by at most
    half a sample period, and the notes say by how much."""
    start = max(signal.start_s for signal in signals.values())
    stop = min(signal.start_s + signal.duration_s for signal in signals.values())
    if stop - start < SHORTEST_S:
        spans = ", ".join(f"{n} {s.start_s:g} to {s.start_s + s.duration_s:g} s" for n, s in signals.items())
        raise RecordingError(
            f"{where}: its streams share {max(stop - start, 0.0):.3g} s and need at least {SHORTEST_S:g} s ({spans})"
        )
    cut: dict[str, Signal] = {}
    notes: dict[str, str] = {}
    for name, signal in signals.items():
        rate = signal.spec.rate_hz
        first = round((start - signal.start_s) * rate)
        moved = start - (signal.start_s + first / rate)
        if abs(moved) > 1e-6:
            notes[f"moved_{name}"] = f"{moved * 1e3:.3f} ms onto the common start"
        cut[name] = Signal(signal.spec, start, signal.samples[first:])
    return cut, notes
