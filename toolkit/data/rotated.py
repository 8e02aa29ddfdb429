"""Every IMU of a recording turned by the same angle, each about an axis of its own: sensors put on askew, to test with."""

from __future__ import annotations

import hashlib

import numpy as np

from toolkit.data.imus import imus
from toolkit.data.virtual_imu import rotation
from toolkit.data.worn import turned
from toolkit.records import Recording


def rotated_by(recording: Recording, degrees: float) -> Recording | None:
    """``recording`` with each IMU turned by ``degrees`` about a random axis; None if it has no IMU to turn.

    The axis depends on person and IMU alone, so that a person wears the sensors alike in every trial and for every model.
    """
    rotations = {}
    for signal in recording.signals.values():
        for imu in imus(signal.spec):
            digest = hashlib.sha256(f"{recording.person}/{imu.segment}".encode()).digest()
            axis = np.random.default_rng(int.from_bytes(digest[:8], "little")).normal(size=3)
            rotations[imu.segment] = rotation(axis, np.array([np.radians(degrees)]))[0]
    return turned(recording, rotations) if rotations else None
