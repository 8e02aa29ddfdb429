"""Mean gait cycles of the synthetic people: what is plotted and checked against published ranges."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from toolkit.data.channels import GRAVITY
from toolkit.data.synthetic.generate import Options, generator, truth
from toolkit.data.synthetic.people import person
from toolkit.data.synthetic.tasks import Task

Float = NDArray[np.float64]

#: Column -> unit of :func:`mean_cycles`. Angles: flexion and dorsiflexion positive.
QUANTITIES = {
    "hip angle": "deg",
    "knee angle": "deg",
    "ankle angle": "deg",
    "hip moment": "Nm/kg",
    "knee moment": "Nm/kg",
    "ankle moment": "Nm/kg",
    "vertical force": "body weight",
}
#: Points of a cycle: 0, 1, ..., 100 %.
POINTS = 101


def mean_cycles(task: Task, speed: float, people: int = 8, seed: int = 0) -> dict[str, Float]:
    """Each person's mean cycle, from right foot contact to the next: {quantity: (people, 101)}."""
    options = Options(people=people, seed=seed)
    rows = [_mean_cycle(options, index, task, speed) for index in range(1, people + 1)]
    stacked = np.stack(rows)
    return {name: stacked[:, :, column] for column, name in enumerate(QUANTITIES)}


def _mean_cycle(options: Options, index: int, task: Task, speed: float) -> Float:
    who = person(options.seed, index)
    real = truth(generator(options, index, task, speed), options, who, task, speed)
    leg, time_s = real.motion.right, real.motion.time_s
    angles = np.rad2deg(np.stack([leg.hip, leg.thigh - leg.shank, leg.foot - leg.shank], axis=1))
    force = real.ground[:, 1:] / (who.mass_kg * GRAVITY)
    values = np.concatenate([angles, real.moments, force], axis=1)
    grid = np.linspace(0.0, 1.0, POINTS)
    cycles = [
        np.stack([np.interp(start + grid * (stop - start), time_s, column) for column in values.T], axis=1)
        for start, stop in pairwise(real.contact)
    ]
    mean: Float = np.mean(cycles, axis=0)
    return mean
