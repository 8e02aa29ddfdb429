"""Recordings from a dataset TOML: read its files, convert units, compute the virtual IMU, put all on one start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.data import heel_strikes, readers
from toolkit.data.dataset_file import DatasetFile, RecordingUse, VirtualImuUse, read_dataset_file
from toolkit.data.motion import read_motion
from toolkit.data.readers.c3d import C3d
from toolkit.data.readers.c3d import read_c3d as read_trial
from toolkit.data.readers.table import Spans, Table
from toolkit.data.skeleton import imu_signal, poses
from toolkit.data.streams import StreamContext, common_start, finite_spans, read_stream
from toolkit.errors import RecordingError
from toolkit.reading import is_folder
from toolkit.records import Recording, Signal

Float = NDArray[np.float64]


def load_dataset(path: Path, root: Path | None = None) -> list[Recording]:
    """All recordings of the dataset TOML at ``path``; ``root`` takes the place of the file's own data folder."""
    dataset = read_dataset_file(path, root)
    if not is_folder(dataset.root):
        raise RecordingError(
            f"{path}: data folder {dataset.root} does not exist; correct root in it, or name the source {path}:root=FOLDER"
        )
    files = _Files(dataset.root)
    return [_recording(dataset, use, files) for use in dataset.recordings]


class _Files:
    """The files of a dataset. The last one is kept: two recordings of one C3D file, one for each leg, follow each other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._last: dict[Path, Table | C3d] = {}

    def opened(self, name: str) -> Table | C3d:
        path = self.root / name
        if path not in self._last:
            trial = read_trial(path) if path.suffix.lower() == ".c3d" else readers.read(path)
            if isinstance(trial, C3d):
                self._last.clear()
            self._last[path] = trial
        return self._last[path]

    def forget(self) -> None:
        """Drop the tables: each belongs to one recording."""
        self._last = {path: one for path, one in self._last.items() if isinstance(one, C3d)}


def _recording(dataset: DatasetFile, use: RecordingUse, files: _Files) -> Recording:
    where = f"{dataset.path}: recording {use.name!r}"
    signals: dict[str, Signal] = {}
    strikes, valid_s = use.heel_strikes_s, use.valid_s
    notes: dict[str, str] = {}
    if dataset.virtual_imu is not None:
        table = files.opened(use.files[dataset.virtual_imu.file])
        signals["imu"], seen = _virtual_imu(dataset.virtual_imu, _as_table(table, "[virtual_imu] segment"))
        strikes = seen if strikes is None else strikes
        notes = _virtual_note(dataset.virtual_imu)
    if dataset.frames is not None or dataset.plates is not None or dataset.events is not None:
        motion = read_motion(
            dataset,
            use,
            lambda key: _as_c3d(files.opened(use.files[key]), "a table of frames, events or force plates"),
            where,
        )
        signals.update(motion.signals)
        strikes = motion.heel_strikes_s if strikes is None else strikes
        valid_s = _known(dataset, use, files, motion.valid_s) if valid_s is None else valid_s
        notes = dict(motion.notes)
    mass_kg = _mass_kg(use, files, where)
    missing = dict(use.missing)
    for stream in dataset.streams:
        context = StreamContext(f"{dataset.path}, [{stream.name}]", use, mass_kg, valid_s)
        read = read_stream(stream, lambda file: files.opened(use.files[file]), context)
        signals[stream.name] = read.signal
        missing[stream.name] = tuple(dict.fromkeys((*missing.get(stream.name, ()), *read.missing)))
        notes |= read.notes
    files.forget()
    if strikes is None:
        strikes = _from_shank(signals.get("imu"))
    signals, moved = common_start(signals, where)
    start = next(iter(signals.values())).start_s
    stop = start + min(signal.duration_s for signal in signals.values())
    moments = signals.pop("moments", None)
    missing.pop("moments", None)
    return Recording(
        name=use.name,
        person=use.person,
        task=use.task,
        kind=dataset.kind,
        mass_kg=mass_kg,
        signals=signals,
        moments=moments,
        heel_strikes_s=tuple(t for t in strikes if start <= t < stop),
        provenance={"source": dataset.source, **notes, **moved},
        valid_s=valid_s,
        missing=missing,
    )


def _known(dataset: DatasetFile, use: RecordingUse, files: _Files, spans: Spans | None) -> Spans | None:
    """Where force plates say that moments are true, as far as the file has them."""
    moments = next((stream for stream in dataset.streams if stream.name == "moments"), None)
    if spans is None or moments is None:
        return spans
    source = files.opened(use.files[moments.file])
    return finite_spans(moments, source, use.side, spans) if isinstance(source, C3d) else spans


def _as_table(opened: Table | C3d, table: str) -> Table:
    if isinstance(opened, C3d):
        raise RecordingError(
            f"{opened.path}: {table} reads tables of angles, and this is a C3D file: use [[virtual_imu.frame]], which reads "
            "points"
        )
    return opened


def _as_c3d(opened: Table | C3d, table: str) -> C3d:
    if isinstance(opened, Table):
        raise RecordingError(f"{opened.path}: {table} reads C3D files")
    return opened


def _mass_kg(use: RecordingUse, files: _Files, where: str) -> float:
    """The body mass, which may be a parameter of the recording's only C3D file."""
    if not isinstance(use.mass_kg, str):
        return use.mass_kg
    trials = [name for name in use.files.values() if name.lower().endswith(".c3d")]
    if len(trials) != 1:
        raise RecordingError(
            f"{where}: mass_kg = {use.mass_kg!r} is a parameter of a C3D file, and it has {len(trials)} of them; give mass_kg "
            "as a number"
        )
    mass_kg = _as_c3d(files.opened(trials[0]), "mass_kg").number(use.mass_kg)
    if not 2 <= mass_kg <= 400:
        raise RecordingError(
            f"{where}: parameter {use.mass_kg!r} of {trials[0]} says {mass_kg:g} kg; give mass_kg as a number, 2 to 400"
        )
    return mass_kg


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


def _virtual_note(use: VirtualImuUse) -> dict[str, str]:
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
