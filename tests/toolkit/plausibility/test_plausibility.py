"""People whom nobody trained on, with sensors worn well and worn wrongly: who is doubted, and why."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.pipeline.plausibility import EVERY_S, PlausibilityWatch
from toolkit.calibration import Calibration, calibrated, fit_reference
from toolkit.calibration.people import by_person, calibrations
from toolkit.contract import Channel, SensorContract
from toolkit.data import load
from toolkit.data.channels import SEGMENTS
from toolkit.data.splits import Segment
from toolkit.data.virtual_imu import rotation
from toolkit.data.windows import features
from toolkit.data.worn import amplified, turned
from toolkit.errors import ContractError, RecordingError
from toolkit.learning.prepare import fit_input
from toolkit.plausibility import (
    FamiliarStrides,
    Fingerprint,
    SensorLayout,
    fingerprint,
    fit_familiar,
    judge,
    layout_of,
)
from toolkit.plausibility.familiar import SPAN_S, Walked
from toolkit.records import Recording

Float = NDArray[np.float64]
GRID_HZ = 100.0
LEARNERS = 14
#: Level walking and one slope are learnt; stairs are not.
DATA = "synthetic:people=17,seed=3,seconds=8,tasks=level+incline+stairs-up"
LEARNT = ("level", "incline")


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """What a model would carry, and new people with the calibration of a session in which all was well."""

    contract: SensorContract
    layout: SensorLayout
    familiar: FamiliarStrides
    recordings: list[Recording]
    sessions: dict[str, Calibration]

    def rows(self, recording: Recording) -> Float:
        """The model's inputs side by side, with the calibration of the session's start."""
        one = features(
            [calibrated(recording, self.sessions[recording.person])], self.contract.inputs, GRID_HZ
        )[0]
        return np.concatenate([one[name] for name in self.layout.inputs], axis=1).astype(np.float64)

    def kinds(
        self, change: Callable[[Recording], Recording], task: str = "level"
    ) -> list[set[tuple[str, str]]]:
        """What is doubted in each new person's recordings of ``task`` after ``change``."""
        found = []
        for recording in self.recordings:
            if recording.task == task:
                print_ = fingerprint(self.rows(change(recording))[-round(SPAN_S * GRID_HZ) :], self.layout)
                assert print_ is not None
                found.append({(d.kind, d.sensor) for d in judge(print_, self.familiar, self.layout)})
        return found


@pytest.fixture(scope="module")
def known() -> Known:
    people = by_person(load(DATA))
    names = list(people)
    learners = [r for name in names[:LEARNERS] for r in people[name] if r.task in LEARNT]
    new = [r for name in names[LEARNERS:] for r in people[name]]
    reference = fit_reference(learners)
    theirs = calibrations(learners, reference)
    learnt = [calibrated(r, theirs[r.person]) for r in learners]
    segments = [Segment(r, 0.0, 8.0) for r in learnt]
    contract = SensorContract(
        tuple(fit_input(name, segments, GRID_HZ) for name in ("imu", "emg")),
        GRID_HZ,
        64,
        (Channel("hip_flexion_moment", "Nm/kg"),),
        calibration=reference.to_json(),
    )
    layout = layout_of(contract)
    assert layout is not None
    walks = [
        Walked(
            r.person, r.task, np.concatenate([one[name] for name in layout.inputs], axis=1).astype(np.float64)
        )
        for r, one in zip(learnt, features(learnt, contract.inputs, GRID_HZ))
    ]
    familiar = FamiliarStrides.from_json(json.loads(json.dumps(fit_familiar(walks, layout).to_json())))
    return Known(contract, layout, familiar, new, calibrations(new, reference))


def about(axis: str, degrees: float) -> Float:
    return rotation(axis, np.array([np.deg2rad(degrees)]))[0]


def emg(recording: Recording, change: Callable[[Float], Float]) -> Recording:
    signal = recording.signals["emg"]
    samples = change(np.array(signal.samples, np.float64))
    return dataclasses.replace(
        recording, signals={**recording.signals, "emg": dataclasses.replace(signal, samples=samples)}
    )


def imu(recording: Recording, change: Callable[[Float], Float]) -> Recording:
    signal = recording.signals["imu"]
    samples = change(np.array(signal.samples, np.float64))
    return dataclasses.replace(
        recording, signals={**recording.signals, "imu": dataclasses.replace(signal, samples=samples)}
    )


def test_people_who_wear_them_well_are_not_doubted(known: Known) -> None:
    for task in LEARNT:
        doubted = known.kinds(lambda recording: recording, task)
        assert len(doubted) == 6
        # Three people, two speeds: the limits leave 1 % of spans of a sensor beyond, 13 sensors, so one span at most.
        assert sum(map(bool, doubted)) <= 1, doubted


@pytest.mark.parametrize("segment", SEGMENTS)
def test_a_strap_that_has_slipped_is_named_with_its_angle(known: Known, segment: str) -> None:
    assert all(
        ("orientation", segment) in one
        for one in known.kinds(lambda recording: turned(recording, {segment: about("x", 20)}))
    )
    rows = known.rows(turned(known.recordings[0], {segment: about("x", 20)}))[-500:]
    print_ = fingerprint(rows, known.layout)
    assert print_ is not None
    doubt = next(d for d in judge(print_, known.familiar, known.layout) if d.sensor == segment)
    # The walk of 5 s says how far, within some degrees: people differ by that much from their calibration's walk.
    assert doubt.size == pytest.approx(20, abs=8)
    assert doubt.text.startswith(f"{segment} IMU turned by about ") and "Calibrate again" in doubt.text


