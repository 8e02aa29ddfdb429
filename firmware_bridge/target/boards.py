"""The boards that the firmware runs on. Adding one is one row here and one port file, ``firmware/ports/<port>.c``."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.cores import CORES
from toolkit.errors import UsageError


@dataclass(frozen=True)
class Board:
    """A board that the image is built for. ``core`` is the one that its C is generated for; sizes and origins are in bytes.

    ``machine`` is QEMU's; ``clock_hz`` is what the image says of itself there, which on silicon may be another.
    """

    name: str
    core: str
    port: str
    machine: str
    code_origin: int
    code_bytes: int
    ram_origin: int
    ram_bytes: int
    clock_hz: int

    @property
    def flags(self) -> tuple[str, ...]:
        """Compiler options of its core."""
        return CORES[self.core].flags


#: Memory of the MPS boards that an image may use.
_MPS_BYTES = 512 * 1024


def _mps(name: str, core: str, code: int, ram: int, clock_hz: int) -> Board:
    port = name.replace("-", "_")
    return Board(name, core, port, name, code, _MPS_BYTES, ram, _MPS_BYTES, clock_hz)


BOARDS: dict[str, Board] = {
    board.name: board
    for board in (
        _mps("mps2-an386", "cortex-m4", 0x0, 0x20000000, 25_000_000),
        _mps("mps2-an500", "cortex-m7", 0x0, 0x20000000, 25_000_000),
        _mps("mps2-an505", "cortex-m33", 0x10000000, 0x38000000, 20_000_000),
        _mps("mps3-an547", "cortex-m55", 0x10000000, 0x30000000, 32_000_000),
        Board(
            name="stm32f405",
            core="cortex-m4",
            port="stm32f405",
            machine="netduinoplus2",
            code_origin=0x08000000,
            code_bytes=1024 * 1024,
            ram_origin=0x20000000,
            ram_bytes=128 * 1024,
            clock_hz=168_000_000,
        ),
    )
}


def require_board(name: str) -> Board:
    """The board of that name; UsageError names those there are."""
    if name not in BOARDS:
        raise UsageError(
            f"board {name!r} is not known; allowed: {', '.join(BOARDS)}; docs/FIRMWARE.md says how to add one"
        )
    return BOARDS[name]
