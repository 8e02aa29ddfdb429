"""The data set of Camargo et al. 2021 as it is published: a folder for each subject, a MATLAB table for each trial and sensor.

J. Camargo, A. Ramanathan, W. Flanagan, A. Young: A comprehensive, open-source dataset of lower limb biomechanics in multiple
conditions of stairs, ramps, and level-ground ambulation and transitions. J Biomech 119 (2021) 110320,
doi:10.1016/j.jbiomech.2021.110320. ``ROOT/AB06/10_09_18/stair/imu/stair_1_l_01_01.mat``, joined on the column ``Header`` (s).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import Channel, StreamSpec
from toolkit.data.camargo_tasks import Part, parts
from toolkit.data.channels import BAND_PASSED, GRAVITY, SEGMENTS, imu_stream, moment_stream
from toolkit.data.readers.matlab import MatTable, read_variables, tables
from toolkit.data.readers.table import Spans, runs
from toolkit.data.streams import common_start
from toolkit.errors import RecordingError
from toolkit.records import Recording, Signal

Float = NDArray[np.float64]
Bools = NDArray[np.bool_]

SUBJECTS = "SubjectInfo.mat"
MODES = ("treadmill", "levelground", "ramp", "stair")
#: Columns of inverse dynamics, N m, for the contract's moments.
_MOMENT_COLUMNS = ("hip_flexion_r_moment", "knee_angle_r_moment", "ankle_angle_r_moment")
_IMU_HZ, _EMG_HZ, _MOMENT_HZ = 200.0, 1000.0, 200.0
#: After a gap in a sensor, labels do not count for so long, in s: no usual window then reaches back into it.
SENSOR_GAP_S = 1.0
#: The muscles as the tables name them, in their order; band-passed 20 to 400 Hz by whoever published them.
MUSCLES = (
    "gastrocmed",
    "tibialisanterior",
    "soleus",
    "vastusmedialis",
    "vastuslateralis",
    "rectusfemoris",
    "bicepsfemoris",
    "semitendinosus",
    "gracilis",
    "gluteusmedius",
    "rightexternaloblique",
)
_SUBJECT = re.compile(r"AB\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Trial:
    """One trial of one subject: its files by sensor folder ("imu", "emg", "id", ...), in lower case."""

    subject: str
    mode: str
    name: str
    files: dict[str, Path]


def is_camargo(root: Path) -> bool:
    """Whether ``root`` is that tree: it holds SubjectInfo.mat, or a subject's folder with a mode below a date."""
    if _inside(root, SUBJECTS) is not None:
        return True
    folders = [folder for folder in _folders(root) if _SUBJECT.fullmatch(folder.name)]
    return any(_inside(date, mode) for folder in folders for date in _folders(folder) for mode in MODES)


def load_camargo(root: Path) -> list[Recording]:
    """Every trial that has IMU, EMG and inverse dynamics, cut by task and speed; see docs/DATA.md.

    Raises RecordingError for a subject without mass, a table that cannot be read, or a tree without a trial.
    """
    masses = body_masses(root)
    recordings = [one for trial in trials(root) for one in read_trial(trial, masses)]
    if not recordings:
        raise RecordingError(
            f"{root}: no trial has imu, emg and id, and moments that are known; a trial is SUBJECT/DATE/MODE/SENSOR/TRIAL.mat"
        )
    return recordings


def body_masses(root: Path) -> dict[str, float]:
    """Body mass in kg by subject in upper case, from SubjectInfo.mat."""
    path = _inside(root, SUBJECTS)
    if path is None:
        raise RecordingError(f"{root} has no {SUBJECTS}: moments are divided by the body mass it gives")
    found = tables(read_variables(path))
    if not found:
        raise RecordingError(f"{path} holds no table")
    return {
        subject.upper(): float(mass)
        for subject, mass in zip(found[0].texts("Subject"), found[0].numbers("Weight"))
    }


