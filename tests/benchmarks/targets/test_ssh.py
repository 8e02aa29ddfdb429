"""``bench --on ssh://``: a program called ssh that runs its command on this machine stands in for the network and the Pi."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.targets import require_known
from edgetool.cli import edgetool
from toolkit.errors import EdgetoolError, LinkError, UsageError

DATA = "synthetic:people=4,seconds=3,tasks=level,seed=7"
#: Writes down how it was called, then does what a login shell there would do with the command.
SSH = """#!/bin/sh
printf '%s\\n' "$@" > {said}
for last in "$@"; do :; done
{before}
exec sh -c "$last"
"""


@pytest.fixture(scope="module")
def bundle(shipped_bundle: Path) -> Path:
    return shipped_bundle


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the far side's home, with the virtual environment in it."""
    install_ssh(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "scratch").mkdir()
    tempfile.gettempdir()  # this process keeps its own: it is looked up once
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setenv("EDGETOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    install_python(tmp_path, f'exec {shlex.quote(sys.executable)} "$@"')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def install_ssh(home: Path, before: str = "") -> None:
    script(home / "ssh", SSH.format(said=shlex.quote(str(home / "said")), before=before))


def install_python(home: Path, body: str) -> None:
    script(home / "edgetool/bin/python", f"#!/bin/sh\n{body}\n")


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_rows_come_back_measured_and_bit_for_bit(bundle: Path, far: Path) -> None:
    install_ssh(far, "echo 'Welcome to the Pi'")
    arguments = ["bench", str(bundle), "--data", DATA, "--windows", "40", "--on", "ssh://pi@far.local:2222"]
    result = CliRunner().invoke(edgetool, [*arguments, "--json", "bench.json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    rows = [r for r in json.loads((far / "bench.json").read_text())["runs"] if r["target"] != "host"]
    assert {(r["engine"], r["scheme"], r["graph"]) for r in rows} >= {
        (engine, scheme, graph)
        for engine, scheme in (("native", "int8"), ("litert", "int8"), ("litert", "float32"))
        for graph in ("window", "stream")
    }
    for row in rows:
        assert row["target"] == "ssh://pi@far.local:2222"
        assert row["latency"]["label"] == "measured" and row["latency"]["n"] >= 200
        figures = row["figures"]
        assert figures["label"] == "measured"
        assert {"model", "governor", "temperature_c", "throttled"} <= set(figures["machine"])
        assert {"model", "governor", "temperature_c", "throttled"} <= set(figures["machine_after"])
        # The same processor in fact, so that every engine gives the same bits.
        assert figures["against_this_machine"]["differing"] == 0
    assert "times measured there" in result.output
    said = (far / "said").read_text().splitlines()
    assert said[:2] == ["-o", "BatchMode=yes"]
    assert said[said.index("-p") + 1] == "2222" and said[said.index("--") + 1] == "pi@far.local"
    # Nothing of the source that was sent is left there.
    assert list((far / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (
            "echo 'pi@far: Permission denied (publickey,password).' >&2; exit 255",
            "put your key there: ssh-copy-id",
        ),
        ("echo 'Host key verification failed.' >&2; exit 255", "connect once by hand"),
        ("echo 'ssh: Could not resolve hostname far' >&2; exit 255", "is the name right"),
        ("echo 'connect to host far port 22: Connection refused' >&2; exit 255", "is ssh enabled there"),
        ("echo 'connect to host far port 22: Connection timed out' >&2; exit 255", "is it on"),
        ("exit 3", r"it said nothing \(exit code 3\)"),
    ],
)
def test_what_goes_wrong_is_one_line(bundle: Path, far: Path, before: str, message: str) -> None:
    from benchmarks.bench import bench

    install_ssh(far, before)
    with pytest.raises(LinkError, match=message) as caught:
        bench(bundle, DATA, on=["ssh://far"], windows=20)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("ssh://far: ")


def test_a_far_python_without_numpy_or_of_no_such_name(bundle: Path, far: Path) -> None:
    from benchmarks.bench import bench

    # -S leaves out installed packages.
    install_python(far, f'exec {shlex.quote(sys.executable)} -S "$@"')
    with pytest.raises(LinkError, match=r"No module named 'numpy'.*pip install 'FILE.whl\[pi\]'"):
        bench(bundle, DATA, on=["ssh://far"], windows=20)
    with pytest.raises(LinkError, match=r"not found.*\?python=PATH"):
        bench(bundle, DATA, on=["ssh://far?python=/no/such/python"], windows=20)


@pytest.mark.parametrize(
    "target",
    [
        "ssh://",
        "ssh://pi:secret@far",
        "ssh://far/folder",
        "ssh://far?speed=1",
        "ssh://-oProxyCommand=x",
        "ssh://-oProxyCommand=x@far",
        "ssh://%2doProxyCommand=x@far",
        "ssh://pi@-oProxyCommand=x",
        "ssh://$(id)@far",
        "ssh://pi@far;id",
        "ssh://pi@far`id`",
        "ssh://pi:@far",
        "ssh://@far",
        "ssh://[::1",
        "ssh://far#x",
        "ssh://far?python=",
        "ssh://far:port",
    ],
)
def test_urls_that_are_none(bundle: Path, far: Path, target: str) -> None:
    from benchmarks.bench import bench

    with pytest.raises(UsageError, match="allowed: ssh://USER@HOST"):
        bench(bundle, DATA, on=[target], windows=20)
    assert not (far / "said").exists()


def test_pi_emulated_has_no_options() -> None:
    require_known(["host", "pi-emulated", "ssh://pi@raspberrypi"])
    for target in ("pi-emulated:4", "ssh", "pi"):
        with pytest.raises(EdgetoolError, match="is not known"):
            require_known([target])
