"""From the unit a file has to the unit the contract wants."""

from __future__ import annotations

import math

from toolkit.data.channels import GRAVITY
from toolkit.errors import RecordingError
from toolkit.records import UNITS

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
    "angles": ("rad",),
}


def conversion(unit: str, mass_kg: float, stream: str, where: str) -> tuple[str, float]:
    """The unit that ``unit`` becomes in ``stream`` and the factor; RecordingError if it cannot be there."""
    if unit not in UNITS:
        raise RecordingError(f"{where}: unit {unit!r} is not known; allowed: {', '.join(UNITS)}")
    becomes, factor = _BECOMES.get(unit, (unit, 1.0))
    allowed = ALLOWED.get(stream)
    if allowed is not None and becomes not in allowed:
        fitting = [u for u in UNITS if _BECOMES.get(u, (u, 1.0))[0] in allowed]
        raise RecordingError(
            f"{where}: unit {unit!r} cannot be in stream {stream!r}; allowed: {', '.join(fitting)}"
        )
    return becomes, factor / mass_kg if unit == "Nm" else factor
