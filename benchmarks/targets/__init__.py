"""Where a bench runs: one table of target kinds, each module imported only when it is named with ``--on``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.evaluation.windows import Evaluation
from benchmarks.peers import Peer
from benchmarks.records import Measured, Skipped
from quantization.graph.graph_file import GraphFile
from toolkit.errors import UsageError
from toolkit.model.checkpoint import Checkpoint

#: Called with what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Job:
    """What a target is asked to judge: a bundle's graphs, and those of peers, on the evaluation windows."""

    bundle: Path
    checkpoint: Checkpoint
    graphs: tuple[GraphFile, ...]
    data: Evaluation
    threads: int
    seed: int
    progress: Progress
    peers: tuple[Peer, ...] = ()


class Judge(Protocol):
    """What ``judge`` of a target's module must be."""

    def __call__(self, job: Job, target: str) -> tuple[list[Measured], list[Skipped]]:
        """Run the job on ``target`` (as the user wrote it); EdgetoolError rather than a row that is not true."""
        ...


#: Kind of target (the text before any colon) -> module with ``judge``.
TARGETS: dict[str, str] = {
    "host": "benchmarks.targets.host",
    "qemu": "benchmarks.targets.qemu",
    "serial": "benchmarks.targets.serial",
    "pi-emulated": "benchmarks.targets.pi",
    "ssh": "benchmarks.targets.pi",
}
#: Kinds that are named without a colon.
_BARE = ("host", "pi-emulated")

#: How targets are written.
EXAMPLES = ("host", "qemu:cortex-m4", "serial:/dev/ttyACM0", "pi-emulated", "ssh://pi@raspberrypi")


def judge_for(target: str) -> Judge:
    """The ``judge`` function for a target; UsageError names the kinds there are."""
    kind = target.partition(":")[0]
    if kind not in TARGETS or (kind in _BARE) != (":" not in target):
        raise UsageError(f"target {target!r} is not known; allowed: {', '.join(EXAMPLES)}")
    judge: Judge = importlib.import_module(TARGETS[kind]).judge
    return judge


def require_known(targets: Sequence[str]) -> None:
    """Refuse targets that cannot work, before any work is done.

    UsageError for an unknown, missing or repeated target, and what ``require`` of a target's module raises: a port
    that cannot be opened, a compiler or an emulator that is not installed.
    """
    if not targets:
        raise UsageError(f"no target is given; allowed: {', '.join(EXAMPLES)}")
    for place, target in enumerate(targets):
        judge_for(target)
        if target in targets[:place]:
            raise UsageError(f"target {target!r} is given twice")
    for target in targets:
        module = importlib.import_module(TARGETS[target.partition(":")[0]])
        getattr(module, "require", _nothing)(target)


def _nothing(target: str) -> None:
    """What a target asks for that only needs what every bench needs."""