def trials(root: Path) -> list[Trial]:
    """All trials that have an IMU table, ascending by subject, mode and name. Names are compared in lower case."""
    found = []
    for subject in _folders(root):
        if not _SUBJECT.fullmatch(subject.name):
            continue
        for date in _folders(subject):
            for mode in _folders(date):
                if mode.name.lower() in MODES:
                    found += _trials_of(subject.name.upper(), mode)
    return found


def _trials_of(subject: str, mode: Path) -> list[Trial]:
    by_name: dict[str, dict[str, Path]] = {}
    for sensor in _folders(mode):
        for path in sorted(sensor.iterdir()):
            if path.suffix.lower() == ".mat":
                by_name.setdefault(path.stem.lower(), {})[sensor.name.lower()] = path
    wanted = {"imu", "emg", "id"}
    return [
        Trial(subject, mode.name.lower(), name, files)
        for name, files in sorted(by_name.items())
        if wanted <= set(files)
    ]


def read_trial(trial: Trial, masses: dict[str, float]) -> list[Recording]:
    """The recordings of one trial: one for each task and speed in it; they share their samples, and differ in ``valid_s``."""
    if trial.subject not in masses:
        raise RecordingError(f"{SUBJECTS} has no subject {trial.subject!r}; it has {', '.join(masses)}")
    mass_kg = masses[trial.subject]
    imu, seen_imu, unit_note = _inertial(_table(trial, "imu"))
    emg, seen_emg = _signal(
        _table(trial, "emg"), StreamSpec("emg", _EMG_HZ, tuple(Channel(m, "mV") for m in MUSCLES)), MUSCLES
    )
    spec = moment_stream(_MOMENT_HZ)
    torque, known = _signal(_table(trial, "id"), spec, _MOMENT_COLUMNS)
    signs = np.array([1.0, _knee_sign(trial), 1.0]) / mass_kg
    moments = Signal(spec, torque.start_s, torque.samples * signs)
    valid = known & _reachable(moments.times_s, imu, seen_imu) & _reachable(moments.times_s, emg, seen_emg)
    missing = {"emg": tuple(m for m, column in zip(MUSCLES, emg.samples.T) if not column.any())}
    where = f"{trial.files['imu']}: trial {trial.name!r}"
    signals, moved = common_start({"imu": imu, "emg": emg, "moments": moments}, where)
    moments = signals.pop("moments")
    strikes = _strikes(trial)
    provenance = {
        "source": "Camargo et al. 2021, doi:10.1016/j.jbiomech.2021.110320",
        "trial": f"{trial.subject}/{trial.mode}/{trial.name}",
        BAND_PASSED: "20 to 400 Hz, as published",
        "imu_units": unit_note,
        **moved,
    }
    conditions = read_variables(trial.files["conditions"]) if "conditions" in trial.files else {}
    result = []
    for part in parts(trial.mode, trial.name, conditions):
        spans = _spans(torque.times_s, valid & part.inside(torque.times_s), moments.start_s)
        if spans:
            result.append(
                Recording(
                    name=f"{trial.subject}/{trial.name}/{part.label}",
                    person=trial.subject,
                    task=part.task,
                    kind="measured",
                    mass_kg=mass_kg,
                    signals=signals,
                    moments=moments,
                    heel_strikes_s=tuple(t for t in strikes if t >= moments.start_s),
                    provenance={**provenance, **_said(part)},
                    valid_s=spans,
                    missing=missing,
                )
            )
    return result


def _said(part: Part) -> dict[str, str]:
    return {} if part.condition is None else {"condition": part.condition}


def _table(trial: Trial, sensor: str) -> MatTable:
    found = tables(read_variables(trial.files[sensor]))
    if not found:
        raise RecordingError(f"{trial.files[sensor]} holds no table")
    return found[0]


def _signal(table: MatTable, spec: StreamSpec, columns: Sequence[str]) -> tuple[Signal, Bools]:
    """The samples with gaps bridged by straight lines, and which rows had none; a channel that is never there is 0."""
    source = table.table(list(columns))
    times = source.time_axis("Header", spec.rate_hz)
    values = np.array(source.values[:, 1:])
    there = np.isfinite(values)
    for place, column in enumerate(values.T):
        own = there[:, place]
        if not own.any():
            values[:, place] = 0.0
        elif not own.all():
            values[:, place] = np.interp(times, times[own], column[own])
    ever = there.any(axis=0)
    rows = np.asarray(there[:, ever].all(axis=1) & bool(ever.any()), np.bool_)
    return Signal(spec, float(times[0]), values), rows


