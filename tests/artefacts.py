"""What is expensive to make and the same for all tests: made once in a run, in whichever process asks first."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: Synthetic people of another seed than those of training; the split names some of them as test people.
DATA = "synthetic:people=4,seconds=4,tasks=level+stairs-up,seed=7"


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder ``name`` of this run, filled by ``make`` the first time that any of its processes asks."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # of all workers
    folder, made = base / "shared" / name, base / "shared" / f"{name}.made"
    folder.parent.mkdir(exist_ok=True)
    with locked(folder.with_suffix(".lock")):
        if not made.exists():
            make(folder)
            made.touch()
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; the lock ends with the process that holds it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def shipped(folder: Path) -> None:
    """The shipped checkpoint as a bundle."""
    from quantization.convert import convert

    convert("pretrained", DATA, folder, converter="builtin", calibration_windows=50)
