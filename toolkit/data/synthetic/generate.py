"""The synthetic set: which trials it has, and one trial from person, task and speed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.data.channels import (
    EMG_RATE_HZ,
    IMU_RATE_HZ,
    MOMENT_RATE_HZ,
    emg_stream,
    imu_stream,
    moment_stream,
)
from toolkit.data.synthetic.dynamics import ground_reaction, joint_moments
from toolkit.data.synthetic.electromyography import DELAY_S, activations, raw_emg
from toolkit.data.synthetic.motion import simulate
from toolkit.data.synthetic.people import Person, person
from toolkit.data.synthetic.sensors import imu
from toolkit.data.synthetic.tasks import TASKS, Task
from toolkit.records import Recording, Signal

Float = NDArray[np.float64]

#: Simulated before and after what is kept, so that no value comes from an edge (and EMG can look ahead).
MARGIN_S = 0.5


@dataclass(frozen=True)
class Options:
    """What to generate. ``seconds`` is each trial's length."""

    people: int = 8
    seconds: float = 12.0
    tasks: tuple[str, ...] = tuple(TASKS)
    seed: int = 0


def generate(options: Options) -> list[Recording]:
    """All trials of ``options``: every person, task and speed. The same options give the same bits."""
    return [
        trial(options, person(options.seed, index), index, TASKS[name], speed)
        for index in range(1, options.people + 1)
        for name in options.tasks
        for speed in TASKS[name].speeds
    ]


def strikes(time_s: Float, phase: Float) -> Float:
    """Times of right foot contact, s: where ``phase`` (rising) passes a whole number."""
    whole = np.arange(np.ceil(phase[0]), np.floor(phase[-1]) + 1)
    result: Float = np.interp(whole, phase, time_s)
    return result


def trial(options: Options, who: Person, index: int, task: Task, speed: float) -> Recording:
    """One trial; its randomness depends on seed, person, task and speed alone."""
    rng = np.random.default_rng([options.seed, index, list(TASKS).index(task.name), round(speed * 1000)])
    rate = IMU_RATE_HZ
    count = round(options.seconds * rate)
    margin = round(MARGIN_S * rate)
    time_s = (np.arange(count + 2 * margin) - margin) / rate
    motion = simulate(rng, task, who, speed, time_s, rate)
    contact = strikes(time_s, motion.phase)
    moments = joint_moments(motion, who, ground_reaction(motion, motion.right))
    inertial = imu(rng, who, motion, contact)
    emg_time = np.arange(round(options.seconds * EMG_RATE_HZ)) / EMG_RATE_HZ
    ahead = activations(moments)
    activation = np.stack([np.interp(emg_time + DELAY_S, time_s, column) for column in ahead.T], axis=1)
    emg = raw_emg(rng, who, activation, emg_time, contact, EMG_RATE_HZ)
    kept = slice(margin, margin + count)
    step = round(rate / MOMENT_RATE_HZ)
    return Recording(
        name=f"{who.name}/{task.name}/{speed:g}",
        person=who.name,
        task=task.name,
        kind="synthetic",
        mass_kg=who.mass_kg,
        signals={
            "imu": Signal(imu_stream(), 0.0, inertial[kept]),
            "emg": Signal(emg_stream(), 0.0, emg),
        },
        moments=Signal(moment_stream(), 0.0, moments[kept][::step]),
        heel_strikes_s=tuple(float(t) for t in contact if 0 <= t < options.seconds),
        provenance={
            "source": f"edgetool synthetic gait, seed {options.seed}",
            "speed_m_per_s": f"{np.linalg.norm(motion.hip_velocity[kept].mean(axis=0)):.2f}",
            "height_m": f"{who.height_m:.3f}",
        },
    )
