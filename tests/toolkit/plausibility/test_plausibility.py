"""People whom nobody trained on, with sensors worn well and worn wrongly: who is doubted, and why."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.pipeline.plausibility import PlausibilityWatch
from toolkit.calibration import Calibration, SensorLayout, calibrated, fit_reference, layout_of
from toolkit.calibration.moments import HALF_S, MomentLayout, Moments, moments_of, spans_of
from toolkit.calibration.own_walk import own_moments
from toolkit.calibration.people import WALK_S, by_person, calibrations, walk_recording
from toolkit.contract import Channel, SensorContract
from toolkit.data import load
from toolkit.data.channels import SEGMENTS
from toolkit.data.splits import Segment
from toolkit.data.virtual_imu import rotation
from toolkit.data.windows import features
from toolkit.data.worn import amplified, turned
from toolkit.errors import ContractError, RecordingError
from toolkit.learning.prepare import fit_input
from toolkit.plausibility import Doubt, Familiar, Judge, Walked, fit_familiar
from toolkit.plausibility.novelty import Novelty
from toolkit.records import Recording

Float = NDArray[np.float64]
Values = NDArray[np.float32]
GRID_HZ = 100.0
LEARNERS = 10
#: Level walking is learnt; stairs are not.
DATA = "synthetic:people=13,seed=3,seconds=18,tasks=level+stairs-up"
LEARNT = ("level",)


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """What a model would carry, and new people with the calibration of a session in which all was well."""

    contract: SensorContract
    layout: SensorLayout
    familiar: Familiar
    recordings: list[Recording]
    sessions: dict[str, Calibration]
    walks: frozenset[str]

    def rows(self, recording: Recording) -> Values:
        """The model's inputs side by side, with the calibration of the session's start, after the calibration walk."""
        one = features(
            [calibrated(recording, self.sessions[recording.person])], self.contract.inputs, GRID_HZ
        )[0]
        rows = np.concatenate([one[name] for name in self.layout.inputs], axis=1)
        return rows[round(WALK_S * GRID_HZ) :] if recording.name in self.walks else rows

    def judge(self, person: str) -> Judge:
        walk = self.sessions[person].walk
        assert walk is not None
        return Judge(self.familiar, walk, self.layout)

    def doubts(self, change: Callable[[Recording], Recording], task: str = "level") -> list[set[Doubt]]:
        """What is doubted in each span of four seconds of each new person's recordings of ``task`` after ``change``."""
        found = []
        for recording in self.recordings:
            if recording.task == task:
                judge = self.judge(recording.person)
                for span in spans_of(self.rows(change(recording)), judge.shape):
                    doubts = judge.judge(span)
                    assert doubts is not None
                    found.append(set(doubts))
        assert len(found) >= 15
        return found

    def kinds(
        self, change: Callable[[Recording], Recording], task: str = "level"
    ) -> list[set[tuple[str, str]]]:
        return [{(d.kind, d.sensor) for d in one} for one in self.doubts(change, task)]


@pytest.fixture(scope="module")
def known() -> Known:
    people = by_person(load(DATA))
    names = list(people)
    learners = [r for name in names[:LEARNERS] for r in people[name] if r.task in LEARNT]
    new = [r for name in names[LEARNERS:] for r in people[name]]
    reference = fit_reference(learners)
    theirs = calibrations(learners, reference)
    learnt = [calibrated(r, theirs[r.person]) for r in learners]
    segments = [Segment(r, 0.0, 18.0) for r in learnt]
    contract = SensorContract(
        tuple(fit_input(name, segments, GRID_HZ) for name in ("imu", "emg")),
        GRID_HZ,
        64,
        (Channel("hip_flexion_moment", "Nm/kg"),),
        calibration=reference.to_json(),
    )
    layout = layout_of(contract)
    assert layout is not None
    walks = frozenset(walk_recording(theirs).name for theirs in people.values())
    trained = [
        Walked(
            r.person,
            r.task,
            np.concatenate([one[name] for name in layout.inputs], axis=1),
            round(WALK_S * GRID_HZ) if r.name in walks else 0,
        )
        for r, one in zip(learnt, features(learnt, contract.inputs, GRID_HZ))
    ]
    familiar = Familiar.from_json(json.loads(json.dumps(fit_familiar(trained, layout).to_json())))
    return Known(contract, layout, familiar, new, calibrations(new, reference, contract), walks)


def about(axis: str, degrees: float) -> Float:
    result: Float = rotation(axis, np.array([np.deg2rad(degrees)]))[0]
    return result


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


def share(found: list[set[tuple[str, str]]], *wanted: tuple[str, str]) -> float:
    """The part of the spans in which all of ``wanted`` were found."""
    return sum(set(wanted) <= one for one in found) / len(found)


