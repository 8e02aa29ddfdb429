"""``qemu:cortex-m4`` and the like: the bundle's C in the firmware, on an emulated board, fed over its emulated UART."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.records import Measured, Skipped
from benchmarks.targets import Job
from benchmarks.targets.device import Board, judge_link, model_bytes
from benchmarks.targets.device_data import device_data
from benchmarks.targets.first_difference import first_tensor
from firmware_bridge.target.boards import BOARDS, require_board
from firmware_bridge.target.build import Image, build, require_compiler
from firmware_bridge.target.emulator import Emulator, require_emulator
from firmware_bridge.target.link import TargetLink, open_port
from quantization.bundle import Bundle
from quantization.c_emitter.bundle_files import source_files
from toolkit.errors import UsageError

#: A core's name stands for the board that is emulated for it.
CORE_BOARDS = {
    "cortex-m4": "mps2-an386",
    "cortex-m7": "mps2-an500",
    "cortex-m33": "mps2-an505",
    "cortex-m55": "mps3-an547",
}
#: Longest that an emulated board takes to run its golden vectors and greet, s.
_START_S = 20.0
#: QEMU drops what the board says before the pseudo-terminal is opened: then its greeting does not come, and waiting is in vain.
_HEARD_S = 1.0
HOW = (
    "generated C in the firmware image, on QEMU with instructions counted; windows sent over the emulated UART. "
    "Instructions are not cycles, and a load-multiple counts as one"
)


def require(target: str) -> None:
    """UsageError for an unknown board, MissingDependencyError without its compiler or the emulator."""
    require_board(board_name(target))
    require_compiler()
    require_emulator()


def judge(job: Job, target: str) -> tuple[list[Measured], list[Skipped]]:
    """Build, boot, feed, compare."""
    name, sizes = board_name(target), model_bytes(job)
    version = require_emulator()
    device_data(job)  # takes its time: no board is to wait for it
    with tempfile.TemporaryDirectory(prefix="edgetool-bench-") as folder:
        job.progress(f"{target} build", 0, 1)
        image = build_image(job.bundle, name, Path(folder))
        job.progress(f"{target} build", 1, 1)
        board = Board(
            target=target,
            label="emulated",
            how=HOW,
            version=f"{version}; {image.compiler}",
            model_bytes=sizes,
            model_hash=image.model_hash,
            contract_hash=job.checkpoint.contract.hash,
            image=image,
        )
        with Emulator(image) as emulator, TargetLink(open_port(emulator.url), target) as link:
            _started(emulator, link)
            rows = judge_link(job, board, link)
        for row in rows:
            first = row.figures["bit_exact"]["first"]
            if first is not None:
                first["tensor"] = first_tensor(device_data(job), image, Path(folder) / "c", first)
        return rows, []


def _started(emulator: Emulator, link: TargetLink) -> None:
    """Wait for the board's greeting, so that no request disturbs its golden vectors; one that nobody heard is had again."""
    if not link.await_start(_HEARD_S):
        emulator.reset()
        link.await_start(_START_S)


def board_name(target: str) -> str:
    """The board of a ``qemu:`` target; UsageError names what is allowed."""
    name = target.partition(":")[2]
    if name not in CORE_BOARDS and name not in BOARDS:
        raise UsageError(
            f"target {target!r} is not known; allowed: {', '.join(f'qemu:{n}' for n in (*CORE_BOARDS, *BOARDS))}"
        )
    return CORE_BOARDS.get(name, name)


def build_image(bundle: Path, board: str, folder: Path, prefer: str | None = None) -> Image:
    """The image of ``board`` for a bundle, with C generated for its core; ``prefer`` as the bundle's C was, else speed."""
    facts = require_board(board)
    write_c(Bundle.load(bundle), facts.target, folder, prefer)
    return build(folder / "c", facts, folder / f"{board}.elf")


def write_c(loaded: Bundle, target: str, folder: Path, prefer: str | None = None) -> None:
    """The folder ``c`` of a bundle for ``target``, into ``folder``."""
    if prefer is None:
        prefer = str((loaded.manifest.get("c") or {}).get("prefer", "speed"))
    golden = {item.stream.name: loaded.golden[item.stream.name] for item in loaded.contract.inputs}
    files, _ = source_files(loaded.graphs, loaded.contract, golden, target, prefer)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
