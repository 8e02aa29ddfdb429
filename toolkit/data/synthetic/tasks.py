"""The tasks as normative curves over the gait cycle, which begins at the right foot's contact.

Hip and knee angles and foot pitch at every 5 % of the cycle, in degrees, rounded from published means:
level walking after Winter (1991, The Biomechanics and Motor Control of Human Gait; 2009, tables A);
slopes after Lay, Hass and Gregor (2006, J Biomech 39:1621); stairs after Riener, Rabuffetti and Frigo
(2002, Gait Posture 15:32). Foot pitch stands in for the ankle angle (ankle = foot - shank), because a
foot on the ground lies flat whatever the knee does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One task. ``slope_deg`` is the ground's (0 on stairs: treads are level).

    ``hip``, ``knee`` (flexion positive) and ``foot`` (toes up positive) have 20 points in degrees;
    ``trunk_deg`` is forward lean; ``toe_off`` is the end of stance as a fraction of the cycle.
    ``pressure`` are centre-of-pressure places (fraction of foot length from the heel) at
    :data:`STANCE_KNOTS`; ``force`` gives vertical force over body weight at :data:`FORCE_KNOTS`, as a
    base and a slope per m/s above ``reference_speed``. ``stride_hz`` is the stride rate at that speed
    and grows with its power ``stride_power``;
    the excursions of hip, knee and foot grow with ``excursion_power``. ``speeds`` (m/s) are the set's own,
    ``speed_range`` those within which others may be asked for.
    """

    name: str
    slope_deg: float
    hip: tuple[float, ...]
    knee: tuple[float, ...]
    foot: tuple[float, ...]
    trunk_deg: float
    toe_off: float
    pressure: tuple[float, ...]
    force: tuple[float, ...]
    force_per_speed: tuple[float, ...]
    reference_speed: float
    stride_hz: float
    stride_power: float
    excursion_power: tuple[float, float, float]
    speeds: tuple[float, ...]
    speed_range: tuple[float, float]


STANCE_KNOTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.78, 0.9, 1.0)
FORCE_KNOTS = (0.0, 0.06, 0.14, 0.24, 0.36, 0.5, 0.64, 0.77, 0.87, 0.95, 1.0)

HEEL_TO_TOE = (0.06, 0.16, 0.28, 0.42, 0.53, 0.65, 0.76, 0.83, 0.88)
FOREFOOT_FIRST = (0.76, 0.69, 0.60, 0.56, 0.58, 0.64, 0.72, 0.78, 0.84)
WALKING = (0.0, 0.35, 0.82, 1.09, 0.95, 0.76, 0.92, 1.10, 0.78, 0.25, 0.0)
WALKING_PER_SPEED = (0.0, 0.30, 0.35, 0.32, 0.10, -0.38, -0.10, 0.20, 0.10, 0.05, 0.0)

# Stride length grows about with the root of speed; on stairs the treads fix it.
WITH_SPEED = (0.5, 0.2, 0.4)
BY_STEPS = (0.0, 0.0, 0.0)