def test_people_who_wear_them_well_are_not_doubted(known: Known) -> None:
    doubted = known.kinds(lambda recording: recording)
    # Of few people the limits are rougher than of many (docs/PLAUSIBILITY.md has the figures): one span of about 30 at most.
    assert sum(map(bool, doubted)) <= 1, doubted


@pytest.mark.parametrize("segment", SEGMENTS)
@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_a_strap_that_has_slipped_is_named_with_its_angle(known: Known, segment: str, axis: str) -> None:
    doubts = known.doubts(lambda recording: turned(recording, {segment: about(axis, 20)}))
    named = [
        doubt for one in doubts for doubt in one if (doubt.kind, doubt.sensor) == ("orientation", segment)
    ]
    assert len(named) >= 0.9 * len(doubts)
    # Four seconds say how far, within some degrees: by so much people differ from their own calibration walk.
    assert np.median([doubt.size for doubt in named]) == pytest.approx(20, abs=5)
    assert named[0].text.startswith(f"{segment} IMU turned by about ") and "Calibrate again" in named[0].text


def test_all_straps_together(known: Known) -> None:
    slipped = {segment: about("y", 30) for segment in SEGMENTS}
    wanted = [("orientation", segment) for segment in SEGMENTS]
    assert share(known.kinds(lambda recording: turned(recording, slipped)), *wanted) >= 0.9


def test_electrodes_are_named(known: Known) -> None:
    names = known.recordings[0].signals["emg"].spec.channel_names
    rng = np.random.default_rng(0)

    def off(samples: Float) -> Float:
        samples[:, 0] = 0.005 * rng.standard_normal(len(samples))
        return samples

    def hum(samples: Float) -> Float:
        samples[:, 0] += 0.3 * np.sin(2 * np.pi * 50 * np.arange(len(samples)) / 1000)
        return samples

    def crossed(samples: Float) -> Float:
        samples[:, [0, 3]] = samples[:, [3, 0]]
        return samples

    assert share(known.kinds(lambda r: emg(r, off)), ("electrode", "soleus")) >= 0.9
    assert share(known.kinds(lambda r: emg(r, hum)), ("electrode", "soleus")) >= 0.9
    wanted = (("electrode", "soleus"), ("electrode", "tib_ant"))
    assert share(known.kinds(lambda r: emg(r, crossed)), *wanted) >= 0.9
    # What muscles themselves do, 6 % from minute to minute, is not doubted; ten people leave more open than many would.
    for gain in (0.5, 2.0):
        louder = known.doubts(partial(amplified, gains={names[0]: gain}))
        sizes = [d.size for one in louder for d in one if (d.kind, d.sensor) == ("gain", names[0])]
        assert len(sizes) >= 0.8 * len(louder)
        assert np.median(sizes) == pytest.approx(gain, rel=0.15)
    assert (
        share(known.kinds(lambda r: amplified(r, dict.fromkeys(names, 4.0))), *(("gain", n) for n in names))
        >= 0.9
    )


def test_units_and_places(known: Known) -> None:
    def degrees(samples: Float) -> Float:
        samples[:, 9:12] = np.degrees(samples[:, 9:12])
        return samples

    def swapped(samples: Float) -> Float:
        samples[:, 0:6], samples[:, 12:18] = samples[:, 12:18].copy(), samples[:, 0:6].copy()
        return samples

    said = [d for one in known.doubts(lambda r: imu(r, degrees)) for d in one if d.sensor == "shank"]
    assert {doubt.kind for doubt in said} == {"unlike-training"}
    assert {doubt.text for doubt in said} == {
        "shank IMU: the gyroscope is in deg/s and not in rad/s; say so in the sensor's description"
    }
    both = known.doubts(lambda r: imu(r, swapped))
    named = [
        any("foot and thigh IMUs" in d.text or "thigh and foot IMUs" in d.text for d in one) for one in both
    ]
    assert all(both) and np.mean(named) >= 0.8


def test_a_late_stream_is_found(known: Known) -> None:
    def later(recording: Recording) -> Recording:
        return emg(recording, lambda samples: np.roll(samples, 50, axis=0))

    doubts = known.doubts(later)
    late = [d for one in doubts for d in one if (d.kind, d.sensor) == ("late-stream", "emg")]
    assert len(late) >= 0.8 * len(doubts)
    assert np.median([doubt.size for doubt in late]) == pytest.approx(0.05, abs=0.015)


def test_a_movement_that_nobody_learnt_is_told_from_a_broken_sensor(known: Known) -> None:
    assert share(known.kinds(lambda r: r, "stairs-up"), ("unfamiliar", "")) >= 0.9

    def dead(samples: Float) -> Float:
        samples[:, :6] = [0.0, 9.8, 0.0, 0.0, 0.0, 0.0]
        return samples

    assert share(known.kinds(lambda r: imu(r, dead)), ("unlike-training", "foot")) >= 0.9


