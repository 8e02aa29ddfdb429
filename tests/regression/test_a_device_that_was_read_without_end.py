"""``edgetool inspect /dev/zero`` and ``edgetool run /dev/zero`` filled the memory of the machine until it killed them.

So did a budget file, the file of the server's token and that of a sink's password. The long run of hostile text found it: one
of its thousand strings is the name of a device. What is no regular file, or is larger than what it must be, is now refused
before it is read.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.validation.bounds import read_bounds
from quantization.analysis.inspect import describe
from runtime.config import read_config
from runtime.server.access import Access
from runtime.settings import ServerSettings
from runtime.sinks import open_sink
from tests.runtime.sinks.harness import OUTPUTS
from tests.tools import require
from toolkit.errors import EdgetoolError
from toolkit.reading import DOCUMENT_BYTES

READERS: dict[str, Callable[[Path], object]] = {
    "inspect": describe,
    "config": read_config,
    "budgets": lambda path: read_bounds(path, ("host",)),
    "token": lambda path: Access.of(ServerSettings(token_file=path), {}),
    "password": lambda path: open_sink(f"mqtt://user@host/topic?password_file={path}", OUTPUTS).check(),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_device_is_not_read(reader: str) -> None:
    with pytest.raises(EdgetoolError, match=r"/dev/zero.*not a regular file"):
        READERS[reader](Path("/dev/zero"))


@pytest.mark.parametrize("reader", [name for name in READERS if name != "inspect"])
def test_a_document_that_is_too_large_is_not_read(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(DOCUMENT_BYTES + 1)
    with pytest.raises(EdgetoolError, match=f"has more than {DOCUMENT_BYTES:,} bytes"):
        READERS[reader](path)


@pytest.mark.parametrize("command", [["inspect"], ["run"], ["service", "install"], ["run", "--check"]])
def test_a_command_says_so_in_one_line_within_a_gigabyte(command: list[str]) -> None:
    """The bound is the process's own, so that a mistake here costs an error and not the machine."""
    shell = require("sh")
    words = [sys.executable, "-m", "edgetool", *command, "/dev/zero"]
    done = subprocess.run(
        [shell, "-c", 'ulimit -v 1500000; exec "$@"', "sh", *words],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "it is not a regular file" in done.stderr and done.stderr.count("\n") == 1
