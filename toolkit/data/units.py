"""From the unit a file has to the unit the contract wants."""

from __future__ import annotations

import math

from toolkit.contract import UNITS
from toolkit.data.channels import GRAVITY, imu_stream
from toolkit.errors import RecordingError

# unit -> (the unit it becomes, factor). Nm is divided by body mass besides.
_BECOMES = {
    "g": ("m/s^2", GRAVITY),
    "deg/s": ("rad/s", math.pi / 180.0),
    "deg": ("rad", math.pi / 180.0),
    "V": ("mV", 1e3),
    "uV": ("mV", 1e-3),
    "Nm": ("Nm/kg", 1.0),
}

#: The units each stream may end in.
ALLOWED = {
    "imu": ("m/s^2", "rad/s"),
    "emg": ("mV", "1"),
    "moments": ("Nm/kg",),
}


def stream_of(unit: str) -> str | None:
    """The stream that a channel in ``unit`` is usually of; None if a unit of none."""
    becomes, _ = _BECOMES.get(unit, (unit, 1.0))
    return next((stream for stream, allowed in ALLOWED.items() if becomes in allowed), None)


def conversion(unit: str, mass_kg: float, stream: str, channel: str, where: str) -> tuple[str, float]:
    """The unit that ``unit`` becomes in ``channel`` of ``stream``, and the factor.

    RecordingError if the unit is not known, cannot be in that stream, or is not the one that a channel of
    the reference contract has.
    """
    if unit not in UNITS:
        raise RecordingError(f"{where}: unit {unit!r} is not known; allowed: {', '.join(UNITS)}")
    becomes, factor = _BECOMES.get(unit, (unit, 1.0))
    allowed = ALLOWED.get(stream, UNITS)
    reference = {c.name: c.unit for c in imu_stream().channels}.get(channel)
    if becomes not in allowed or (reference is not None and becomes != reference):
        to = (reference,) if reference is not None else allowed
        fitting = ", ".join(u for u in UNITS if _BECOMES.get(u, (u, 1.0))[0] in to)
        raise RecordingError(
            f"{where}: unit {unit!r} cannot be in channel {channel!r} of stream {stream!r}; allowed: {fitting}"
        )
    return becomes, factor / mass_kg if unit == "Nm" else factor
