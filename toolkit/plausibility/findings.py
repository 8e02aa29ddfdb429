"""Which sensor is found to be what: the decision alone, in float32 and integers, as generated C takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration.moments import MomentLayout, Span
from toolkit.plausibility.deviation import (
    LEAST_SIGNAL,
    Figures,
    OwnWalk,
    deviations,
    figures,
    speed,
    walks,
    whitened,
)
from toolkit.plausibility.familiar import Familiar

Values = NDArray[np.float32]

#: In the order of C's enum, which begins at 1.
Kind = Literal["orientation", "unlike-training", "gain", "electrode", "late-stream", "unfamiliar"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: An envelope whose relative variance is below this part of the own walk's has no muscle under its electrode.
FLAT = np.float32(0.35)
#: A delay explains the timing if it takes this part of its squared distances away, and more.
EXPLAINED = np.float32(0.7)
_ONE = np.float32(1.0)


@dataclass(frozen=True)
class Finding:
    """``sensor``: its place among the layout's IMUs, then electrodes; -1 for the movement or all EMG."""

    kind: Kind
    sensor: int


@dataclass(frozen=True, eq=False)
class Found:
    """What was found about one triangle of rows, and from which figures."""

    findings: tuple[Finding, ...]
    figures: Figures


def find(span: Span, own: OwnWalk, familiar: Familiar, shape: MomentLayout) -> Found | None:
    """What is doubted about ``span``; None where it is no steady walk: sensors are judged by walking, and a stand and a walk
    in one span are like neither."""
    fast = speed(span.moments, own, shape)
    if not walks(fast, span.paces, own, shape):
        return None
    found = figures(familiar, deviations(span.moments, own, shape), fast, shape)
    return Found(_findings(found, span.moments, own, familiar, shape), found)


def _findings(
    found: Figures, moments: Values, own: OwnWalk, familiar: Familiar, shape: MomentLayout
) -> tuple[Finding, ...]:
    n, m = shape.imus, shape.electrodes
    over = found.limited > np.append(familiar.limits, familiar.delays[found.task])
    bad, loud = over[:n], over[n : n + m]
    # A step's timing is told by the gyroscopes: by one that is turned, it says nothing of muscles.
    timing = over[n + m : n + 2 * m] & (not bad.any())
    broken = bad & (over[n + 2 * m : 2 * n + 2 * m] | over[2 * n + 2 * m : 3 * n + 2 * m])
    if over[-1] and not bad.any() and not loud.any() and _late(found, familiar, shape):
        return (Finding("late-stream", -1),)
    weak = int((loud | timing).sum())
    # One fault is in IMUs or in electrodes; what is in both at once, or in most IMUs, is in the movement.
    if (bad.any() and 10 * weak > 3 * m) or 2 * int(broken.sum()) > n:
        return (Finding("unfamiliar", -1),)
    result = [
        Finding("unlike-training" if broken[place] else "orientation", place)
        for place in range(n)
        if bad[place]
    ]
    for place in range(m):
        if timing[place] or (loud[place] and flat(place, moments, own, found, shape)):
            result.append(Finding("electrode", n + place))
        elif loud[place]:
            result.append(Finding("gain", n + place))
    return tuple(result)


def _late(found: Figures, familiar: Familiar, shape: MomentLayout) -> bool:
    """Whether the delay explains what is unusual about the timing."""
    n, m = shape.imus, shape.electrodes
    _, _, left = shape.split(found.left)
    after = whitened(familiar.timing, left - found.delay_s * familiar.late[found.task])
    before = found.limited[n + m : n + 2 * m]
    sums = [np.float32(0.0), np.float32(0.0)]
    for place in range(m):
        sums[0] = np.float32(sums[0] + before[place])
        sums[1] = np.float32(sums[1] + after[place])
    return bool(sums[1] < EXPLAINED * sums[0])


def flat(place: int, moments: Values, own: OwnWalk, found: Figures, shape: MomentLayout) -> bool:
    """Whether an electrode's envelope hardly varies, or there is none."""
    mean, square = shape.split(moments)[1][place]
    own_mean, own_square = shape.split(own.moments)[1][place]
    more_mean, more_square = shape.split(found.expected)[1][place]
    if not mean > LEAST_SIGNAL * own_mean:
        return True
    varies = square / (mean * mean) - _ONE
    usual = (own_square / (own_mean * own_mean)) * ((_ONE + more_square) / (_ONE + more_mean)) - _ONE
    return bool(varies < FLAT * usual)
