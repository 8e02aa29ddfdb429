"""How far the moments of some seconds are from a person's own walk: float32, one operation at a time, as in generated C."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration.moments import TRACE, MomentLayout
from toolkit.data.channels import GRAVITY
from toolkit.plausibility.familiar import Familiar

Values = NDArray[np.float32]

#: Below this speed nobody walks: the gyroscopes' mean square over that of the person's own walk.
LEAST_SPEED = np.float32(0.08)
#: And no second of a steady walk is slower than this part of the whole span: the slowest of synthetic people, down stairs, has
#: 0.44; 0.7 s of standing have 0.3, and less hardly counts in a triangle.
LEAST_PACE = np.float32(0.3)
#: An electrode below this part of its own mean has no timing.
LEAST_SIGNAL = np.float32(0.05)
#: A speed is followed this far outside those of training people.
_SPEED_MARGIN = np.float32(0.1)
#: A squared distance beyond this says no more of which task it is.
_FARTHEST = np.float32(25.0)
_ONE, _HALF = np.float32(1.0), np.float32(0.5)


@dataclass(frozen=True, eq=False)
class OwnWalk:
    """``moments`` of the person's own walk, and the ``scales`` that make deviations of differences, both (F,) float32.

    The scales of timing are those of the gyroscope alone; ``timing`` (electrodes, IMUs) is the own one, made of them.
    """

    moments: Values
    scales: Values
    timing: Values

    @classmethod
    def of(cls, moments: Values, shape: MomentLayout) -> OwnWalk:
        """From own moments (F,)."""
        imu, electrode, cross = (
            part.astype(np.float64) for part in shape.split(np.asarray(moments, np.float32))
        )
        power = np.maximum(imu[:, list(TRACE)].sum(axis=1), 1e-6)
        first = np.repeat(1.0 / power[:, None], 10, axis=1)
        first[:, :3] = 1.0 / GRAVITY
        first[:, 9] = 1.0 / GRAVITY**2
        amplitude = np.maximum(electrode, 1e-12)
        second = np.stack([1.0 / amplitude[:, 0], amplitude[:, 0] / amplitude[:, 1]], axis=1)
        third = np.broadcast_to(1.0 / np.sqrt(power), cross.shape)
        scales = np.concatenate([part.reshape(-1) for part in (first, second, third)]).astype(np.float32)
        mean = np.maximum(electrode[:, :1], 1e-12)
        timing = (cross / mean * third).astype(np.float32)
        return cls(np.asarray(moments, np.float32), scales, timing)


def speed(moments: Values, own: OwnWalk, shape: MomentLayout) -> np.float32:
    """The gyroscopes' mean square over that of the own walk: of the IMU in the middle, so that a broken one does not matter."""
    imu, _, _ = shape.split(moments)
    return _middle((imu[:, 3] + imu[:, 6]) + imu[:, 8], own, shape)


def walks(fast: np.float32, paces: Values, own: OwnWalk, shape: MomentLayout) -> bool:
    """Whether a span of the speed ``fast`` is steady walking: fast enough, and without a stand in any of its ``paces``."""
    slowest = fast
    for pace in paces:
        slowest = min(slowest, _middle(pace, own, shape))
    return bool(fast > LEAST_SPEED) and bool(slowest > LEAST_PACE * fast)


def _middle(powers: Values, own: OwnWalk, shape: MomentLayout) -> np.float32:
    """Of ``powers`` (IMUs,) over those of the own walk: the median."""
    scales, _, _ = shape.split(own.scales)
    ranked = np.sort(powers * scales[:, 3])
    count = len(ranked)
    return np.float32((ranked[(count - 1) // 2] + ranked[count // 2]) * _HALF)


def deviations(moments: Values, own: OwnWalk, shape: MomentLayout) -> Values:
    """``moments`` (F,) against the own walk: (F,). Of an electrode's mean square over its mean, so that a gain counts once."""
    result: Values = (moments - own.moments) * own.scales
    _, electrode, cross = shape.split(moments)
    _, loud, timing = shape.split(result)
    _, own_electrode, _ = shape.split(own.moments)
    _, loud_scales, scales = shape.split(own.scales)
    for place in range(shape.electrodes):
        mean = electrode[place, 0]
        if mean > LEAST_SIGNAL * own_electrode[place, 0]:
            loud[place, 1] = (electrode[place, 1] / mean) * loud_scales[place, 1] - _ONE
            timing[place] = (cross[place] / mean) * scales[place] - own.timing[place]
        else:
            loud[place, 1] = -_ONE
            timing[place] = 0.0
    return result


@dataclass(frozen=True, eq=False)
class Figures:
    """What is limited, in the order of ``Familiar.limits``, and last the delay's size; the ``task`` that fits best, what is
    ``left`` (F,) of the deviations after it, and what was ``expected`` (F,)."""

    limited: Values
    delay_s: np.float32
    task: int
    left: Values
    expected: Values


def figures(familiar: Familiar, away: Values, fast: np.float32, shape: MomentLayout) -> Figures:
    """The distances of deviations ``away`` (F,) at a speed ``fast`` from the nearest task."""
    low, middle, high = (familiar.speeds[:, k] for k in range(3))
    held = np.minimum(np.maximum(fast, low - _SPEED_MARGIN), high + _SPEED_MARGIN) - middle
    expected: Values = familiar.mean + held[:, None] * familiar.slope
    left: Values = away[None] - expected
    imu, electrode, timing = shape.split(left)
    squares = [
        whitened(familiar.imu, imu),
        whitened(familiar.electrode, electrode),
        whitened(familiar.timing, timing),
    ]
    task = int(_sum(np.minimum(squares[0], _FARTHEST)).argmin())
    delay = np.float32(0.0)
    for weight, one in zip(familiar.lag[task].reshape(-1), timing[task].reshape(-1)):
        delay = np.float32(delay + weight * one)
    e = shape.split(expected[task])[0]
    d = shape.split(away)[0]
    power = _power(d) / _power(e) - _ONE
    limited = [*(one[task] for one in squares), np.abs(power), np.abs(imu[task][:, 9]), np.abs([delay])]
    return Figures(np.concatenate(limited).astype(np.float32), delay, task, left[task], expected[task])


def _power(deviation: Values) -> Values:
    """The gyroscope's mean square over the own one, of deviations (IMUs, 10)."""
    result: Values = ((deviation[:, 3] + deviation[:, 6]) + deviation[:, 8]) + _ONE
    return np.maximum(result, np.float32(0.01))


def whitened(factors: Values, left: Values) -> Values:
    """The squared length of L x: ``factors`` ([tasks,] sensors, packed triangle) of L, ``left`` ([tasks,] sensors, n) is x."""
    total = np.zeros(left.shape[:-1], np.float32)
    place = 0
    for row in range(left.shape[-1]):
        value = np.zeros(left.shape[:-1], np.float32)
        for column in range(row + 1):
            value = value + factors[..., place] * left[..., column]
            place += 1
        total = total + value * value
    return total


def _sum(squares: Values) -> Values:
    """Sum over the last axis, in order."""
    total = np.zeros(squares.shape[:-1], np.float32)
    for k in range(squares.shape[-1]):
        total = total + squares[..., k]
    return total
