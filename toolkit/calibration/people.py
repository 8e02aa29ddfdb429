"""Calibration of a data set: every person on a walk of their own, as a session would be."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from toolkit.calibration.apply import calibrated
from toolkit.calibration.electrodes import amplitude
from toolkit.calibration.estimate import calibrate, walk_of
from toolkit.calibration.own_walk import with_own_walk
from toolkit.calibration.reference import CalibrationReference, reference_of
from toolkit.calibration.session import Calibration
from toolkit.calibration.template import fit_template
from toolkit.contract import SensorContract
from toolkit.data.imus import imus
from toolkit.errors import RecordingError
from toolkit.records import Recording, Signal

#: What of a recording is the calibration walk, in s: about ten strides.
WALK_S = 12.0
#: The task that people are calibrated on where a data set has it.
WALK_TASK = "level"


def walk_recording(recordings: Sequence[Recording]) -> Recording:
    """The recording that one person is calibrated on: of level walking (of the most frequent task without it), the briskest."""
    return min(_walks(recordings), key=lambda r: (_period_s(r), r.name))


def _walks(recordings: Sequence[Recording]) -> list[Recording]:
    """Those of the task that one is calibrated on."""
    tasks = Counter(recording.task for recording in recordings)
    task = WALK_TASK if WALK_TASK in tasks else min(tasks, key=lambda name: (-tasks[name], name))
    return [recording for recording in recordings if recording.task == task]


def walk_signals(recording: Recording) -> dict[str, Signal]:
    """The first :data:`WALK_S` of each stream."""
    return {
        name: dataclasses.replace(signal, samples=signal.samples[: round(WALK_S * signal.spec.rate_hz)])
        for name, signal in recording.signals.items()
    }


def fit_reference(recordings: Iterable[Recording]) -> CalibrationReference:
    """What sessions will be calibrated on, from training people alone: their mean walk and the geometric mean of their EMG.

    RecordingError if a person's walk has too few strides.
    """
    walks, periods, amplitudes = [], [], []
    names: tuple[str, ...] = ()
    for theirs in by_person(recordings).values():
        signals = walk_signals(walk_recording(theirs))
        for recording in _walks(theirs):
            for signal in walk_signals(recording).values():
                if imus(signal.spec):
                    curves, strides = walk_of(signal)
                    walks.append(curves)
                    periods.append(strides.period_s)
        electric = [signal for signal in signals.values() if not imus(signal.spec)]
        names = tuple(name for signal in electric for name in signal.spec.channel_names)
        sizes = [amplitude(np.asarray(s.samples, np.float64), s.spec.rate_hz) for s in electric]
        amplitudes.append(np.concatenate(sizes) if sizes else np.empty(0))
    template = fit_template(walks, periods) if walks else None
    usual = np.exp(np.mean(np.log(np.maximum(amplitudes, 1e-12)), axis=0))
    found = CalibrationReference(template, dict(zip(names, (float(v) for v in usual))))
    # As it will be read from a contract: rounded, so that its hash is that of every copy.
    return CalibrationReference.from_json(found.to_json())


def calibrations(
    recordings: Iterable[Recording], reference: CalibrationReference, contract: SensorContract | None = None
) -> dict[str, Calibration]:
    """One calibration a person, on a walk of theirs; with what is judged by, for the model of ``contract``."""
    result = {}
    for person, theirs in by_person(recordings).items():
        signals = walk_signals(walk_recording(theirs))
        found = calibrate(signals, reference, person=person)
        result[person] = found if contract is None else with_own_walk(found, signals, contract)
    return result


def calibrate_recordings(recordings: Sequence[Recording], reference: CalibrationReference) -> list[Recording]:
    """All ``recordings``, each calibrated on its person's walk."""
    found = calibrations(recordings, reference)
    return [calibrated(recording, found[recording.person]) for recording in recordings]


def for_model(recordings: Sequence[Recording], contract: SensorContract) -> list[Recording]:
    """``recordings`` as the model of ``contract`` wants them: calibrated on their people's walks if it asks for that."""
    reference = reference_of(contract)
    if reference is None:
        return list(recordings)
    worn = [recording for recording in recordings if not recording.calibration]
    found = calibrations(worn, reference)
    return [r if r.calibration else calibrated(r, found[r.person]) for r in recordings]


def by_person(recordings: Iterable[Recording]) -> dict[str, list[Recording]]:
    """Recordings by person, in order."""
    result: dict[str, list[Recording]] = {}
    for recording in recordings:
        result.setdefault(recording.person, []).append(recording)
    return result


def _period_s(recording: Recording) -> float:
    """The stride's length; infinite for a recording without a walk, so that any other is preferred."""
    for signal in walk_signals(recording).values():
        if imus(signal.spec):
            try:
                return round(walk_of(signal)[1].period_s, 6)
            except RecordingError:
                return float("inf")
    return 0.0
