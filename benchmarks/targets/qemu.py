"""``qemu:cortex-m4`` and the like: the bundle's C in the firmware, on an emulated board, fed over its emulated UART."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.records import Judged
from benchmarks.targets.device import Board, judge_link
from benchmarks.targets.device_data import int8_graphs
from benchmarks.targets.device_image import build_image, describe_build
from benchmarks.targets.first_difference import first_tensor
from benchmarks.targets.job import Job
from firmware_bridge.target.boards import BOARDS, require_board
from firmware_bridge.target.build import require_compiler
from firmware_bridge.target.emulator import Emulator, require_emulator
from firmware_bridge.target.link import TargetLink, open_port
from quantization.c_emitter.bundle_files import FOLDER
from toolkit.errors import UsageError

#: A core's name stands for the first board that has it.
CORE_BOARDS = {board.core: board.name for board in reversed(BOARDS.values())}
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


def judge(job: Job, target: str) -> Judged:
    """Build, boot, feed, compare."""
    name = board_name(target)
    emulator_version = require_emulator()
    data = job.device_data  # takes its time: no board is to wait for it
    with tempfile.TemporaryDirectory(prefix="edgetool-bench-") as scratch:
        folder = Path(scratch)
        job.progress(f"{target} build", 0, 1)
        image = build_image(job.bundle, name, folder)
        job.progress(f"{target} build", 1, 1)
        board = Board(
            target=target,
            label="emulated",
            how=HOW,
            version=f"{emulator_version}; {image.compiler}",
            model_bytes={kind: len(graph.content) for kind, graph in int8_graphs(job.bundle).items()},
            model_hash=image.model_hash,
            contract_hash=job.bundle.contract.hash,
            image=image,
        )
        with Emulator(image) as emulator, TargetLink(open_port(emulator.url), target) as link:
            _await_greeting(emulator, link)
            rows = judge_link(job, board, link)
        for row in rows:
            first = row.figures["bit_exact"]["first"]
            if first is not None:
                first["tensor"] = first_tensor(data, image, folder / FOLDER, first)
        return Judged(tuple(rows), build=describe_build(image, folder, emulator_version))


def _await_greeting(emulator: Emulator, link: TargetLink) -> None:
    """Wait for the board's greeting, so that no request disturbs its golden vectors; one that nobody heard is had again."""
    if not link.await_start(_HEARD_S):
        emulator.reset()
        link.await_start(_START_S)


def board_name(target: str) -> str:
    """The board of a ``qemu:`` target; UsageError names what is allowed."""
    name = target.partition(":")[2]
    if name not in CORE_BOARDS and name not in BOARDS:
        cores = list(dict.fromkeys(board.core for board in BOARDS.values()))
        raise UsageError(
            f"target {target!r} is not known; allowed: {', '.join(f'qemu:{n}' for n in (*cores, *BOARDS))}"
        )
    return CORE_BOARDS.get(name, name)
