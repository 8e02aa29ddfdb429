"""Good, doubtful or refused: what is said of one sensor's calibration, and why.

An IMU is judged by two figures. Its *residual* says whether the walk fits the segment at all: against the largest
residual of the people who the template is made of. Its *uncertainty* says how well the walk fixes the rotation: a
standard error, so that twice it holds 95 % of sessions. The bounds are what a turned sensor costs: all IMUs turned by 10
degrees raised the RMSE of a model that takes sensors as they are worn by 46 %; an error adds in square, so 5 degrees add 13 %.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration.orientation import Fit
from toolkit.data.channels import GRAVITY

Float = NDArray[np.float64]
Verdict = Literal["good", "doubtful", "refused"]
Judgement = tuple[Verdict, str]

#: Times the largest residual of training people: up to the first a fit is good, up to the second doubtful. Of 16 synthetic
#: people left out one at a time, 14 stay below the first and none is above 1.35; an accelerometer in g is at 4.
GOOD_RESIDUAL, DOUBTFUL_RESIDUAL = 1.25, 2.0
#: No residual bound is less than that of this residual: a template of one walk leaves nothing over for itself.
_LEAST_RESIDUAL = 0.1
#: Standard errors, deg: twice the first is 5 degrees (13 % more RMSE), twice the second 10 (46 %).
GOOD_DEG, DOUBTFUL_DEG = 2.5, 5.0
#: Relative standard errors of a gain: twice the first costs 15 % of RMSE; twice the second reaches a halved gain, which cost
#: 122 %.
GOOD_GAIN, DOUBTFUL_GAIN = 0.1, 0.25
#: Gravity at rest may be this far from 1 g, m/s^2: 2 %, what a datasheet allows an accelerometer's scale and offset together.
GOOD_GRAVITY, DOUBTFUL_GRAVITY = 0.2, 0.6
#: The axes are left-handed if a mirrored frame leaves less than this part of what a proper one leaves.
_CLEARLY = 0.7
#: A sensor is dead if its accelerometer changes by less than this while its wearer walks, m/s^2.
_DEAD = 0.05
#: A channel is saturated if this part of its samples lies at one of its two ends.
_RAILED = 0.02
#: An accelerometer that reads less than this at rest is not there, m/s^2 (one in g reads 1).
_NOTHING = 0.5
#: An electrode that walks with less than this signal over its noise says little of the muscle.
_LEAST_CONTRAST = 1.5


def worst(*judgements: Judgement) -> Judgement:
    """The worst of them; of equals the first."""
    order = get_args(Verdict)
    return max(judgements, key=lambda one: order.index(one[0]))


def judge_imu(
    name: str, raw: Float, fit: Fit, usual: float, uncertainty_deg: float, gravity_residual: float | None
) -> Judgement:
    """``raw`` (rows, 6) of the walk, its ``fit``, ``usual`` the largest residual of training people on the segment."""
    if float(raw[:, :3].std(axis=0).max()) < _DEAD:
        return (
            "refused",
            f"{name} IMU does not move while its wearer walks: switch it on, or strap it tighter",
        )
    railed = _railed(raw)
    if railed.any():
        kind = "accelerometer" if railed[:3].any() else "gyroscope"
        return "refused", f"{name} IMU: the {kind} is at the end of its range; choose a wider range"
    return worst(
        _of_residual(name, fit, max(usual, _LEAST_RESIDUAL)),
        _of_uncertainty(name, uncertainty_deg),
        judge_gravity(name, gravity_residual),
    )


def _of_residual(name: str, fit: Fit, usual: float) -> Judgement:
    if fit.mirrored < _CLEARLY * fit.residual and fit.residual > GOOD_RESIDUAL * usual:
        return (
            "refused",
            f"{name} IMU: its axes are left-handed; give one axis the other sign in the sensor's description",
        )
    if fit.residual <= GOOD_RESIDUAL * usual:
        return "good", ""
    if fit.residual <= DOUBTFUL_RESIDUAL * usual:
        return (
            "doubtful",
            f"{name} IMU: the walk is unlike those of the training people; walk again at a normal pace",
        )
    return (
        "refused",
        f"{name} IMU fits no mounting on the {name}: is it on the {name}, and are its units right?",
    )


def _of_uncertainty(name: str, degrees: float) -> Judgement:
    if degrees <= GOOD_DEG:
        return "good", ""
    verdict: Verdict = "doubtful" if degrees <= DOUBTFUL_DEG else "refused"
    return (
        verdict,
        f"{name} IMU: its rotation is only known to within {2 * degrees:.0f} degrees (95 %); "
        "walk more strides, straight and at a steady pace",
    )


def judge_gravity(name: str, residual: float | None) -> Judgement:
    """``residual``: how far what an accelerometer reads at rest is from 1 g, m/s^2; None without a stand."""
    if residual is None or abs(residual) <= GOOD_GRAVITY:
        return "good", ""
    if residual < _NOTHING - GRAVITY:
        return "refused", f"{name} IMU gives nothing at rest, not even gravity: connect it, or switch it on"
    verdict: Verdict = "doubtful" if abs(residual) <= DOUBTFUL_GRAVITY else "refused"
    return (
        verdict,
        f"{name} IMU: at rest its accelerometer reads {residual:+.2f} m/s^2 beside 1 g; calibrate the sensor itself",
    )


def judge_electrode(name: str, column: Float, reached: float, floor: float, uncertainty: float) -> Judgement:
    """``column`` (rows, 1) of the walk; the amplitude ``reached`` in it, its noise ``floor``, the gain's relative error."""
    if reached <= 0.0:
        return "refused", f"electrode {name} gives no signal: connect it"
    if _railed(column)[0]:
        return (
            "refused",
            f"electrode {name} is at the end of its range: lower the gain, or fix the electrode better",
        )
    if reached < _LEAST_CONTRAST * floor:
        return (
            "refused",
            f"electrode {name} shows no activity above its noise while walking: check its contact",
        )
    if uncertainty <= GOOD_GAIN:
        return "good", ""
    verdict: Verdict = "doubtful" if uncertainty <= DOUBTFUL_GAIN else "refused"
    return (
        verdict,
        f"electrode {name}: its gain is only known to within {200 * uncertainty:.0f} % (95 %); "
        "walk more strides at a steady pace",
    )


def _railed(raw: Float) -> NDArray[np.bool_]:
    ends = np.stack([raw.min(axis=0), raw.max(axis=0)])
    at_end = (raw[None] == ends[:, None]).mean(axis=1)
    result: NDArray[np.bool_] = at_end.max(axis=0) > _RAILED
    return result