def test_a_slip_is_doubted_within_four_seconds_and_forgotten_when_mended(known: Known) -> None:
    """Live, in chunks as they come: a shank turns by 30 degrees after 12 s and is put back after 24 s."""
    recording = next(r for r in known.recordings if r.name not in known.walks and r.task == "level")
    well, slipped = known.rows(recording), known.rows(turned(recording, {"shank": about("x", 30)}))
    watch = PlausibilityWatch(known.judge(recording.person))
    history = []
    for rows in (well[:1200], slipped[:1200], well[:1200]):
        for first in range(0, 1200, 7):
            part = rows[first : first + 7]
            watch.append({"imu": part[:, :24], "emg": part[:, 24:]})
            history.append("orientation" in {doubt.kind for doubt in watch.doubts})
    per, delay = len(history) // 3, round(2 * HALF_S * GRID_HZ / 7)
    assert not any(history[:per])
    assert all(history[per + delay : 2 * per])
    assert not any(history[2 * per + delay :])


def test_standing_is_not_judged(known: Known) -> None:
    judge = known.judge(known.recordings[0].person)
    upright = np.tile([0.0, 9.80665, 0.0, 0.0, 0.0, 0.0], 4)
    still = (np.concatenate([upright, np.zeros(9)]) - known.layout.mean) / known.layout.deviation
    spans = spans_of(np.tile(still.astype(np.float32), (1000, 1)), judge.shape)
    assert len(spans) == 4 and all(judge.judge(span) is None for span in spans)


def test_a_stand_and_a_walk_in_one_span_are_not_judged(known: Known) -> None:
    """Somebody stands, walks and stands. Wherever spans begin, nobody is doubted: what has more than 0.7 s of standing in it is
    not judged, and less does not matter."""
    recording = next(r for r in known.recordings if r.name not in known.walks and r.task == "level")
    judge, walked = known.judge(recording.person), known.rows(recording)[:1000]
    upright = np.tile([0.0, 9.80665, 0.0, 0.0, 0.0, 0.0], 4)
    still = (np.concatenate([upright, np.full(9, 0.01)]) - known.layout.mean) / known.layout.deviation
    stand = np.tile(still.astype(np.float32), (500, 1))
    rows = np.concatenate([stand, walked, stand])
    judged = []
    for first in range(0, len(rows) - 400, 10):
        (span,) = spans_of(rows[first : first + 400], judge.shape)
        doubts = judge.judge(span)
        standing = max(500 - first, first + 400 - 1500, 0) / GRID_HZ
        if doubts is None:
            assert standing >= 0.5
        else:
            assert standing <= 1.0 and not doubts, (first, doubts)
            judged.append(standing)
    assert judged.count(0) == 61 and max(judged) > 0.3


def test_rows_that_nobody_gave_are_novel_within_a_second(known: Known) -> None:
    """By 300 ms a slip is known to have happened; which strap it is, the walk that follows says."""
    recording = next(r for r in known.recordings if r.name not in known.walks and r.task == "level")
    well, slipped = known.rows(recording), known.rows(turned(recording, {"thigh": about("z", 40)}))
    novelty = known.judge(recording.person).novelty()
    assert not any(novelty.append(well[:1000]))
    after = novelty.append(slipped[1000:1400])
    assert 0 < after.index(True) < 0.5 * GRID_HZ and all(after[100:])
    mended = novelty.append(well[1400:])
    assert not any(mended[100:])


def test_what_is_novel_is_unfamiliar_until_a_judgement_says_more(known: Known) -> None:
    recording = next(r for r in known.recordings if r.name not in known.walks and r.task == "level")
    well, slipped = known.rows(recording), known.rows(turned(recording, {"thigh": about("z", 40)}))
    watch = PlausibilityWatch(known.judge(recording.person))
    seen = []
    for rows in (well[:800], slipped[800:1600]):
        for first in range(0, len(rows), 10):
            part = rows[first : first + 10]
            watch.append({"imu": part[:, :24], "emg": part[:, 24:]})
            seen.append(tuple(doubt.kind for doubt in watch.doubts))
    assert set(seen[:80]) == {()}
    assert seen[80:].index(("unfamiliar",)) <= 5
    assert [one for one in dict.fromkeys(seen[80:]) if one] == [("unfamiliar",), ("orientation",)]


