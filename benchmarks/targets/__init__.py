"""Where a bench runs: one table of target kinds, each module imported only when it is named with ``--on``.

To add one: a file with a ``judge`` function, and a row here.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.records import Judged
from benchmarks.targets.job import Job
from toolkit.errors import UsageError


class Judge(Protocol):
    """What ``judge`` of a target's module must be."""

    def __call__(self, job: Job, target: str) -> Judged:
        """Run the job on ``target`` (as the user wrote it); EdgetoolError rather than a row that is not true."""
        ...


@dataclass(frozen=True)
class Kind:
    """A kind of target: its module, with ``judge`` and maybe ``require``, and how a user writes one of it."""

    module: str
    example: str


#: Kind of target (the text before any colon) -> its row. A kind whose example has no colon takes no options.
TARGETS: dict[str, Kind] = {
    "host": Kind("benchmarks.targets.host", "host"),
    "qemu": Kind("benchmarks.targets.qemu", "qemu:cortex-m4"),
    "serial": Kind("benchmarks.targets.serial", "serial:/dev/ttyACM0"),
    "pi-emulated": Kind("benchmarks.targets.pi", "pi-emulated"),
    "ssh": Kind("benchmarks.targets.pi", "ssh://pi@raspberrypi"),
}


def _allowed() -> str:
    return ", ".join(kind.example for kind in TARGETS.values())


def _module(target: str) -> Any:
    """UsageError names the kinds there are."""
    kind = TARGETS.get(target.partition(":")[0])
    if kind is None or (":" in kind.example) != (":" in target):
        raise UsageError(f"target {target!r} is not known; allowed: {_allowed()}")
    return importlib.import_module(kind.module)


def judge_for(target: str) -> Judge:
    """The ``judge`` function for a target; UsageError names the kinds there are."""
    judge: Judge = _module(target).judge
    return judge


def require_known(targets: Sequence[str]) -> None:
    """Refuse targets that cannot work, before any work is done.

    UsageError for an unknown, missing or repeated target, and what ``require`` of a target's module raises: a port
    that cannot be opened, a compiler or an emulator that is not installed.
    """
    if not targets:
        raise UsageError(f"no target is given; allowed: {_allowed()}")
    modules = [_module(target) for target in targets]
    for place, target in enumerate(targets):
        if target in targets[:place]:
            raise UsageError(f"target {target!r} is given twice")
    for target, module in zip(targets, modules):
        getattr(module, "require", _nothing)(target)


def _nothing(target: str) -> None:
    """What a target asks for that only needs what every bench needs."""
