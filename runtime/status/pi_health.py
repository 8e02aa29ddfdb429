"""How hot the computer is, and whether a Raspberry Pi's firmware holds it back.

Temperature: Linux's thermal zones (kernel, Documentation/driver-api/thermal/sysfs-api.rst), in thousandths of a degree.
Throttling: the word that ``vcgencmd get_throttled`` prints (Raspberry Pi documentation, "vcgencmd"). What a machine does not
have is None, never 0.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

#: Bits of the word, as they are now; the same 16 bits higher say whether it has been so since the start.
THROTTLE_BITS: Mapping[str, int] = MappingProxyType(
    {"under_voltage": 0, "frequency_capped": 1, "throttled": 2, "soft_temperature_limit": 3}
)
_SINCE_START = 16
_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"


@dataclass(frozen=True)
class PiHealth:
    """``temperatures_c`` by zone, empty if there is none; ``throttled`` is the firmware's word, None if it gives none."""

    temperatures_c: Mapping[str, float]
    throttled: int | None

    @property
    def hottest_c(self) -> float | None:
        """The warmest zone, None without any."""
        return max(self.temperatures_c.values(), default=None)

    def now(self) -> dict[str, bool]:
        """What holds the machine back now; empty if it cannot be known."""
        return self._bits(0)

    def since_start(self) -> dict[str, bool]:
        """What has held it back at any time since it was switched on."""
        return self._bits(_SINCE_START)

    def _bits(self, shift: int) -> dict[str, bool]:
        word = self.throttled
        if word is None:
            return {}
        return {name: bool(word >> (bit + shift) & 1) for name, bit in THROTTLE_BITS.items()}


def read_pi_health(root: Path = Path("/"), vcgencmd: str | None = None) -> PiHealth:
    """Read both, below ``root``; ``vcgencmd``: the program that is asked where the kernel does not tell.

    It may start a program for some milliseconds: not for an event loop. Never raises.
    """
    temperatures = dict(filter(None, map(_zone, sorted(root.glob("sys/class/thermal/thermal_zone*")))))
    if vcgencmd is None and root == Path("/"):
        vcgencmd = shutil.which("vcgencmd")
    return PiHealth(MappingProxyType(temperatures), _throttled(root, vcgencmd))


def _zone(folder: Path) -> tuple[str, float] | None:
    try:
        kind, text = (folder / "type").read_text().strip(), (folder / "temp").read_text()
        return f"{folder.name.removeprefix('thermal_zone')}:{kind}", int(text) / 1000
    except (OSError, ValueError):  # a zone that is off answers with an error
        return None


def _throttled(root: Path, program: str | None) -> int | None:
    try:
        return int((root / _THROTTLED).read_text(), 16)
    except (OSError, ValueError):
        pass
    if program is None:
        return None
    try:
        done = subprocess.run([program, "get_throttled"], capture_output=True, text=True, timeout=2)
        return int(done.stdout.strip().removeprefix("throttled="), 16) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