def test_a_span_with_a_gap_is_not_judged(known: Known) -> None:
    """The link is away for a second of a slip: what was held meanwhile is no movement, and the next whole span says it."""
    recording = next(r for r in known.recordings if r.name not in known.walks and r.task == "level")
    rows = known.rows(turned(recording, {"thigh": about("z", 40)}))[:1600].copy()
    gap = np.zeros(len(rows), bool)
    gap[500:600] = True
    rows[gap] = rows[499]
    watch = PlausibilityWatch(known.judge(recording.person))
    judged = []
    for first in range(0, len(rows), 50):
        part = rows[first : first + 50]
        if watch.append({"imu": part[:, :24], "emg": part[:, 24:]}, gap[first : first + 50]):
            judged.append(first + 50)
    # Spans end every 200 rows from 400 on; those that end at 600 and 800 have the gap.
    assert judged == [400, 1000, 1200, 1400, 1600]


def test_a_distance_is_that_of_the_whitened_row() -> None:
    """Against its definition: with a triangle (2, 0; 1, 3), the row (1, 2) becomes (2, 7), of squared length 53; a 32nd of it
    is taken with the first row, and the novelty ends below three quarters of the limit."""
    novelty = Novelty(np.array([2.0, 1.0, 3.0], np.float32), 1.6, 2)
    assert novelty.append(np.array([[1.0, 2.0]], np.float32)) == [True] and novelty.value == 53 / 32
    nothing = np.zeros((1, 2), np.float32)
    later = [novelty.append(nothing)[0] for _ in range(12)]
    # 53/32 * (31/32)^n is below 1.2 from n = 11 on.
    assert later == [True] * 10 + [False] * 2


def test_chunks_do_not_change_the_bits(known: Known) -> None:
    rows = known.rows(known.recordings[0])
    shape = MomentLayout(known.layout)
    pieces, moments = [], Moments(shape)
    for first in range(0, len(rows), 37):
        pieces += [span.moments for span in moments.append(rows[first : first + 37])]
    np.testing.assert_array_equal(np.array(pieces).view(np.uint32), moments_of(rows, shape).view(np.uint32))


def test_moments_are_what_they_say(known: Known) -> None:
    """Against float64 on the whole span: a triangle's weighted means, within float32's rounding of 400 sums."""
    rows = known.rows(known.recordings[0])[:400]
    shape = MomentLayout(known.layout)
    imus, electrodes, cross = shape.split(moments_of(rows, shape)[0])
    weight = np.concatenate([np.arange(1, 201), np.arange(200, 0, -1)]) / (200 * 201)
    values = known.layout.physical(rows.astype(np.float64))
    np.testing.assert_allclose(imus[1, :3], weight @ values[:, 6:9], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(imus[1, 4], weight @ (values[:, 9] * values[:, 10]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(imus[1, 9], weight @ np.sum(values[:, 6:9] ** 2, axis=1), rtol=1e-4)
    np.testing.assert_allclose(
        electrodes[0], [weight @ values[:, 24], weight @ values[:, 24] ** 2], rtol=1e-4
    )
    np.testing.assert_allclose(cross[0, 1], weight @ (values[:, 24] * values[:, 11]), rtol=1e-3, atol=1e-6)


def test_what_cannot_be_judged_or_learnt_from_is_said(known: Known) -> None:
    emg_only = dataclasses.replace(known.contract, inputs=known.contract.inputs[1:], calibration=None)
    assert layout_of(emg_only) is None
    rows = known.rows(known.recordings[0])
    with pytest.raises(RecordingError, match="at least 3 people, to leave one out; the data has 1"):
        fit_familiar([Walked("one", "level", rows, 600)], known.layout)
    with pytest.raises(
        RecordingError, match=r"the walk has 0\.0 s of regular strides and needs 4: walk about ten strides"
    ):
        own_moments(np.zeros((1200, 33), np.float32), known.layout)
    with pytest.raises(
        ContractError, match="the calibration's walk has 3 numbers and the model's sensors 94"
    ):
        Judge(known.familiar, (1.0, 2.0, 3.0), known.layout)


def test_damaged_statistics_are_refused_and_older_ones_left_out(known: Known) -> None:
    value = known.familiar.to_json()
    assert Familiar.read({"phases": 32, "tasks": {}}) is None
    changes: tuple[tuple[Callable[[Any], object], str], ...] = (
        (lambda v: v.update(form="moments 0"), "this version reads 'moments 2': train the model again"),
        (lambda v: v["mean"].update(float32="AAAA"), "not a model's familiar walks"),
        (lambda v: v.pop("lag"), "KeyError at 'lag'"),
    )
    for change, message in changes:
        copy = json.loads(json.dumps(value))
        change(copy)
        with pytest.raises(ContractError, match=message):
            Familiar.from_json(copy)
    fewer = json.loads(json.dumps(value))
    fewer["tasks"] = [*fewer["tasks"], "another"]
    with pytest.raises(ContractError, match="does not fit the model's sensors"):
        Familiar.from_json(fewer).require_fits(MomentLayout(known.layout))
