"""Progress: a bar on a terminal, a line a stage elsewhere, silence on request; and it outlives descriptor 2."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from toolkit.progress import shown, silent, status_line

#: Descriptor 2 leads to nowhere while progress is told, as it does while native libraries run.
SHOW = """
import os
from toolkit.progress import shown
with shown(quiet=%r) as progress:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    progress("filtering", 0, 4)
    progress("filtering", 4, 4)
    progress("con\\x1b[31mverting\\n", 1, 2)
    progress.stop()
"""


def _run(quiet: bool, **streams: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", SHOW % quiet], check=True, **streams)  # type: ignore[call-overload,no-any-return]


def test_without_a_terminal_each_stage_is_one_line() -> None:
    done = _run(False, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert done.stderr.decode() == "filtering ...\ncon\\x1b[31mverting\\n ...\n"
    assert done.stdout == b""


def test_it_is_silent_on_request() -> None:
    done = _run(True, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert (done.stderr, done.stdout) == (b"", b"")


def test_a_terminal_gets_a_bar_that_is_taken_away() -> None:
    own, other = pty.openpty()
    try:
        _run(False, stderr=other)
        seen = os.read(own, 65536).decode()
    finally:
        os.close(own)
        os.close(other)
    assert "filtering" in seen and "con\\x1b[31mverting\\n" in seen
    assert seen.rstrip().endswith("\x1b[2K"), "the line of the bar is erased at the end"


def test_a_captured_stream_is_written_to_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with shown() as progress:
        progress("one", 0, 0)
        progress("one", 1, 0)
        progress("two", 0, 1)
    assert capsys.readouterr().err == "one ...\ntwo ...\n"
    silent("three", 0, 1)
    assert capsys.readouterr().err == ""


def test_a_line_that_is_renewed_needs_a_terminal() -> None:
    assert status_line() is None
