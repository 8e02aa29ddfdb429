"""Published normal ranges of gait, as data: where a peak lies in the cycle and between which values.

Each range is rounded outwards from the means and deviations in its source, for adults at about the speed
of the task here. Sources differ by 5 deg and 0.3 Nm/kg among themselves (marker set, hip centre), which
is why the ranges are wide: they tell gait from not gait, not one laboratory from another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WINTER = "Winter 1991, The Biomechanics and Motor Control of Human Gait"
SCHWARTZ = "Schwartz, Rozumalski, Trost 2008, J Biomech 41:1639"
PERRY = "Perry, Burnfield 2010, Gait Analysis"
LAY = "Lay, Hass, Gregor 2006, J Biomech 39:1621"
RIENER = "Riener, Rabuffetti, Frigo 2002, Gait Posture 15:32"


@dataclass(frozen=True)
class Range:
    """In ``task``, the ``extreme`` of ``quantity`` within ``search`` (percent of the cycle) lies between
    ``low`` and ``high`` and its place within ``place``."""

    task: str
    quantity: str
    extreme: Literal["max", "min"]
    search: tuple[int, int]
    place: tuple[int, int]
    low: float
    high: float
    source: str


# fmt: off
RANGES = (
    Range("level", "hip angle", "max", (70, 100), (80, 100), 24, 40, WINTER),
    Range("level", "hip angle", "min", (30, 70), (46, 56), -20, -4, WINTER),
    Range("level", "knee angle", "max", (0, 30), (8, 20), 10, 25, WINTER),
    Range("level", "knee angle", "min", (25, 50), (33, 45), 0, 13, WINTER),
    Range("level", "knee angle", "max", (50, 90), (67, 76), 52, 70, WINTER),
    Range("level", "ankle angle", "min", (0, 20), (3, 12), -12, 0, WINTER),
    Range("level", "ankle angle", "max", (20, 55), (36, 50), 5, 16, WINTER),
    Range("level", "ankle angle", "min", (50, 80), (58, 68), -26, -6, WINTER),
    Range("level", "hip moment", "min", (0, 30), (3, 20), -1.2, -0.4, SCHWARTZ),
    Range("level", "hip moment", "max", (35, 70), (45, 63), 0.2, 1.1, SCHWARTZ),
    Range("level", "knee moment", "max", (0, 30), (8, 20), 0.25, 0.85, WINTER),
    Range("level", "knee moment", "min", (25, 55), (33, 48), -0.5, 0.0, WINTER),
    Range("level", "ankle moment", "max", (0, 20), (2, 12), 0.02, 0.35, WINTER),
    Range("level", "ankle moment", "min", (30, 62), (43, 53), -1.8, -1.1, WINTER),
    Range("level", "vertical force", "max", (0, 28), (10, 20), 0.95, 1.35, PERRY),
    Range("level", "vertical force", "min", (20, 45), (26, 36), 0.55, 0.95, PERRY),
    Range("level", "vertical force", "max", (35, 62), (42, 53), 0.95, 1.25, PERRY),
    Range("incline", "hip angle", "max", (70, 100), (80, 100), 35, 60, LAY),
    Range("incline", "knee angle", "max", (0, 30), (5, 20), 18, 45, LAY),
    Range("incline", "ankle angle", "max", (20, 55), (30, 50), 8, 22, LAY),
    Range("incline", "hip moment", "min", (0, 30), (3, 25), -1.5, -0.4, LAY),
    Range("incline", "ankle moment", "min", (30, 62), (43, 54), -1.9, -1.1, LAY),
    Range("decline", "knee angle", "max", (50, 90), (62, 75), 60, 80, LAY),
    Range("decline", "knee moment", "max", (40, 62), (48, 58), 0.7, 1.5, LAY),
    Range("decline", "ankle moment", "min", (30, 62), (42, 53), -1.6, -0.9, LAY),
    Range("stairs-up", "hip angle", "max", (75, 100), (83, 98), 48, 72, RIENER),
    Range("stairs-up", "knee angle", "max", (60, 100), (70, 85), 80, 105, RIENER),
    Range("stairs-up", "knee moment", "max", (0, 35), (8, 25), 0.8, 1.6, RIENER),
    Range("stairs-up", "ankle moment", "min", (35, 65), (43, 56), -1.5, -0.8, RIENER),
    Range("stairs-down", "knee angle", "max", (50, 90), (62, 75), 78, 102, RIENER),
    Range("stairs-down", "knee moment", "max", (35, 65), (46, 58), 0.8, 1.6, RIENER),
    Range("stairs-down", "ankle angle", "min", (80, 100), (88, 100), -32, -12, RIENER),
    Range("stairs-down", "ankle moment", "min", (0, 25), (6, 20), -1.6, -0.7, RIENER),
    Range("stairs-down", "hip angle", "max", (55, 90), (65, 80), 25, 45, RIENER),
)
# fmt: on
