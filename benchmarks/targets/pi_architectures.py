"""The systems that a Raspberry Pi may run, as rows: what Debian, pip and QEMU call them."""

from __future__ import annotations

from dataclasses import dataclass

#: LiteRT asks /proc/cpuinfo for the processor and crashes on what it does not know: a Raspberry Pi 4's.
_CPUINFO = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

Model\t\t: Raspberry Pi 4 Model B Rev 1.4
"""

#: The same of a Raspberry Pi 2, which has no other system.
_CPUINFO_32 = """processor\t: 0
model name\t: ARMv7 Processor rev 5 (v7l)
BogoMIPS\t: 38.40
Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm
CPU implementer\t: 0x41
CPU architecture: 7
CPU variant\t: 0x0
CPU part\t: 0xc07
CPU revision\t: 5

Model\t\t: Raspberry Pi 2 Model B Rev 1.1
"""


@dataclass(frozen=True)
class Architecture:
    """What a Pi's system is built for: ``machine`` as its kernel calls it, ``debian`` as its packages do.

    ``platforms`` are pip's tags, newest first; ``packages`` are Debian's beside Python, for what PyPI has no wheel of.
    """

    machine: str
    debian: str
    emulator: str
    processor: str
    compiler: str
    compiler_packages: str
    platforms: tuple[str, ...]
    cpuinfo: str
    packages: tuple[str, ...] = ()
    unpacked: tuple[str, ...] = ()


ARM64 = Architecture(
    machine="aarch64",
    debian="arm64",
    emulator="qemu-aarch64-static",
    processor="cortex-a72",
    compiler="aarch64-linux-gnu-gcc",
    compiler_packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    platforms=(*(f"manylinux_2_{minor}_aarch64" for minor in range(17, 37)), "manylinux2014_aarch64"),
    cpuinfo=_CPUINFO,
)
#: Raspberry Pi OS of 32 bits. PyPI has no numpy for it (piwheels does): Debian's own.
ARMV7L = Architecture(
    machine="armv7l",
    debian="armhf",
    emulator="qemu-arm-static",
    processor="cortex-a7",
    compiler="arm-linux-gnueabihf-gcc",
    compiler_packages="gcc-arm-linux-gnueabihf libc6-dev-armhf-cross",
    platforms=(*(f"manylinux_2_{minor}_armv7l" for minor in range(17, 37)), "manylinux2014_armv7l"),
    cpuinfo=_CPUINFO_32,
    packages=("python3-numpy",),
    unpacked=("libblas3_", "liblapack3_", "libgfortran5_"),
)
