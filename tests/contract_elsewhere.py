"""The engines' contract suite, laid out so that another Python, or another processor's, can run it by itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.runtime.engines.models import MODELS, make_bundle

HERE = Path(__file__).parent
SUITE = "runtime/engines/test_engines.py"
#: The suite and the modules of tests that it imports, with the packages that they are in.
FILES = (
    "__init__.py",
    "artefacts.py",
    "markers.py",
    "tools.py",
    "quantization/__init__.py",
    "quantization/small_models.py",
    "runtime/__init__.py",
    "runtime/engines/__init__.py",
    "runtime/engines/models.py",
    SUITE,
)
#: Options of the suite's run; what else it needs is in the environment that :func:`variables` gives.
ARGUMENTS = ("-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider")


def stage(folder: Path) -> Path:
    """Copy the suite into ``folder`` and make its bundles there; its path."""
    for name in FILES:
        copy = folder / "tests" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / name, copy)
    for name, config in MODELS.items():
        make_bundle(folder / "bundles" / name, config)
    return folder / "tests" / SUITE


def variables(folder: Path) -> dict[str, str]:
    """What tells the suite where its bundles lie."""
    return {"EDGETOOL_TEST_BUNDLES": str(folder / "bundles")}


def require_passed(done: subprocess.CompletedProcess[str], least: int) -> None:
    """All passed, none skipped, and at least so many."""
    text = done.stdout + done.stderr
    found = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0 and found, text[-4000:]
    assert "skipped" not in done.stdout, text[-4000:]
    assert int(found[1]) >= least, text[-4000:]
