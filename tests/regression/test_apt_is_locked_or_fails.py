"""``make test`` hid why apt failed, did not wait for its lock, skipped half of the emulator tests and ended green.

The script that installs what the tests need now waits for apt's locks, says apt's own words, and fails where tools are
promised. Run here with an ``apt-get`` of our own; with the real one it was tried by hand, its lock held for a minute.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "system_packages.sh"
#: Says twice that the lists are locked, installs at the third try.
LOCKED = """#!/bin/sh
case "$*" in
*install*)
  echo try >>"$HOME/tries"
  if [ "$(wc -l <"$HOME/tries")" -lt 3 ]; then
    echo "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 1 (apt-get)"
    exit 100
  fi
  printf '#!/bin/sh\\n' >"$HOME/bin/tool-for-this-test"
  chmod +x "$HOME/bin/tool-for-this-test"
  ;;
esac
"""
BROKEN = """#!/bin/sh
case "$*" in
*install*) echo "E: Unable to locate package package-for-this-test" && exit 100 ;;
esac
"""


def install(folder: Path, apt_get: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of the script that wants one program, with this ``apt-get``."""
    programs = folder / "bin"
    programs.mkdir()
    shutil.copy(SCRIPT, folder)
    (folder / "system_packages.txt").write_text("tool-for-this-test package-for-this-test\n")
    scripts = {
        "apt-get": apt_get,
        "sleep": "#!/bin/sh\n",
        "sudo": '#!/bin/sh\n[ "$1" = -n ] && shift 2\nexec "$@"\n',
    }
    for name, text in scripts.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    base = {k: v for k, v in os.environ.items() if k not in ("CI", "EDGETOOL_REQUIRE_TOOLS")}
    return subprocess.run(
        ["sh", str(folder / SCRIPT.name)],
        env={**base, "PATH": f"{programs}:{base['PATH']}", "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_waits_for_the_lock(tmp_path: Path) -> None:
    done = install(tmp_path, LOCKED, CI="true")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("waiting for it") == 2
    assert (tmp_path / "bin" / "tool-for-this-test").exists()


@pytest.mark.parametrize(
    ("environment", "status"),
    [
        ({}, 0),
        ({"CI": "true"}, 1),
        ({"EDGETOOL_REQUIRE_TOOLS": "1"}, 1),
        ({"CI": "true", "EDGETOOL_REQUIRE_TOOLS": "0"}, 0),
    ],
)
def test_why_apt_failed_is_said(tmp_path: Path, environment: dict[str, str], status: int) -> None:
    done = install(tmp_path, BROKEN, **environment)
    assert done.returncode == status
    assert "E: Unable to locate package package-for-this-test" in done.stdout
    assert "sudo apt-get install package-for-this-test" in done.stdout
