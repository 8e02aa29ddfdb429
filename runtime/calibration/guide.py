"""The steps of a calibration, judged as they are done: stand still, swing the leg, contract, walk. Pure in its batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from runtime.pipeline.intake import Batch
from runtime.pipeline.resampling import LastGood
from runtime.pipeline.states import LARGEST
from toolkit.calibration import Calibration, calibrate, reference_of, with_own_walk
from toolkit.calibration.contraction import contractions, relaxed, require_stronger_than_walking
from toolkit.calibration.electrodes import amplitude
from toolkit.calibration.estimate import LEAST_STRIDES, STILL_RAD_S, gyroscopes_of, stand_of
from toolkit.calibration.strides import find_strides
from toolkit.calibration.swing import LEAST_SWINGS, count_swings, swing_axes
from toolkit.calibration.verdict import judge_gravity
from toolkit.contract import SensorContract
from toolkit.data.channels import GRAVITY
from toolkit.data.imus import imus
from toolkit.errors import ContractError, RecordingError
from toolkit.records import Signal

Step = Literal["stand", "swing", "contract", "walk", "done"]
Values = NDArray[np.float32]

#: The best stand of this length is kept, in s.
STAND_S = 3.0
#: Of the swinging leg and of contractions the newest this long is looked at, s: a swing takes a second or two, a muscle three.
SWING_S, CONTRACTION_S = 12.0, 60.0
#: Of the walk the newest this long is looked at, in s.
WALK_S = 30.0
#: Whether somebody moves is judged in blocks of this length, s.
_BLOCK_S = 0.5
#: A step is judged anew after this much of new samples, in s.
_LOOK_S = 0.25
#: More than this part of a walk's samples missing, and it is to be walked again.
_MISSING = 0.02


@dataclass(frozen=True)
class Progress:
    """What to tell the person: the step, how much of it is done (0 to 1), and what is wrong (empty if nothing is)."""

    step: Step
    share: float
    trouble: str = ""


@dataclass(frozen=True)
class Wanted:
    """``stand`` False leaves that step out, ``swing`` (of the leg) and ``contraction`` (maximal, of every muscle) put one in;
    ``strides`` are asked for; each step may take ``limit_s`` s."""

    stand: bool = True
    strides: int = 10
    limit_s: float = 120.0
    swing: bool = False
    contraction: bool = False

    @property
    def steps(self) -> tuple[Step, ...]:
        """Those that are asked for, in order."""
        asked = {"stand": self.stand, "swing": self.swing, "contract": self.contraction}
        return tuple(step for step in get_args(Step) if asked.get(step, True))

    def __post_init__(self) -> None:
        if self.strides < LEAST_STRIDES:
            raise ContractError(
                f"{self.strides} strides are asked for; a calibration needs at least {LEAST_STRIDES}"
            )


class Guide:
    """Takes the batches of an intake of ``contract`` until :attr:`step` is ``done``; then :meth:`result`."""

    def __init__(self, contract: SensorContract, wanted: Wanted | None = None) -> None:
        reference = reference_of(contract)
        if reference is None:
            raise ContractError(
                "the model takes sensors as they are worn: it was trained without calibration (train --calibration walk)"
            )
        self._reference, self._contract = reference, contract
        self._specs = {item.stream.name: item.stream for item in contract.inputs}
        segments = set(() if reference.template is None else reference.template.segments)
        self._imu = next(
            (n for n, s in self._specs.items() if segments <= {i.segment for i in imus(s)}), None
        )
        if self._imu is None or not segments:
            raise ContractError(
                "the model has no IMU to find strides with: it cannot be calibrated on a walk"
            )
        self.wanted = wanted or Wanted()
        self.step: Step = self.wanted.steps[0]
        self._stand: Signal | None = None
        self._swing: Signal | None = None
        self._contraction: dict[str, Signal] | None = None
        self._kept_walk: dict[str, Signal] | None = None
        self._rows: dict[str, list[Values]] = {}
        self._held = {name: LastGood(len(spec.channels)) for name, spec in self._specs.items()}
        self._missing, self._looked = 0, 0.0
        #: How long this step was tried before it began anew, s.
        self._before_s = 0.0
        self._begin()

    def take(self, batch: Batch) -> Progress | None:
        """The batch's samples; what to tell, or None while there is nothing new. RecordingError if a step takes too long."""
        if self.step == "done":
            return None
        if batch.restart:
            self._again(self._seconds())
        for name, rows in batch.inputs.items():
            if not self._rows[name]:
                self._first[name] = rows.first
            self._rows[name].append(self._finite(name, rows.values))
            if name == self._imu:
                self._missing += int(np.count_nonzero(rows.findings))
        have = self._seconds()
        if have < self._looked + _LOOK_S:
            return None
        self._looked = have
        progress = self._said_of_odd(have) or self._look(have)
        if progress.step != "done" and self._before_s + have > self.wanted.limit_s:
            raise RecordingError(
                f"step {self.step}: not done after {self.wanted.limit_s:.0f} s ({progress.trouble or 'too little data'}); "
                "start the calibration again"
            )
        return progress

    def _finite(self, name: str, values: Values) -> Values:
        """``values``, each that is no number, or no measurement, replaced by the last good one, and counted."""
        odd = np.flatnonzero(~(np.abs(values) <= LARGEST).all(axis=0))
        for place in odd:
            channel = self._specs[name].channel_names[place]
            count = int(np.count_nonzero(~(np.abs(values[:, place]) <= LARGEST)))
            self._odd[channel] += count / self._specs[name].rate_hz
        return self._held[name].hold(values) if len(values) else values

    def _said_of_odd(self, have: float) -> Progress | None:
        """What to tell where more than a little of a channel was no number; the step then begins anew."""
        odd = [channel for channel, seconds in self._odd.items() if seconds > _MISSING * have]
        if not odd:
            return None
        self._again(have)
        more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
        return Progress(
            self.step,
            0.0,
            f"{odd[0]}{more} sends values that are no numbers: check that sensor, and do it again",
        )

    def _look(self, have: float) -> Progress:
        look = {
            "stand": self._look_at_stand,
            "swing": self._look_at_swing,
            "contract": self._look_at_contraction,
            "walk": self._look_at_walk,
        }[self.step]
        return look(have)

    def result(self, person: str, created: str, nodes: Mapping[str, str] | None = None) -> Calibration:
        """The calibration, once all steps are done."""
        if self.step != "done":
            raise RecordingError(
                f"the calibration is not done: step {self.step} is missing; the sources ended too early"
            )
        walk = self._kept_walk if self._kept_walk is not None else self._walked()
        found = calibrate(
            walk,
            self._reference,
            person=person,
            stand=self._stand,
            swing=self._swing,
            contraction=self._contraction,
            created=created,
            nodes=nodes,
        )
        return with_own_walk(found, walk, self._contract)

    def _walked(self) -> dict[str, Signal]:
        """The newest movement, from the last moment on at which nothing moved: who still stands does not walk.

        Where the most of it stood still, noise would pass for strides, and EMG would have another amplitude.
        """
        assert self._imu is not None
        signals = self._signals(WALK_S)
        walk = signals[self._imu]
        block = round(_BLOCK_S * walk.spec.rate_hz)
        count = len(walk.samples) // block
        if not count:
            return signals
        speed = np.linalg.norm(gyroscopes_of(walk), axis=2).mean(axis=1)
        still = np.flatnonzero(speed[: count * block].reshape(count, block).mean(axis=1) < STILL_RAD_S)
        begin_s = 0.0 if not len(still) else (int(still[-1]) + 1) * block / walk.spec.rate_hz
        return {
            name: Signal(one.spec, 0.0, one.samples[round(begin_s * one.spec.rate_hz) :])
            for name, one in signals.items()
        }

    def _again(self, have: float) -> None:
        """The step from its beginning; the time that it took counts."""
        self._before_s += have
        self._begin()

    def _begin(self) -> None:
        self._rows = {name: [] for name in self._specs}
        #: Numbers of the first rows that are kept: packets of two inputs do not end together.
        self._first = dict.fromkeys(self._specs, 0)
        self._missing, self._looked = 0, 0.0
        #: How long each channel gave no number in this step, s.
        self._odd: defaultdict[str, float] = defaultdict(float)

    def _seconds(self) -> float:
        assert self._imu is not None
        return sum(map(len, self._rows[self._imu])) / self._specs[self._imu].rate_hz

    def _signals(self, seconds: float) -> dict[str, Signal]:
        """The newest ``seconds`` that all inputs have, from one start, or all that there is."""
        joined: dict[str, Values] = {}
        for name, parts in self._rows.items():
            values = (
                np.concatenate(parts) if parts else np.empty((0, len(self._specs[name].channels)), np.float32)
            )
            self._rows[name] = [values]
            joined[name] = values
        first = {name: self._first[name] / spec.rate_hz for name, spec in self._specs.items()}
        ends_s = min(first[name] + len(joined[name]) / spec.rate_hz for name, spec in self._specs.items())
        begins_s = max(ends_s - seconds, *first.values())
        return {
            name: Signal(
                spec,
                0.0,
                joined[name][
                    round((begins_s - first[name]) * spec.rate_hz) : max(
                        round((ends_s - first[name]) * spec.rate_hz), 0
                    )
                ],
            )
            for name, spec in self._specs.items()
        }

    def _look_at_stand(self, have: float) -> Progress:
        assert self._imu is not None
        if have < STAND_S:
            return Progress("stand", have / STAND_S)
        stand = self._signals(STAND_S)[self._imu]
        try:
            means = stand_of(stand)
        except RecordingError as error:
            return Progress("stand", 0.0, str(error))
        for imu, mean in zip(imus(stand.spec), means):
            # Said at once: nothing that the walk shows can mend it.
            verdict, advice = judge_gravity(imu.segment, float(np.linalg.norm(mean[:3])) - GRAVITY)
            if verdict == "refused":
                return Progress("stand", 0.0, advice)
        self._stand = Signal(stand.spec, 0.0, np.array(stand.samples, np.float64))
        return self._next_step()

    def _next_step(self) -> Progress:
        """The step after this one, with samples of its own."""
        steps = self.wanted.steps
        self.step = steps[steps.index(self.step) + 1]
        self._before_s = 0.0
        self._begin()
        return Progress(self.step, 0.0)

    def _look_at_swing(self, have: float) -> Progress:
        assert self._imu is not None
        swing = self._signals(SWING_S)[self._imu]
        share = min(count_swings(swing) / LEAST_SWINGS, 1.0)
        try:
            swing_axes(swing, self._biases())
        except RecordingError as error:
            # What lies in the way of swings is said once there could be some; too few of them are the step's share.
            return Progress("swing", share, str(error) if share >= 1.0 or have >= 4.0 > share * 4.0 else "")
        self._swing = Signal(swing.spec, 0.0, np.array(swing.samples, np.float64))
        return self._next_step()

    def _biases(self) -> dict[str, NDArray[np.float64]]:
        if self._stand is None:
            return {}
        return {imu.segment: mean[3:] for imu, mean in zip(imus(self._stand.spec), stand_of(self._stand))}

    def _look_at_contraction(self, have: float) -> Progress:
        signals = self._signals(CONTRACTION_S)
        try:
            found = contractions(signals)
            if self._kept_walk is not None:
                require_stronger_than_walking(found, self._amplitudes(self._kept_walk))
        except RecordingError as error:
            return Progress("contract", 0.0, str(error) if have >= 3.0 else "")
        if not relaxed(signals):
            return Progress("contract", 0.9, "" if have < 5.0 else "now let all muscles go")
        self._contraction = {
            name: Signal(one.spec, 0.0, np.array(one.samples, np.float64)) for name, one in signals.items()
        }
        if self._kept_walk is not None:
            self.step = "done"
            return Progress("done", 1.0)
        return self._next_step()

    def _amplitudes(self, walk: Mapping[str, Signal]) -> dict[str, float]:
        """What each EMG channel gives in the walk, in its unit."""
        result: dict[str, float] = {}
        for signal in walk.values():
            if not imus(signal.spec):
                sizes = amplitude(np.asarray(signal.samples, np.float64), signal.spec.rate_hz)
                result |= dict(zip(signal.spec.channel_names, sizes.tolist()))
        return result

    def _look_at_walk(self, have: float) -> Progress:
        assert self._imu is not None
        signal = self._walked()[self._imu]
        found = len(find_strides(gyroscopes_of(signal), signal.spec.rate_hz)) if len(signal.samples) else 0
        missing = self._missing / max(have * signal.spec.rate_hz, 1.0)
        if found >= self.wanted.strides and missing > _MISSING:
            self._again(have)
            return Progress(
                "walk", 0.0, f"{100 * missing:.0f} % of the samples were missing: walk again, nearer the host"
            )
        if found >= self.wanted.strides:
            return self._after_walk()
        slow = "" if found or have < 5.0 else "no regular strides yet: walk straight ahead at a steady pace"
        return Progress("walk", found / self.wanted.strides, slow)

    def _after_walk(self) -> Progress:
        """The walk is done; a contraction that was weaker than walking is asked for again, and the walk is kept."""
        walk = self._walked()
        if self._contraction is not None:
            try:
                require_stronger_than_walking(contractions(self._contraction), self._amplitudes(walk))
            except RecordingError as error:
                self._kept_walk = {
                    name: Signal(one.spec, 0.0, np.array(one.samples, np.float64))
                    for name, one in walk.items()
                }
                self.step, self._before_s = "contract", 0.0
                self._begin()
                return Progress("contract", 0.0, str(error))
        self.step = "done"
        return Progress("done", 1.0)