def test_all_straps_together(known: Known) -> None:
    slipped = {segment: about("y", 30) for segment in SEGMENTS}
    for one in known.kinds(lambda recording: turned(recording, slipped)):
        assert {("orientation", segment) for segment in SEGMENTS} <= one


def test_electrodes_are_named(known: Known) -> None:
    names = known.recordings[0].signals["emg"].spec.channel_names
    rng = np.random.default_rng(0)

    def off(samples: Float) -> Float:
        samples[:, 0] = 0.005 * rng.standard_normal(len(samples))
        return samples

    def hum(samples: Float) -> Float:
        samples[:, 0] += 0.1 * np.sin(2 * np.pi * 50 * np.arange(len(samples)) / 1000)
        return samples

    def crossed(samples: Float) -> Float:
        samples[:, [0, 3]] = samples[:, [3, 0]]
        return samples

    for spoil in (off, hum):
        assert all(("electrode", "soleus") in one for one in known.kinds(lambda r, s=spoil: emg(r, s)))
    assert all(
        {("electrode", "soleus"), ("electrode", "tib_ant")} <= one
        for one in known.kinds(lambda r: emg(r, crossed))
    )
    louder = known.kinds(lambda r: amplified(r, dict.fromkeys(names, 4.0)))
    assert all(sum(kind == "gain" for kind, _ in one) >= 5 for one in louder)


def test_units_and_places(known: Known) -> None:
    def degrees(samples: Float) -> Float:
        samples[:, 9:12] = np.degrees(samples[:, 9:12])
        return samples

    def swapped(samples: Float) -> Float:
        samples[:, 6:18] = np.concatenate([samples[:, 12:18], samples[:, 6:12]], axis=1)
        return samples

    assert all(("unlike-training", "shank") in one for one in known.kinds(lambda r: imu(r, degrees)))
    assert all(("unlike-training", "shank, thigh") in one for one in known.kinds(lambda r: imu(r, swapped)))


def test_a_late_stream_is_found(known: Known) -> None:
    def later(recording: Recording) -> Recording:
        return emg(recording, lambda samples: np.roll(samples, 100, axis=0))

    found = known.kinds(later)
    assert all(found)
    assert sum(("late-stream", "emg") in one for one in found) >= 4


def test_a_movement_that_nobody_learnt_is_told_from_a_broken_sensor(known: Known) -> None:
    assert all(one == {("unfamiliar", "")} for one in known.kinds(lambda r: r, "stairs-up"))

    def dead(samples: Float) -> Float:
        samples[:, :6] = [0.0, 9.8, 0.0, 0.0, 0.0, 0.0]
        return samples

    broken = known.kinds(lambda r: imu(r, dead))
    assert sum(("unlike-training", "foot") in one and ("unfamiliar", "") not in one for one in broken) >= 5


def test_a_slip_is_doubted_within_five_seconds_and_forgotten_when_mended(known: Known) -> None:
    """Live: the rows of one person, whose shank turns by 30 degrees after 8 s and is put back after 16 s."""
    recording = known.recordings[1]
    well, slipped = known.rows(recording), known.rows(turned(recording, {"shank": about("x", 30)}))
    watch = PlausibilityWatch(known.familiar, known.layout)
    hop, history = round(EVERY_S * GRID_HZ), []
    for rows in (well, slipped, well):
        for first in range(0, len(rows) - hop + 1, hop):
            part = rows[first : first + hop].astype(np.float32)
            watch.append({"imu": part[:, :24], "emg": part[:, 24:]})
            history.append("orientation" in watch.kinds)
    per = len(well) // hop
    assert not any(history[:per])
    assert all(history[per + round(5.0 / EVERY_S) : 2 * per])
    assert not history[-1]


def test_standing_is_not_judged(known: Known) -> None:
    still = np.zeros((500, 33)) + 0.01 * np.random.default_rng(0).standard_normal((500, 33))
    assert fingerprint(still, known.layout) is None


def test_a_model_that_cannot_be_judged_has_no_layout(known: Known) -> None:
    emg_only = dataclasses.replace(known.contract, inputs=known.contract.inputs[1:], calibration=None)
    assert layout_of(emg_only) is None


def test_too_few_people_and_damaged_statistics_are_refused(known: Known) -> None:
    rows = known.rows(known.recordings[0])
    with pytest.raises(RecordingError, match="at least 3 people, to leave one out; the data has 1"):
        fit_familiar([Walked("one", "level", rows)], known.layout)
    value = known.familiar.to_json()
    for change, message in (
        (lambda v: v.update(phases=7), "have 7 phases"),
        (lambda v: v["limits"].update(foot=0), "limits above 0"),
        (lambda v: v["tasks"]["level"]["mean"].update(float16="AAAA"), "not familiar strides"),
        (lambda v: v["tasks"].clear(), "need a task"),
    ):
        copy = json.loads(json.dumps(value))
        change(copy)
        with pytest.raises(ContractError, match=message):
            FamiliarStrides.from_json(copy)


def test_fingerprints_are_of_walks(known: Known) -> None:
    found = fingerprint(known.rows(known.recordings[0])[-500:], known.layout)
    assert isinstance(found, Fingerprint) and found.strides >= 3
    assert found.curves.shape == (32, 33)
