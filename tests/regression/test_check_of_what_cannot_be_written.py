"""``run --check`` said that all was well with a sink, a recording folder or a port that could not be had.

It looked whether a folder was a file, and at nothing else: the daemon then ended when it was started for real, or, with the
recording, never wrote a byte.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.config import read_config
from runtime.daemon.check import check
from runtime.sinks.places import why_not_a_file, why_not_a_folder
from tests.runtime.daemon.harness import bundle
from toolkit.errors import EdgetoolError


def _config(tmp_path: Path, more: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(f'[model]\nbundle = "{bundle()}"\n[sources]\nurls = ["sim://synthetic"]\n{more}')
    return path


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for more, words in (
        (f'[[sinks]]\nurl = "ndjson:{tmp_path}/file/x.ndjson"\n', "file is not a folder"),
        (f'[[sinks]]\nurl = "ndjson:{tmp_path}/folder"\n', "folder is a folder"),
        (f'[[sinks]]\nurl = "recording:{tmp_path}/file"\n', "file is not a folder"),
        (f'[[sinks]]\nurl = "unix://{tmp_path}/file/x.sock"\n', "file is not a folder"),
        (f'[[sinks]]\nurl = "unix://{tmp_path}/file"\n', "exists and is not a socket"),
        ('[recording]\nfolder = "file/x"\n', "file is not a folder"),
    ):
        with pytest.raises(EdgetoolError, match=words):
            check(read_config(_config(tmp_path, more)))


def _as_nobody(ask: Callable[[], str | None]) -> str:
    """What ``ask`` says in a process that is not root's: root may write everywhere."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setuid(65_534)
        os.write(write, str(ask()).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


def test_folders_of_others() -> None:
    folder = Path(tempfile.mkdtemp(prefix="edgetool-check-"))
    try:
        (folder / "mine").write_text("")
        (folder / "mine").chmod(0o444)
        folder.chmod(0o555)
        for ask in (
            lambda: why_not_a_folder(folder / "deeper" / "still"),
            lambda: why_not_a_file(folder / "x.ndjson"),
            lambda: why_not_a_file(folder / "mine"),
        ):
            assert "may not be written by this user" in _as_nobody(ask)
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = read_config(_config(tmp_path, f"[server]\nport = {taken.getsockname()[1]}\n"))
        with pytest.raises(EdgetoolError, match=r"cannot listen at 127.0.0.1:\d+: Address already in use"):
            check(settings)
        assert check(settings, holds=True)  # the daemon itself may have it


def test_a_socket_that_another_serves(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    settings = read_config(_config(tmp_path, f'[[sinks]]\nurl = "unix://{path}"\n'))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(EdgetoolError, match=r"another process serves"):
            check(settings)
    assert check(settings) and path.exists()  # nothing is removed by looking


def test_nothing_is_written_by_looking(tmp_path: Path) -> None:
    more = f'[[sinks]]\nurl = "ndjson:{tmp_path}/new/x.ndjson"\n[recording]\nfolder = "recordings"\n'
    settings = read_config(_config(tmp_path, more))
    before = sorted(tmp_path.rglob("*"))
    assert check(settings)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_token_that_everybody_may_read_is_a_warning(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    token.chmod(0o644)
    settings = read_config(_config(tmp_path, '[server]\nport = 0\ntoken_file = "token"\n'))
    (line,) = [line for line in check(settings) if line.startswith("warning")]
    assert "server.token_file" in line and f"chmod o-r {token}" in line
    token.chmod(stat.S_IRUSR)
    assert not [line for line in check(settings) if line.startswith("warning")]
