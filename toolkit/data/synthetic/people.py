"""The people of the synthetic set: bodies, habits and how the sensors sit on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.data.channels import MUSCLES, SEGMENTS

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Person:
    """One person. Lengths in m, mass in kg, angles in rad; factors are about 1.

    ``amplitude`` and ``posture`` are the gains and offsets of hip, knee and foot angle.
    ``pivot_m`` is where the ground reaction points to, above the hip (see ``ground_reaction``).
    ``placement`` (4, 3) are the IMUs' mounting errors as rotation vectors, ``shift_m`` (4, 3) as offsets.
    """

    name: str
    height_m: float
    mass_kg: float
    cadence: float
    amplitude: Float
    posture: Float
    pivot_m: float
    pressure: float
    emg_gain_mv: Float
    emg_share: Float
    placement: Float
    shift_m: Float


def person(seed: int, index: int) -> Person:
    """Person ``index`` (from 1) of the set of ``seed``; nobody depends on how many others there are."""
    rng = np.random.default_rng([seed, index])
    height = float(np.clip(rng.normal(1.72, 0.08), 1.52, 1.94))
    body_mass_index = float(np.clip(rng.normal(23.5, 2.3), 18.5, 30.0))
    return Person(
        name=f"synthetic-{index:02d}",
        height_m=height,
        mass_kg=round(body_mass_index * height**2, 1),
        cadence=float(np.clip(rng.normal(1.0, 0.035), 0.92, 1.08)),
        amplitude=np.clip(rng.normal(1.0, [0.05, 0.05, 0.04]), 0.88, 1.12),
        posture=np.deg2rad(np.clip(rng.normal(0.0, [2.5, 2.0, 1.5]), -5.0, 5.0)),
        pivot_m=float(np.clip(rng.normal(0.24, 0.02), 0.18, 0.30)),
        pressure=float(np.clip(rng.normal(0.0, 0.015), -0.03, 0.03)),
        emg_gain_mv=0.45 * np.exp(rng.normal(0.0, 0.25, len(MUSCLES))),
        emg_share=np.exp(rng.normal(0.0, 0.12, len(MUSCLES))),
        placement=np.deg2rad(rng.normal(0.0, 4.0, (len(SEGMENTS), 3))),
        shift_m=rng.normal(0.0, 0.012, (len(SEGMENTS), 3)),
    )
