"""Programs and packages that some tests need beside Python. Who lacks one skips, loudly; where tools are promised, it fails.

Promised: ``EDGETOOL_REQUIRE_TOOLS=1``, or ``CI=true`` without ``EDGETOOL_REQUIRE_TOOLS=0``. The end of a run lists what was
not tested for want of a tool, and how to get it (tests/conftest.py).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

from tests.markers import OF_PROGRAM

LIST = Path(__file__).parent / "system_packages.txt"
ALSO = "/usr/local/sbin:/usr/sbin:/sbin"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_WORDS = re.compile(r"NOT TESTED: (?P<what>.+?) is missing \((?P<how>.+)\)")

#: Markers of the test that runs now (conftest keeps it); None outside of tests.
markers_now: set[str] | None = None


def promised() -> bool:
    """Whether a missing tool is a failure."""
    return (os.environ.get("EDGETOOL_REQUIRE_TOOLS") or os.environ.get("CI", "")).lower() in ("1", "true")


def find(program: str) -> str | None:
    """The program's path, also from where only root looks; ``chromium`` under each of its names."""
    names = CHROMIUM if program == "chromium" else (program,)
    path = f"{os.environ.get('PATH', os.defpath)}:{ALSO}"
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def require(program: str, *more: str) -> str:
    """The path of the first program; the test is skipped, or fails, unless all are there."""
    for name in (program, *more):
        marker = OF_PROGRAM.get(name)
        if marker is not None and markers_now is not None and marker not in markers_now:
            pytest.fail(f"this test needs {name}: mark it {marker}")
        if find(name) is None:
            missing(name, f"sudo apt-get install {_packages().get(name, name)}")
    found = find(program)
    assert found is not None
    return found


def require_installed(name: str, extra: str = "dev") -> None:
    """The test is skipped, or fails, unless a Python package is installed; it is not imported."""
    if importlib.util.find_spec(name) is None:
        missing(name, f"pip install 'edgetool[{extra}]'")


def require_package(name: str, extra: str = "dev") -> ModuleType:
    """The imported Python package; the test is skipped, or fails, unless it is there and finds its libraries."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError):  # pylsl raises the latter without liblsl
        missing(name, f"pip install 'edgetool[{extra}]'")


def missing(what: str, how: str) -> NoReturn:
    """Skip for want of something that can be had, in words that the end of the run collects; fail where it is promised."""
    reason = f"NOT TESTED: {what} is missing ({how})"
    if promised():
        pytest.fail(f"{reason}; CI or EDGETOOL_REQUIRE_TOOLS promises it", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def summary(reasons: list[str]) -> list[str]:
    """Lines that say what was not tested and how to get it, from the reasons of all skipped tests."""
    found = Counter((m["what"], m["how"]) for reason in reasons if (m := _WORDS.search(reason)))
    return [f"{what}: {count} skipped; to run them: {how}" for (what, how), count in sorted(found.items())]


def _packages() -> dict[str, str]:
    rows = (line.split() for line in LIST.read_text().splitlines() if line and not line.startswith("#"))
    return dict(rows)
