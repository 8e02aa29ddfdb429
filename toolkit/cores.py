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
class Part:
    """A microcontroller with the core, which an emulation's times are estimated for: its clock in Hz, and the cycles that an
    instruction of ours takes there, which is an assumption and not a measurement."""

    name: str
    clock_hz: int
    cycles_per_instruction: float


@dataclass(frozen=True)
class Core:
    """``flags`` are its compiler options (the float ABI is hard where there is an FPU), ``tools`` what its compiler and
    archiver begin with; empty: those of the machine that builds. ``part`` is one to estimate times for."""

    name: str
    kernels: Kernels = "portable"
    flags: tuple[str, ...] = ()
    tools: str = ""
    part: Part | None = None


def _cortex(name: str, kernels: Kernels, part: Part, *options: str) -> Core:
    flags = (f"-mcpu={name}", "-mthumb", "-mfloat-abi=hard", *options)
    return Core(name, kernels, flags, "arm-none-eabi-", part)


# Cycles an instruction: 1.5 where a load-multiple of N registers takes N + 1 cycles and counts as one instruction; 1.0 on the
# M7, which can issue two at once; 2.0 on the M55, whose vector instructions take two beats of two cycles in all.
_M4 = Part("STM32F405", 168_000_000, 1.5)
_M7 = Part("STM32F767", 216_000_000, 1.0)
_M33 = Part("STM32U585", 160_000_000, 1.5)
_M55 = Part("Alif Ensemble E3 (HE core)", 160_000_000, 2.0)


CORES: dict[str, Core] = {
    core.name: core
    for core in (
        Core("c99"),
        _cortex("cortex-m4", "dsp", _M4, "-mfpu=fpv4-sp-d16"),
        _cortex("cortex-m7", "dsp", _M7, "-mfpu=fpv5-sp-d16"),
        _cortex("cortex-m33", "dsp", _M33, "-mfpu=fpv5-sp-d16"),
        _cortex("cortex-m55", "helium", _M55),
    )
}


def require_core(name: str) -> Core:
    """The core of that name; UsageError names those there are."""
    if name not in CORES:
        raise UsageError(f"core {name!r} is not known; allowed: {', '.join(CORES)}")
    return CORES[name]
