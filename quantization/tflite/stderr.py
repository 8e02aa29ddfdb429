"""What native libraries print to file descriptor 2, past Python: caught, so that it neither clutters nor is lost."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


class Caught:
    """``text`` is filled when the block of :func:`native_stderr` ends."""

    text = ""


@contextmanager
def native_stderr() -> Iterator[Caught]:
    """Redirect file descriptor 2 into a temporary file for the block. Not for use from several threads."""
    caught = Caught()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield caught
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            caught.text = file.read().decode(errors="replace")
