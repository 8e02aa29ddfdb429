"""The virtual IMU against closed forms: rest, free fall, a rotating rod, a pendulum; and that it is causal."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from toolkit.data import virtual_imu
from toolkit.data.channels import GRAVITY
from toolkit.data.skeleton import (
    Segment,
    Skeleton,
    Turn,
    imu_signal,
    poses,
)

RATE = 1000.0
Z = (0.0, 0.0, 1.0)


def constant(matrix: NDArray[np.float64], rows: int = 10) -> NDArray[np.float64]:
    return np.broadcast_to(matrix, (rows, 3, 3)).copy()


@pytest.mark.parametrize("scheme", ["central", "causal"])
@pytest.mark.parametrize(
    ("axis", "degrees", "expected"),
    [
        ("z", 0, (0, GRAVITY, 0)),
        ("z", 90, (GRAVITY, 0, 0)),  # lies on its back: x points up
        ("z", 180, (0, -GRAVITY, 0)),  # upside down
        ("x", 90, (0, 0, -GRAVITY)),  # y points right, so z points down
        ("y", 90, (0, GRAVITY, 0)),  # turned about the vertical
    ],
)
def test_at_rest_the_axis_that_points_up_reads_one_g(
    scheme: virtual_imu.Scheme, axis: str, degrees: float, expected: tuple[float, float, float]
) -> None:
    orientation = virtual_imu.rotation(axis, np.full(10, np.deg2rad(degrees)))
    read = virtual_imu.signals(orientation, np.zeros((10, 3)), RATE, scheme)
    np.testing.assert_allclose(read[:, :3], np.tile(expected, (10, 1)), atol=1e-9)  # rounding of sin and cos
    np.testing.assert_allclose(read[:, 3:], 0.0, atol=1e-9)


def test_free_fall_reads_nothing() -> None:
    time = np.arange(200) / RATE
    position = np.stack([1.3 * time, -0.5 * GRAVITY * time**2, 0 * time], axis=1)
    read = virtual_imu.signals(constant(np.eye(3), 200), position, RATE, "central")
    # Second differences of a parabola are exact but for rounding, 1e-16 m x (1 kHz)^2.
    np.testing.assert_allclose(read, 0.0, atol=1e-8)


@pytest.mark.parametrize("scheme", ["central", "causal"])
def test_rod_turning_about_the_vertical_reads_omega_squared_r(scheme: virtual_imu.Scheme) -> None:
    omega, radius = 5.0, 0.4
    orientation = virtual_imu.rotation("y", omega * np.arange(500) / RATE)
    position = virtual_imu.apply(orientation, np.array([radius, 0.0, 0.0]))
    read = virtual_imu.signals(orientation, position, RATE, scheme)[5:-5]
    # Backward differences are one row late: the centripetal pull, 10 m/s^2, turns by 5 mrad meanwhile.
    late = 0.06 if scheme == "causal" else 1e-3
    np.testing.assert_allclose(read[:, 0], -(omega**2) * radius, atol=1e-3)
    np.testing.assert_allclose(read[:, 1], GRAVITY, atol=1e-9)
    np.testing.assert_allclose(read[:, 2], 0.0, atol=late)
    np.testing.assert_allclose(read[:, 3:], np.tile([0.0, omega, 0.0], (490, 1)), atol=1e-9)


def test_rod_that_spins_up_reads_alpha_r_along_its_path() -> None:
    alpha, radius = 8.0, 0.5
    time = np.arange(300) / RATE
    orientation = virtual_imu.rotation("y", 0.5 * alpha * time**2)
    position = virtual_imu.apply(orientation, np.array([radius, 0.0, 0.0]))
    read = virtual_imu.signals(orientation, position, RATE, "central")[5:-5]
    # Turning about +y carries the sensor's +x towards its -z.
    np.testing.assert_allclose(read[:, 2], -alpha * radius, atol=1e-3)
    np.testing.assert_allclose(read[:, 0], -((alpha * time[5:-5]) ** 2) * radius, atol=1e-3)
    np.testing.assert_allclose(read[:, 4], alpha * time[5:-5], atol=1e-6)


def pendulum(length: float, start: float, time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle and rate (n, 2) of a point mass on a rod from rest, by Runge and Kutta's fourth order."""

    def slope(state: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([state[1], -GRAVITY / length * np.sin(state[0])])

    states = [np.array([start, 0.0])]
    step = time[1] - time[0]
    for _ in time[1:]:
        s = states[-1]
        a = slope(s)
        b = slope(s + 0.5 * step * a)
        c = slope(s + 0.5 * step * b)
        d = slope(s + step * c)
        states.append(s + step / 6 * (a + 2 * b + 2 * c + d))
    return np.array(states)


def test_pendulum_reads_its_rods_tension_and_nothing_across() -> None:
    length = 0.8
    time = np.arange(2000) / RATE
    angle, rate = pendulum(length, 1.0, time).T
    skeleton = Skeleton((Segment("rod", None, (0, 0, 0), (Turn(Z, "angle"),), (0.0, -length, 0.0)),))
    pose = poses(skeleton, {"angle": angle}, {})["rod"]
    sensor = pose.position + virtual_imu.apply(pose.orientation, np.array([0.0, -length, 0.0]))
    read = virtual_imu.signals(pose.orientation, sensor, RATE, "central")[2:-2]
    tension = GRAVITY * np.cos(angle) + length * rate**2
    # Central differences at 1 kHz of a swing of 0.6 Hz: relative error about (2 pi 0.6 / 1000)^2 / 12.
    np.testing.assert_allclose(read[:, 1], tension[2:-2], atol=1e-3)
    np.testing.assert_allclose(read[:, 0], 0.0, atol=1e-3)
    np.testing.assert_allclose(read[:, 5], rate[2:-2], atol=1e-4)


def two_links() -> Skeleton:
    thigh = Segment("thigh", None, (0, 0, 0), (Turn(Z, "hip"),), (0.0, -0.2, 0.0), ("x", "y", "z"))
    shank = Segment("shank", "thigh", (0.0, -0.4, 0.0), (Turn(Z, "knee"),), (0.0, -0.1, 0.0))
    return Skeleton((thigh, shank))


def test_chain_adds_angles_and_the_pivots_acceleration() -> None:
    """Hip and knee turn at 2 and 3 rad/s: the shank's gyroscope reads 5; the knee's own pull is added."""
    time = np.arange(400) / RATE
    angles = {"hip": 2.0 * time, "knee": 3.0 * time}
    where = poses(two_links(), angles, {name: np.zeros(400) for name in "xyz"})
    shank = where["shank"]
    sensor = shank.position + virtual_imu.apply(shank.orientation, np.array([0.0, -0.1, 0.0]))
    read = virtual_imu.signals(shank.orientation, sensor, RATE, "central")[2:-2]
    hip, pitch = angles["hip"][2:-2], (angles["hip"] + angles["knee"])[2:-2]
    # Knee: 2^2 x 0.4 towards the hip; sensor: 5^2 x 0.1 towards the knee; gravity; all in the shank's axes.
    along = 1.6 * np.cos(hip - pitch) + 2.5 + GRAVITY * np.cos(pitch)
    across = 1.6 * np.sin(pitch - hip) + GRAVITY * np.sin(pitch)
    np.testing.assert_allclose(read[:, 5], 5.0, atol=1e-9)
    np.testing.assert_allclose(read[:, 1], along, atol=1e-3)
    np.testing.assert_allclose(read[:, 0], across, atol=1e-3)


@pytest.mark.parametrize("low_pass_hz", [None, 12.0])
def test_no_future_sample_enters(low_pass_hz: float | None) -> None:
    rng = np.random.default_rng(5)
    angles = {"hip": rng.normal(0, 0.1, 100), "knee": rng.normal(0, 0.1, 100)}
    positions = {name: rng.normal(0, 0.01, 100) for name in "xyz"}
    before = imu_signal(two_links(), angles, positions, 100.0, 0.0, low_pass_hz).samples
    for values in (*angles.values(), *positions.values()):
        values[60:] += rng.normal(0, 1.0, 40)
    after = imu_signal(two_links(), angles, positions, 100.0, 0.0, low_pass_hz).samples
    np.testing.assert_array_equal(before[:60], after[:60])
    assert not np.array_equal(before[60], after[60])


def test_turns_are_about_the_turned_axes_in_order() -> None:
    """z by 90 deg, then x by 90 deg: body y ends up at world z, as OpenSim's body-fixed sequence has it."""
    quarter = np.array([np.pi / 2])
    matrix = virtual_imu.body_fixed({"z": quarter, "x": quarter})[0]
    np.testing.assert_allclose(matrix @ np.array([0.0, 1.0, 0.0]), [0.0, 0.0, 1.0], atol=1e-15)
    np.testing.assert_allclose(matrix @ np.array([1.0, 0.0, 0.0]), [0.0, 1.0, 0.0], atol=1e-15)


def test_reference_segments_come_in_the_contracts_order() -> None:
    foot = Segment("foot", "thigh", (0, -0.4, 0), (Turn(Z, "knee"),), (0.1, 0, 0))
    skeleton = Skeleton((Segment("thigh", None, (0, 0, 0), (Turn(Z, "hip"),), (0, 0, 0)), foot))
    angles = {"hip": np.zeros(5), "knee": np.zeros(5)}
    names = imu_signal(skeleton, angles, {}, 100.0, 0.0, None).spec.channel_names
    assert names[0] == "foot_accel_x" and names[6] == "thigh_accel_x" and len(names) == 12


def test_rotation_about_a_slanted_axis() -> None:
    """A third of a turn about (1, 1, 1) takes x to y to z."""
    matrix = virtual_imu.rotation((1.0, 1.0, 1.0), np.array([2 * np.pi / 3]))[0]
    np.testing.assert_allclose(matrix, [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-15)
