"""The steps of a calibration, judged as they are done: stand still, then walk. Pure in its batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runtime.pipeline.intake import Batch
from toolkit.calibration import Calibration, calibrate, reference_of, with_own_walk
from toolkit.calibration.estimate import LEAST_STRIDES, STILL_RAD_S, gyroscopes_of, stand_of
from toolkit.calibration.strides import find_strides
from toolkit.calibration.verdict import judge_gravity
from toolkit.contract import SensorContract
from toolkit.data.channels import GRAVITY
from toolkit.data.imus import imus
from toolkit.errors import ContractError, RecordingError
from toolkit.records import Signal

Step = Literal["stand", "walk", "done"]
Values = NDArray[np.float32]

#: The best stand of this length is kept, in s.
STAND_S = 3.0
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
    """``stand`` False leaves that step out; ``strides`` are asked for; each step may take ``limit_s`` s."""

    stand: bool = True
    strides: int = 10
    limit_s: float = 120.0

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
        self.step: Step = "stand" if self.wanted.stand else "walk"
        self._stand: Signal | None = None
        self._rows: dict[str, list[Values]] = {}
        self._missing, self._looked = 0, 0.0
        self._begin()

    def take(self, batch: Batch) -> Progress | None:
        """The batch's samples; what to tell, or None while there is nothing new. RecordingError if a step takes too long."""
        if self.step == "done":
            return None
        if batch.restart:
            self._begin()
        for name, rows in batch.inputs.items():
            if not self._rows[name]:
                self._first[name] = rows.first
            self._rows[name].append(rows.values)
            if name == self._imu:
                self._missing += int(np.count_nonzero(rows.findings))
        have = self._seconds()
        if have < self._looked + _LOOK_S:
            return None
        self._looked = have
        progress = self._look_at_stand(have) if self.step == "stand" else self._look_at_walk(have)
        if progress.step != "done" and have > self.wanted.limit_s:
            raise RecordingError(
                f"step {self.step}: not done after {self.wanted.limit_s:.0f} s ({progress.trouble or 'too little of it'}); "
                "start the calibration again"
            )
        return progress

    def result(self, person: str, created: str, nodes: Mapping[str, str] | None = None) -> Calibration:
        """The calibration, once all steps are done."""
        if self.step != "done":
            raise RecordingError(
                f"the calibration is not done: step {self.step} is missing; the sources ended too early"
            )
        walk = self._walked()
        found = calibrate(
            walk, self._reference, person=person, stand=self._stand, created=created, nodes=nodes
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

    def _begin(self) -> None:
        self._rows = {name: [] for name in self._specs}
        #: Numbers of the first rows that are kept: packets of two inputs do not end together.
        self._first = dict.fromkeys(self._specs, 0)
        self._missing, self._looked = 0, 0.0

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
        self.step = "walk"
        self._begin()
        return Progress("walk", 0.0)

    def _look_at_walk(self, have: float) -> Progress:
        assert self._imu is not None
        signal = self._walked()[self._imu]
        found = len(find_strides(gyroscopes_of(signal), signal.spec.rate_hz)) if len(signal.samples) else 0
        missing = self._missing / max(have * signal.spec.rate_hz, 1.0)
        if found >= self.wanted.strides and missing > _MISSING:
            self._begin()
            return Progress(
                "walk", 0.0, f"{100 * missing:.0f} % of the samples were missing: walk again, nearer the host"
            )
        if found >= self.wanted.strides:
            self.step = "done"
            return Progress("done", 1.0)
        slow = "" if found or have < 5.0 else "no regular strides yet: walk straight ahead at a steady pace"
        return Progress("walk", found / self.wanted.strides, slow)
