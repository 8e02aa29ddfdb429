"""What calibration takes out: ``python -m benchmarks.studies.calibration_draws CHECKPOINT [DATA]``.

People whom nobody trained on, their IMUs mounted at random over the whole sphere and their EMG amplified 0.1 to 10 times, each
calibrated on the walk as worn: the RMSE of CHECKPOINT's float model (trained with --calibration walk) against the same
people with sensors as the data has them, calibrated too. And from the same walks, which sensor is on which segment, of random
orders and mountings. People are synthetic unless DATA says otherwise.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration import assign, calibrate, calibrated, reference_of
from toolkit.calibration.people import WALK_TASK, walk_signals
from toolkit.calibration.reference import CalibrationReference
from toolkit.data import load
from toolkit.data.imus import imus
from toolkit.data.splits import Segment
from toolkit.data.windows import cut
from toolkit.data.worn import amplified, random_rotation, turned
from toolkit.model import float_reference, load_checkpoint
from toolkit.model.checkpoint import Checkpoint
from toolkit.records import Recording

DATA = "synthetic:people=6,seed=4711,seconds=20,tasks=level"
ROTATIONS, GAINS, ASSIGNMENTS = 200, 50, 500
#: Every so many windows of a recording are judged, and so many recordings are filtered at once.
STRIDE, BATCH = 20, 25
#: The share of the next best order's residual above which the walk is said not to tell.
UNSURE = 0.7


def worn(recording: Recording, rng: np.random.Generator, rotate: bool) -> Recording:
    """Mounted anyhow, or amplified anyhow."""
    if not rotate:
        names = [
            name
            for signal in recording.signals.values()
            if not imus(signal.spec)
            for name in signal.spec.channel_names
        ]
        return amplified(recording, {name: float(10 ** rng.uniform(-1, 1)) for name in names})
    segments = [imu.segment for signal in recording.signals.values() for imu in imus(signal.spec)]
    return turned(recording, {segment: random_rotation(rng) for segment in segments})


def errors(
    checkpoint: Checkpoint, reference: CalibrationReference, recordings: Sequence[Recording]
) -> list[float]:
    """RMSE over all joints, Nm/kg, of each recording calibrated on its own first strides."""
    result = []
    for first in range(0, len(recordings), BATCH):
        part = recordings[first : first + BATCH]
        ready = [calibrated(one, calibrate(walk_signals(one), reference)) for one in part]
        ready = [dataclasses.replace(one, name=f"{one.name}-{k}") for k, one in enumerate(ready)]
        windows = cut(
            [Segment(one, 0.0, min(signal.duration_s for signal in one.signals.values())) for one in ready],
            checkpoint.contract,
            stride=STRIDE,
        )
        squares = (float_reference.window(checkpoint, windows.inputs) - windows.targets) ** 2
        result += [float(np.sqrt(squares[windows.recording == k].mean())) for k in range(len(ready))]
    return result


def shuffled(recording: Recording, rng: np.random.Generator) -> tuple[Recording, tuple[str, ...]]:
    """Every sensor on another segment, mounted anyhow; and which segment each is on, in the channels' order."""
    signals = dict(worn(recording, rng, True).signals)
    for name, signal in signals.items():
        found = imus(signal.spec)
        if found:
            order = rng.permutation(len(found))
            samples: NDArray[np.float64] = np.array(signal.samples, np.float64)
            for imu, other in zip(found, order):
                samples[:, imu.places] = np.asarray(signal.samples)[:, found[other].places]
            signals[name] = dataclasses.replace(signal, samples=samples)
            return dataclasses.replace(recording, signals=signals), tuple(found[i].segment for i in order)
    raise ValueError("no IMU")


def main(model: str, data: str = DATA) -> None:
    """Print the figures."""
    checkpoint = load_checkpoint(model)
    reference = reference_of(checkpoint.contract)
    if reference is None or reference.template is None:
        sys.exit("the model takes sensors as they are worn: train it with --calibration walk")
    walks = [one for one in load(data) if one.task == WALK_TASK]
    rng = np.random.default_rng(0)
    plain = errors(checkpoint, reference, walks)
    print(
        f"{len({one.person for one in walks})} people, {len(walks)} walks; RMSE {np.mean(plain):.4f} Nm/kg calibrated"
    )
    for name, count, rotate in (
        ("rotations of all IMUs", ROTATIONS, True),
        ("gains 0.1 to 10 of all EMG", GAINS, False),
    ):
        drawn = [worn(walks[k % len(walks)], rng, rotate) for k in range(count)]
        away = [
            100 * (error / plain[k % len(walks)] - 1)
            for k, error in enumerate(errors(checkpoint, reference, drawn))
        ]
        print(f"{count} {name}: RMSE {np.mean(away):+.3f} % in the mean, {max(away, key=abs):+.3f} % at most")
    right = warned = silent = 0
    for k in range(ASSIGNMENTS):
        recording, order = shuffled(walks[k % len(walks)], rng)
        signal = next(s for s in walk_signals(recording).values() if imus(s.spec))
        found, doubt = assign(signal, reference.template)
        right += found.order == order
        warned += found.order != order and doubt > UNSURE
        silent += found.order != order and doubt <= UNSURE
    print(
        f"{ASSIGNMENTS} orders and mountings: {right} right, {warned} wrong with a warning, {silent} wrong in silence"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
