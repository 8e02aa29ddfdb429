"""Compiles generated C for the host and for emulated boards, and runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path

from quantization.c_emitter import Emission
from quantization.c_emitter.project import WARNINGS
from quantization.kernels import INCLUDE_OPTIONS
from tests.tools import require as require
from toolkit.contract import SensorContract
from toolkit.cores import CORES

BOARD_FILES = Path(__file__).parent / "target"
#: Functions that are compiled without the source around them show no tensors.
NO_PROBE = "-DPROBE(tensor,values,bytes)=((void)0)"
STRICT = ("-std=c99", *WARNINGS, "-ffp-contract=off", NO_PROBE)


@dataclass(frozen=True)
class Board:
    """An emulated board: QEMU's machine, where code and data lie, instructions in 100 ticks of SysTick."""

    machine: str
    code: str
    data: str
    instructions_per_100_ticks: int


#: One instruction is 1 ns of virtual time with -icount shift=0; SysTick counts the processor clock (25, 25, 20, 32 MHz).
BOARDS: dict[str, Board] = {
    "cortex-m4": Board("mps2-an386", "0x0", "0x20000000", 4000),
    "cortex-m7": Board("mps2-an500", "0x0", "0x20000000", 4000),
    "cortex-m33": Board("mps2-an505", "0x10000000", "0x38000000", 5000),
    "cortex-m55": Board("mps3-an547", "0x10000000", "0x30000000", 3125),
}


def run(command: Sequence[str | Path], timeout: float = 120) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def write(files: dict[str, str] | Emission, folder: Path) -> Path:
    """Put an emission's files into ``folder``."""
    contents = dict(files.files) if isinstance(files, Emission) else {k: v.encode() for k, v in files.items()}
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def unchecked(contract: SensorContract, **fields: object) -> SensorContract:
    """A contract with ``fields`` that it would refuse itself: the emitter relies on nobody's check but its own."""
    made = copy(contract)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def build_image(folder: Path, main: str, core: str, *sources: Path) -> Path:
    """A bare image from an emission in ``folder`` (its library is built with its own Makefile) and a main."""
    run(["make", "-s", "-C", folder, "libedgetool_model.a"])
    return link_image(folder, main, core, *sources, folder / "libedgetool_model.a")


def link_image(folder: Path, main: str, core: str, *sources: Path) -> Path:
    """A bare image of ``main`` and ``sources`` for the board of ``target``."""
    board = BOARDS[core]
    (folder / "image_main.c").write_text(main)
    image = folder / f"image-{core}.elf"
    run(
        [
            "arm-none-eabi-gcc",
            *CORES[core].flags,
            "-std=c99",
            "-O2",
            NO_PROBE,
            "-nostartfiles",
            "--specs=nano.specs",
            f"-I{folder}",
            f"-I{BOARD_FILES}",
            *INCLUDE_OPTIONS,
            BOARD_FILES / "startup.c",
            folder / "image_main.c",
            *sources,
            "-T",
            BOARD_FILES / "image.ld",
            f"-Wl,--gc-sections,--defsym=CODE_ORIGIN={board.code},--defsym=RAM_ORIGIN={board.data}",
            "-o",
            image,
        ]
    )
    return image


def emulate(image: Path, core: str) -> tuple[int, str]:
    """Exit status and output of an image on its emulated board, instructions counted."""
    done = subprocess.run(
        [
            "qemu-system-arm",
            "-M",
            BOARDS[core].machine,
            "-nographic",
            "-monitor",
            "none",
            "-serial",
            "none",
            "-icount",
            "shift=0",
            "-semihosting-config",
            "enable=on,target=native",
            "-kernel",
            str(image),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def instructions(ticks: int, core: str) -> int:
    """Instructions of a number of SysTick ticks; exact to one tick."""
    return (ticks & 0xFFFFFF) * BOARDS[core].instructions_per_100_ticks // 100