def _inertial(table: MatTable) -> tuple[Signal, Bools, str]:
    """IMU channels in m/s^2 and rad/s. The tables do not say their units, so they are told from the data.

    In g the accelerometers' median length is about 1, in m/s^2 about 9.8; a leg in gait turns at 2 to 8 rad/s, which is 100 to
    500 in deg/s. RecordingError where neither fits.
    """
    spec = imu_stream(_IMU_HZ)
    signal, seen = _signal(table, spec, spec.channel_names)
    samples = np.array(signal.samples, np.float64).reshape(len(signal.samples), len(SEGMENTS), 2, 3)
    length = np.median(np.linalg.norm(samples[:, :, 0], axis=2)[seen]) if seen.any() else 0.0
    turning = np.percentile(np.linalg.norm(samples[:, :, 1], axis=2)[seen], 99) if seen.any() else 0.0
    in_g, in_deg = bool(0.7 < length < 1.4), bool(turning > 40.0)
    if not in_g and not 7.0 < length < 14.0:
        raise RecordingError(
            f"{table.path}: the accelerometers' median length is {length:.3g}, which is neither 1 g nor 9.8 m/s^2"
        )
    samples[:, :, 0] *= GRAVITY if in_g else 1.0
    samples[:, :, 1] *= np.pi / 180.0 if in_deg else 1.0
    note = f"found in the data: {'g' if in_g else 'm/s^2'}, {'deg/s' if in_deg else 'rad/s'}"
    return Signal(spec, signal.start_s, samples.reshape(len(samples), -1)), seen, note


def _knee_sign(trial: Trial) -> float:
    """+1 if knee flexion is negative in this model, so that the moment is positive in extension; told from its angles."""
    kinematics = trial.files.get("ik_offset", trial.files.get("ik"))
    if kinematics is None:
        return 1.0
    found = tables(read_variables(kinematics))
    if not found:
        return 1.0
    angles = found[0].numbers("knee_angle_r")
    angles = angles[np.isfinite(angles)]
    # A knee bends by 60 degrees one way in swing and hardly the other.
    return -1.0 if len(angles) and angles.max() + angles.min() > 0 else 1.0


def _strikes(trial: Trial) -> tuple[float, ...]:
    """Right heel strikes: where the gait cycle, 0 to 100 %, starts again."""
    if "gcright" not in trial.files:
        return ()
    found = tables(read_variables(trial.files["gcright"]))
    if not found or found[0].place("HeelStrike") is None:
        return ()
    times, phase = found[0].numbers("Header"), found[0].numbers("HeelStrike")
    with np.errstate(invalid="ignore"):
        again = np.flatnonzero(np.diff(phase) < -50.0) + 1
    return tuple(float(t) for t in times[again])


def _reachable(times_s: Float, sensor: Signal, seen: Bools) -> Bools:
    """Which times have no gap of the sensor at them or within SENSOR_GAP_S before them."""
    lost = sensor.times_s[~seen]
    next_lost = np.searchsorted(lost, times_s - SENSOR_GAP_S)
    clear: Bools = np.append(lost, np.inf)[next_lost] > times_s
    inside = (times_s >= sensor.start_s) & (times_s <= sensor.times_s[-1])
    return np.asarray(clear & inside, np.bool_)


def _spans(times_s: Float, valid: Bools, start_s: float) -> Spans:
    """Runs of valid rows from the common start on; a single row is none."""
    valid = valid & (times_s >= start_s)
    return tuple((float(times_s[a]), float(times_s[b - 1])) for a, b in runs(valid) if b - a > 1)


def _folders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir())


def _inside(folder: Path, name: str) -> Path | None:
    """The entry ``name`` of ``folder`` in any case."""
    return next((entry for entry in sorted(folder.iterdir()) if entry.name.lower() == name.lower()), None)
