"""What native libraries print to file descriptor 2, past Python: caught or dropped, so that it neither clutters nor is lost.

Neither is for use from several threads: the descriptor is the whole process's.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class Caught:
    """``text`` is filled when the block of :func:`native_stderr` ends."""

    text = ""


@contextmanager
def native_stderr() -> Iterator[Caught]:
    """Redirect file descriptor 2 into a temporary file for the block."""
    caught = Caught()
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield caught
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            caught.text = file.read().decode(errors="replace")


@contextmanager
def quiet() -> Iterator[None]:
    """Drop what C++ and Python write to stderr in the block; whoever shows progress needs a copy of its descriptor."""
    with native_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
