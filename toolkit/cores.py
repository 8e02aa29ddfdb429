"""The processor cores that C is generated for: adding one is adding a row.

A core is named by ``convert --core``, by a board (firmware_bridge/target/boards.py) and by the targets ``qemu:CORE``. The
table is down here because the generator of C and the firmware's build both need its rows, and neither imports the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from toolkit.errors import UsageError

#: Which kernels a core runs: C99 alone, assembly with the DSP extension of Armv7E-M and Armv8-M, or with Helium (MVE).
Kernels = Literal["portable", "dsp", "helium"]


@dataclass(frozen=True)
class Core:
    """``flags`` are its compiler options (the float ABI is hard where there is an FPU), ``tools`` what its compiler and
    archiver begin with; empty: those of the machine that builds."""

    name: str
    kernels: Kernels = "portable"
    flags: tuple[str, ...] = ()
    tools: str = ""


def _cortex(name: str, kernels: Kernels, *options: str) -> Core:
    flags = (f"-mcpu={name}", "-mthumb", "-mfloat-abi=hard", *options)
    return Core(name, kernels, flags, "arm-none-eabi-")


CORES: dict[str, Core] = {
    core.name: core
    for core in (
        Core("c99"),
        _cortex("cortex-m4", "dsp", "-mfpu=fpv4-sp-d16"),
        _cortex("cortex-m7", "dsp", "-mfpu=fpv5-sp-d16"),
        _cortex("cortex-m33", "dsp", "-mfpu=fpv5-sp-d16"),
        _cortex("cortex-m55", "helium"),
    )
}


def require_core(name: str) -> Core:
    """The core of that name; UsageError names those there are."""
    if name not in CORES:
        raise UsageError(f"core {name!r} is not known; allowed: {', '.join(CORES)}")
    return CORES[name]
