"""Good, doubtful or refused: bounds, reasons, and the uncertainty that they heed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from toolkit.calibration import calibrate, fit_reference
from toolkit.calibration.estimate import standard_error_deg
from toolkit.calibration.orientation import Fit, angle_deg, rotated
from toolkit.calibration.verdict import judge_electrode, judge_imu, worst
from toolkit.data import load
from toolkit.data.virtual_imu import rotation
from toolkit.data.worn import random_rotation

ROOT = Path(__file__).resolve().parents[3]
TRIAL = ROOT.parent / "shared" / "data" / "opensim_walk36"


def imu(residual: float = 1.0, error: float = 1.0, gravity: float | None = None) -> tuple[str, str]:
    """The verdict on a shank that moves, where 1.0 is the usual residual."""
    raw = np.random.default_rng(0).normal(size=(200, 6))
    return judge_imu("shank", raw, Fit(np.eye(3), residual, 2 * residual), 1.0, error, gravity)


@pytest.mark.parametrize(
    ("given", "verdict", "says"),
    [
        ({}, "good", ""),
        ({"residual": 1.25}, "good", ""),
        ({"residual": 1.26}, "doubtful", "walk again at a normal pace"),
        ({"residual": 2.01}, "refused", "fits no mounting on the shank"),
        ({"error": 2.5}, "good", ""),
        ({"error": 2.6}, "doubtful", "only known to within 5 degrees (95 %); walk more strides"),
        ({"error": 17.4}, "refused", "only known to within 35 degrees"),
        ({"gravity": -0.2}, "good", ""),
        ({"gravity": 0.25}, "doubtful", "reads +0.25 m/s^2 beside 1 g; calibrate the sensor itself"),
        ({"gravity": -0.7}, "refused", "reads -0.70 m/s^2"),
        ({"residual": 1.3, "error": 6.0}, "refused", "only known to within 12 degrees"),
    ],
)
def test_an_imu_is_judged_by_residual_uncertainty_and_gravity(
    given: dict[str, float], verdict: str, says: str
) -> None:
    found, advice = imu(**given)
    assert found == verdict and says in advice and bool(advice) == (verdict != "good")


@pytest.mark.parametrize(
    ("error", "verdict"), [(0.1, "good"), (0.11, "doubtful"), (0.25, "doubtful"), (0.26, "refused")]
)
def test_an_electrode_is_judged_by_the_uncertainty_of_its_gain(error: float, verdict: str) -> None:
    column = np.random.default_rng(0).normal(size=(500, 1))
    found, advice = judge_electrode("soleus", column, 1.0, 0.1, error)
    assert found == verdict
    assert (verdict == "good") == (advice == "")


def test_the_worst_counts_and_of_equals_the_first() -> None:
    assert worst(("good", ""), ("refused", "a"), ("doubtful", "b"), ("refused", "c")) == ("refused", "a")


def test_the_standard_error_is_that_of_the_rotation_that_is_used() -> None:
    """200 walks with known noise: the spread of the rotation that was found is what the jackknife says, within a fifth."""
    rng = np.random.default_rng(1)
    curve = rng.normal(size=(32, 6)) * [3, 3, 3, 1, 1, 1]
    mounting = random_rotation(rng)
    found, said = [], []
    for _ in range(200):
        # Each stride is turned by its own small rotation, 4 degrees about each axis: what a strap does within a walk.
        each = []
        for _ in range(10):
            small = np.linalg.multi_dot(
                [rotation(axis, np.deg2rad(rng.normal(0, 4, 1)))[0] for axis in "xyz"]
            )
            each.append(rotated(mounting.T @ small, curve))
        strides = np.array(each)
        said.append(standard_error_deg(strides, curve, 0))
        mean = np.linalg.svd(
            np.concatenate([curve[:, :3] / 2, curve[:, 3:] / 0.6]).T
            @ np.concatenate([strides.mean(axis=0)[:, :3] / 2, strides.mean(axis=0)[:, 3:] / 0.6])
        )
        found.append(angle_deg(mean[0] @ mean[2] @ mounting.T))
    # About each of three axes 4 degrees / sqrt(10): together 2.2 degrees.
    spread = float(np.sqrt(np.mean(np.square(found))))
    assert spread == pytest.approx(4 * np.sqrt(3 / 10), rel=0.15)
    assert float(np.sqrt(np.mean(np.square(said)))) == pytest.approx(spread, rel=0.2)


@pytest.mark.skipif(not TRIAL.is_dir(), reason="the walking trial is not there")
def test_on_the_walking_trial_the_errors_are_those_between_its_walks() -> None:
    """One minute of a real person: four more walks of 12 s lie about the first as far as its standard errors say."""
    recording = load(f"{ROOT / 'examples' / 'opensim_walk36.toml'}:root={TRIAL}")[0]
    reference = fit_reference([recording])
    walks = [
        calibrate(
            {
                name: dataclasses.replace(signal, samples=signal.samples[1200 * k : 1200 * (k + 1)])
                for name, signal in recording.signals.items()
            },
            reference,
        )
        for k in range(5)
    ]
    assert all(imu.uncertainty_deg < 5 for walk in walks for imu in walk.imus)
    off = [
        angle_deg(other.rotation @ one.rotation.T) / np.hypot(one.uncertainty_deg, other.uncertainty_deg)
        for walk in walks[1:]
        for one, other in zip(walks[0].imus, walk.imus)
    ]
    # Distances over their standard errors: near 1 in the mean, and none beyond 3.
    assert 0.5 < float(np.mean(off)) < 1.5 and max(off) < 3
