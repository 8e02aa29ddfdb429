"""The reference sensor contract's channel names, order, units and signs (DESIGN's reference model).

Axes of every IMU are the segment's own: x forward, y up along the segment, z to the right. Moments are
the internal net moments of the right leg, about z, with the sign that the name says: a positive
``knee_extension_moment`` extends the knee. They are the signs of OpenSim's gait2392 family of models,
whose coordinates are hip_flexion_r, knee_angle_r (extension positive) and ankle_angle_r (dorsiflexion
positive), so push-off at the ankle is negative.
"""

from __future__ import annotations

from collections.abc import Sequence

from toolkit.contract import Channel, StreamSpec

SEGMENTS = ("foot", "shank", "thigh", "trunk")
AXES = ("x", "y", "z")
MUSCLES = (
    "soleus",
    "med_gas",
    "lat_gas",
    "tib_ant",
    "semimem",
    "bifemlh",
    "vas_lat",
    "rect_fem",
    "vas_med",
)
MOMENTS = ("hip_flexion_moment", "knee_extension_moment", "ankle_dorsiflexion_moment")

IMU_RATE_HZ = 200.0
EMG_RATE_HZ = 1000.0
MOMENT_RATE_HZ = 100.0

#: Entry of a recording's provenance: its raw EMG went through such a band-pass before it was published.
BAND_PASSED = "emg_band_pass"

#: Standard gravity in m/s^2 (ISO 80000-3).
GRAVITY = 9.80665


def inertial_channels(segments: Sequence[str]) -> tuple[Channel, ...]:
    """Six channels for each of ``segments``: ``{segment}_{accel,gyro}_{x,y,z}`` in m/s^2 and rad/s."""
    kinds = (("accel", "m/s^2"), ("gyro", "rad/s"))
    return tuple(
        Channel(f"{segment}_{kind}_{axis}", unit)
        for segment in segments
        for kind, unit in kinds
        for axis in AXES
    )


def imu_stream(rate_hz: float = IMU_RATE_HZ) -> StreamSpec:
    """Stream "imu": 24 channels ``{segment}_{accel,gyro}_{x,y,z}`` in m/s^2 and rad/s at ``rate_hz``."""
    return StreamSpec("imu", rate_hz, inertial_channels(SEGMENTS))


def emg_stream(rate_hz: float = EMG_RATE_HZ, unit: str = "mV") -> StreamSpec:
    """Stream "emg": the nine muscles in ``unit`` ("mV" raw, "1" an envelope over its maximum)."""
    return StreamSpec("emg", rate_hz, tuple(Channel(name, unit) for name in MUSCLES))


def moment_stream(rate_hz: float = MOMENT_RATE_HZ) -> StreamSpec:
    """Stream "moments": hip flexion, knee extension and ankle dorsiflexion positive, in Nm/kg."""
    return StreamSpec("moments", rate_hz, tuple(Channel(name, "Nm/kg") for name in MOMENTS))
