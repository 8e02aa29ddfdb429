"""Is a task that nobody learnt told from walking and from a broken sensor? ``python -m benchmarks.studies.unseen_tasks [SEED]``

What is familiar is learnt from level, incline and decline walking of the training people. Other people then walk level and take
stairs, and walk with something broken. A span of four seconds has a score, how far the IMUs are from what is familiar: its area
under the ROC curve (Hanley & McNeil 1982) of stairs against level walking, and the shares of stairs that are called unfamiliar
and of spans with a broken sensor that are called anything but that. Every person counts alike; people are synthetic.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.stress.perturbations import catalogue
from toolkit.calibration import SensorLayout, calibrated, fit_reference, layout_of
from toolkit.calibration.moments import MomentLayout, spans_of
from toolkit.calibration.people import WALK_S, by_person, calibrations, walk_recording
from toolkit.calibration.reference import reference_of
from toolkit.contract import Channel, SensorContract
from toolkit.data import load
from toolkit.data.channels import MOMENTS
from toolkit.data.splits import Segment
from toolkit.data.windows import features
from toolkit.learning.prepare import fit_input
from toolkit.plausibility import Familiar, Judge, Walked, fit_familiar
from toolkit.records import Recording

LEARNT, UNSEEN = ("level", "incline", "decline"), ("stairs-up", "stairs-down")
TRAINING = "synthetic:people=20,seconds=20,tasks=level+incline+decline"
OTHERS = "synthetic:people=8,seconds=20,tasks=level+stairs-up+stairs-down,seed={seed}"
SEED = 30817
GRID_HZ = 100.0
#: What breaks: each costs 50 % of RMSE and more (docs/STRESS.md).
BROKEN = (
    "dead one IMU",
    "imu-turned shank 90 deg",
    "imus-swapped foot and shank",
    "unit-mistaken gyroscope in deg/s",
    "emg-gain all 0.5",
    "emg-gain all 4",
    "electrodes-off one",
    "electrodes-off all",
)


@dataclass(frozen=True, eq=False)
class Learnt:
    """A contract, its sensors and what is familiar to a model of it."""

    contract: SensorContract
    layout: SensorLayout
    familiar: Familiar


@dataclass(frozen=True, eq=False)
class Seen:
    """Spans of one person: their scores, and the kinds of what was found in each."""

    person: str
    scores: NDArray[np.float64]
    kinds: tuple[frozenset[str], ...]

    def share(self, counts: Callable[[frozenset[str]], bool]) -> float:
        return float(np.mean([counts(one) for one in self.kinds]))


def learn(recordings: list[Recording]) -> Learnt:
    """From the training people, each calibrated on a walk of theirs."""
    reference = fit_reference(recordings)
    theirs = calibrations(recordings, reference)
    ready = [calibrated(one, theirs[one.person]) for one in recordings]
    inputs = tuple(
        fit_input(name, [Segment(one, *one.span_s) for one in ready], GRID_HZ) for name in ("imu", "emg")
    )
    outputs = tuple(Channel(name, "Nm/kg") for name in MOMENTS)
    contract = SensorContract(inputs, GRID_HZ, 64, outputs, calibration=reference.to_json())
    layout = layout_of(contract)
    assert layout is not None
    walks = {walk_recording(one).name for one in by_person(recordings).values()}
    own = [round(WALK_S * GRID_HZ) if one.name in walks else 0 for one in recordings]
    rows = [np.concatenate([f[n] for n in layout.inputs], axis=1) for f in features(ready, inputs, GRID_HZ)]
    walked = [Walked(r.person, r.task, x, count) for r, x, count in zip(ready, rows, own)]
    return Learnt(contract, layout, fit_familiar(walked, layout))


def see(
    learnt: Learnt, people: list[Recording], tasks: tuple[str, ...], change: Callable[[Recording], Recording]
) -> list[Seen]:
    """Each person's spans of ``tasks`` after ``change``, in a session that was calibrated before."""
    reference = reference_of(learnt.contract)
    assert reference is not None
    sessions = calibrations(people, reference, learnt.contract)
    shape, result = MomentLayout(learnt.layout), []
    for person, theirs in by_person(people).items():
        session = sessions[person]
        assert session.walk is not None
        judge = Judge(learnt.familiar, session.walk, learnt.layout)
        worn = [calibrated(change(one), session) for one in theirs if one.task in tasks]
        scores, kinds = [], []
        for one in features(worn, learnt.contract.inputs, GRID_HZ):
            for span in spans_of(np.concatenate([one[n] for n in learnt.layout.inputs], axis=1), shape):
                found = judge.find(span)
                if found is not None:
                    scores.append(float(np.mean(found.figures.limited[: shape.imus])))
                    kinds.append(frozenset(finding.kind for finding in found.findings))
        result.append(Seen(person, np.array(scores), tuple(kinds)))
    return result


def roc_area(above: NDArray[np.float64], below: NDArray[np.float64]) -> float:
    """The probability that one of ``above`` is larger than one of ``below``; a tie counts half."""
    ranked = np.sort(below)
    left, right = (np.searchsorted(ranked, above, side) for side in ("left", "right"))
    return float(np.mean(left + right) / (2 * len(ranked)))


def _mean(shares: list[float]) -> str:
    return f"{100 * np.mean(shares):5.1f} % of spans, {100 * np.min(shares):5.1f} % in the worst person"


def main(arguments: list[str]) -> None:
    """Print the figures."""
    seed = int(arguments[0]) if arguments else SEED
    learnt = learn(load(TRAINING))
    people = load(OTHERS.format(seed=seed))
    level = see(learnt, people, LEARNT[:1], lambda one: one)
    stairs = see(learnt, people, UNSEEN, lambda one: one)
    print(f"learnt: {TRAINING}; others: {OTHERS.format(seed=seed)} (synthetic)")
    areas = [roc_area(a.scores, b.scores) for a, b in zip(stairs, level)]
    whole = roc_area(*(np.concatenate([one.scores for one in each]) for each in (stairs, level)))
    print(f"area under the ROC curve, stairs against level: {whole:.3f}; worst person {min(areas):.3f}")
    print(f"stairs called unfamiliar: {_mean([one.share(lambda k: 'unfamiliar' in k) for one in stairs])}")
    print(f"level walking doubted:    {_mean([one.share(bool) for one in level])}")
    known = {str(one): one for one in catalogue(learnt.contract)}
    every = []
    for name in BROKEN:
        perturbation = known[name]

        def broken(recording: Recording, perturbation: object = perturbation) -> Recording:
            seeds = [zlib.crc32(text.encode()) for text in (str(perturbation), recording.person)]
            return known[str(perturbation)].change(recording, np.random.default_rng(seeds))

        found = see(learnt, people, LEARNT[:1], broken)
        every += [one.share(lambda k: bool(k) and "unfamiliar" not in k) for one in found]
        print(f"{name + ' called broken:':48} {_mean(every[-len(found) :])}")
    print(f"{'all of these called broken:':48} {100 * np.mean(every):5.1f} % of spans")


if __name__ == "__main__":
    main(sys.argv[1:])