# fmt: off
LEVEL = Task(
    "level", 0.0,
    hip=(28, 27, 25, 21, 16, 11, 6, 1, -4, -8, -10.5, -9, -3, 6, 15, 22, 27, 30, 31, 29.5),
    knee=(5, 11, 17, 18, 15, 11.5, 8.5, 6.5, 6.5, 9, 16, 27, 42, 55, 61, 58, 46, 29, 13.5, 4.5),
    foot=(20, 7, 0.5, 0, 0, 0, 0, -0.5, -4, -12, -24, -44, -63, -66, -55, -39, -19, 0, 15.5, 22.5),
    trunk_deg=3.0, toe_off=0.62, pressure=HEEL_TO_TOE, force=WALKING, force_per_speed=WALKING_PER_SPEED,
    reference_speed=1.25, stride_hz=0.92, stride_power=0.5, excursion_power=WITH_SPEED,
    speeds=(0.9, 1.3), speed_range=(0.8, 1.6),
)
INCLINE = Task(
    "incline", 8.0,
    hip=(43, 42, 39, 34, 27, 20, 13, 6.5, 0.5, -4, -7, -6, 0, 10, 22, 32, 39, 43, 45, 44.5),
    knee=(19, 22, 25, 24, 20, 15.5, 11.5, 8.5, 7.5, 9, 15, 25, 38, 51, 58.5, 58, 49.5, 36, 24, 18),
    foot=(23, 13, 8.5, 8, 8, 8, 8, 7, 3, -6, -19, -38, -53, -54, -42, -26, -8, 9, 21, 25),
    trunk_deg=7.0, toe_off=0.63, pressure=HEEL_TO_TOE, force=WALKING, force_per_speed=WALKING_PER_SPEED,
    reference_speed=1.2, stride_hz=0.84, stride_power=0.5, excursion_power=WITH_SPEED,
    speeds=(0.8, 1.1), speed_range=(0.7, 1.3),
)
DECLINE = Task(
    "decline", -8.0,
    hip=(22, 21, 19.5, 17, 13.5, 10, 7, 4.5, 2.5, 1, 0.5, 2.5, 7, 13, 18.5, 22.5, 25, 26, 25.5, 23.5),
    knee=(6, 14, 21, 23, 22.5, 22, 22.5, 24, 27, 32, 40, 50.5, 61, 68, 68.5, 61, 46, 27, 11, 4),
    foot=(9, -3, -7.5, -8, -8, -8, -8, -8, -10, -16, -27, -43, -59, -61, -53, -39, -20, 0, 12, 14),
    trunk_deg=1.5, toe_off=0.62, pressure=HEEL_TO_TOE, force=WALKING, force_per_speed=WALKING_PER_SPEED,
    reference_speed=1.0, stride_hz=0.90, stride_power=0.5, excursion_power=WITH_SPEED,
    speeds=(0.8, 1.1), speed_range=(0.7, 1.3),
)
STAIRS_UP = Task(
    "stairs-up", 0.0,
    hip=(57, 56, 53, 48, 42, 35, 28, 21.5, 16, 12, 10, 10.5, 15, 23, 33, 43, 51, 57, 60, 59.5),
    knee=(62, 61, 58, 52, 44, 36, 28, 21, 15, 11.5, 12, 19, 35, 56, 76, 88, 90, 83, 73, 65),
    foot=(-1, -1, -0.5, 0, 0, 0, 0, -0.5, -2, -7, -15, -27, -42, -50, -50, -43, -31, -16, -5, -1),
    trunk_deg=9.0, toe_off=0.63, pressure=(0.46, 0.47, 0.49, 0.52, 0.56, 0.63, 0.73, 0.80, 0.85),
    force=(0.0, 0.30, 0.68, 0.98, 0.94, 0.80, 0.88, 1.12, 0.88, 0.32, 0.0),
    force_per_speed=(0.0, 0.2, 0.3, 0.3, 0.0, -0.3, 0.0, 0.3, 0.1, 0.05, 0.0),
    reference_speed=0.5, stride_hz=0.70, stride_power=1.0, excursion_power=BY_STEPS,
    speeds=(0.45, 0.55), speed_range=(0.4, 0.6),
)
STAIRS_DOWN = Task(
    "stairs-down", 0.0,
    hip=(17, 16.5, 16, 15, 14, 13, 12.5, 12.5, 13.5, 15.5, 18.5, 22.5, 27.5, 32, 34.5, 34, 31, 26, 21, 18),
    knee=(12, 18, 24, 26.5, 26.5, 26.5, 28, 32, 38, 46, 56, 68, 80, 88, 89, 80, 62, 40, 21, 12),
    foot=(-18, -9, -2, 0, 0, 0, 0, -0.5, -3, -8, -16, -27, -38, -44, -42, -35, -28, -24, -22, -20.5),
    trunk_deg=3.0, toe_off=0.63, pressure=FOREFOOT_FIRST,
    force=(0.0, 0.52, 1.12, 1.26, 0.98, 0.82, 0.84, 0.90, 0.70, 0.26, 0.0),
    force_per_speed=(0.0, 0.3, 0.6, 0.6, 0.0, -0.2, 0.0, 0.2, 0.1, 0.05, 0.0),
    reference_speed=0.5, stride_hz=0.80, stride_power=1.0, excursion_power=BY_STEPS,
    speeds=(0.45, 0.55), speed_range=(0.4, 0.6),
)
# fmt: on


def speeds_of(task: Task, count: int | None) -> tuple[float, ...]:
    """The task's own speeds, or ``count`` of them evenly over its range, in m/s to a hundredth."""
    if count is None:
        return task.speeds
    low, high = task.speed_range
    if count == 1:
        return (round((low + high) / 2, 2),)
    return tuple(round(low + (high - low) * i / (count - 1), 2) for i in range(count))


TASKS: dict[str, Task] = {task.name: task for task in (LEVEL, INCLINE, DECLINE, STAIRS_UP, STAIRS_DOWN)}
