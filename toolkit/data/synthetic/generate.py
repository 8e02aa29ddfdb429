"""The synthetic set: which trials it has, and one trial from person, task and speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import StreamSpec
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
from toolkit.data.synthetic.motion import Motion, simulate
from toolkit.data.synthetic.people import Person, person
from toolkit.data.synthetic.sensors import imu
from toolkit.data.synthetic.tasks import TASKS, Task, speeds_of
from toolkit.records import Recording, Signal

Float = NDArray[np.float64]

#: Simulated before and after what is kept, so that no value comes from an edge (and EMG can look ahead).
MARGIN_S = 0.5


@dataclass(frozen=True)
class Options:
    """What to generate. ``seconds`` is each trial's length; ``speeds`` how many a task (None: its own two)."""

    people: int = 8
    seconds: float = 12.0
    tasks: tuple[str, ...] = tuple(TASKS)
    seed: int = 0
    speeds: int | None = None


def generate(options: Options) -> list[Recording]:
    """All trials of ``options``: every person, task and speed. The same options give the same bits.

    A trial is computed when its samples are asked for, so that people whom nobody looks at cost nothing.
    """
    return [
        SyntheticRecording.announce(options, index, TASKS[name], speed)
        for index in range(1, options.people + 1)
        for name in options.tasks
        for speed in speeds_of(TASKS[name], options.speeds)
    ]


def strikes(time_s: Float, phase: Float) -> Float:
    """Times of right foot contact, s: where ``phase`` (rising) passes a whole number."""
    whole = np.arange(np.ceil(phase[0]), np.floor(phase[-1]) + 1)
    result: Float = np.interp(whole, phase, time_s)
    return result


@dataclass(frozen=True, eq=False)
class Trial:
    """What is known of a trial before any sensor reads it: motion, ground reaction (n, 2) in N, moments
    (n, 3) in Nm/kg and contact times, s, at the IMU's rate and with a margin at both ends."""

    motion: Motion
    ground: Float
    moments: Float
    contact: Float


def truth(rng: np.random.Generator, options: Options, who: Person, task: Task, speed: float) -> Trial:
    """Simulate one trial."""
    margin = round(MARGIN_S * IMU_RATE_HZ)
    time_s = (np.arange(round(options.seconds * IMU_RATE_HZ) + 2 * margin) - margin) / IMU_RATE_HZ
    motion = simulate(rng, task, who, speed, time_s, IMU_RATE_HZ)
    ground = ground_reaction(motion, motion.right)
    return Trial(motion, ground, joint_moments(motion, who, ground), strikes(time_s, motion.phase))


def generator(options: Options, index: int, task: Task, speed: float) -> np.random.Generator:
    """The randomness of one trial: it depends on seed, person, task and speed alone."""
    return np.random.default_rng([options.seed, index, list(TASKS).index(task.name), round(speed * 1000)])


def trial_name(who: Person, task: Task, speed: float) -> str:
    """The name of a trial among the others of its set."""
    return f"{who.name}/{task.name}/{speed:g}"


def trial(options: Options, who: Person, index: int, task: Task, speed: float) -> Recording:
    """One trial as its sensors give it."""
    rng = generator(options, index, task, speed)
    real = truth(rng, options, who, task, speed)
    inertial = imu(rng, who, real.motion, real.contact)
    emg_time = np.arange(round(options.seconds * EMG_RATE_HZ)) / EMG_RATE_HZ
    ahead = activations(real.moments)
    activation = np.stack(
        [np.interp(emg_time + DELAY_S, real.motion.time_s, column) for column in ahead.T], axis=1
    )
    emg = raw_emg(rng, who, activation, emg_time, real.contact, EMG_RATE_HZ)
    margin = round(MARGIN_S * IMU_RATE_HZ)
    kept = slice(margin, margin + round(options.seconds * IMU_RATE_HZ))
    return Recording(
        name=trial_name(who, task, speed),
        person=who.name,
        task=task.name,
        kind="synthetic",
        mass_kg=who.mass_kg,
        signals={"imu": Signal(imu_stream(), 0.0, inertial[kept]), "emg": Signal(emg_stream(), 0.0, emg)},
        moments=Signal(moment_stream(), 0.0, real.moments[kept][:: round(IMU_RATE_HZ / MOMENT_RATE_HZ)]),
        heel_strikes_s=tuple(float(t) for t in real.contact if 0 <= t < options.seconds),
        provenance={
            "source": f"edgetool synthetic gait, seed {options.seed}",
            "speed_m_per_s": f"{np.linalg.norm(real.motion.hip_velocity[kept].mean(axis=0)):.2f}",
            "height_m": f"{who.height_m:.3f}",
        },
    )


class SyntheticRecording(Recording):
    """A trial of which all but its samples is known; they are computed when they are first asked for, and kept.

    Whatever changes a field (``dataclasses.replace``) computes it and gives a plain recording.
    """

    options: Options
    place: tuple[int, Task, float]

    def __new__(cls, *args: Any, **fields: Any) -> Recording:  # type: ignore[misc]
        return Recording(*args, **fields)

    @classmethod
    def announce(cls, options: Options, index: int, task: Task, speed: float) -> SyntheticRecording:
        """The trial of person ``index``, counted from 1, at ``task`` and ``speed``, without computing it."""
        who = person(options.seed, index)
        one: SyntheticRecording = object.__new__(cls)
        known = {
            "name": trial_name(who, task, speed),
            "person": who.name,
            "task": task.name,
            "kind": "synthetic",
            "mass_kg": who.mass_kg,
            "calibration": "",
            "valid_s": None,
            "missing": MappingProxyType({}),
            "options": options,
            "place": (index, task, speed),
        }
        for field, value in known.items():
            object.__setattr__(one, field, value)
        return one

    @cached_property
    def _computed(self) -> Recording:
        index, task, speed = self.place
        return trial(self.options, person(self.options.seed, index), index, task, speed)

    def extent(self, stream: str) -> tuple[StreamSpec, float, int]:
        """What ``stream`` is, where it starts, s, and how many rows it will have; nothing is computed."""
        spec = {"imu": imu_stream, "emg": emg_stream}[stream]()
        return spec, 0.0, round(self.options.seconds * spec.rate_hz)

    @property
    def span_s(self) -> tuple[float, float]:
        """Where its first stream starts and stops, s."""
        spec, start_s, rows = self.extent("imu")
        return start_s, start_s + rows / spec.rate_hz

    @property
    def signals(self) -> Mapping[str, Signal]:
        """Streams by name, computed when asked for."""
        return self._computed.signals

    @property
    def moments(self) -> Signal | None:
        """The joint moments, computed when asked for."""
        return self._computed.moments

    @property
    def heel_strikes_s(self) -> tuple[float, ...]:
        """Contacts of the right foot, s, computed when asked for."""
        return self._computed.heel_strikes_s

    @property
    def provenance(self) -> Mapping[str, str]:
        """What generated it; its mean speed is known when it is computed."""
        return self._computed.provenance
