"""The engines' contract beside tflite-runtime, which needs numpy 1 and Python 3.11: in an environment of its own.

LiteRT is not in it, as on armv7l: bundles are read without it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests import contract_elsewhere
from tests.tools import missing

ROOT = Path(__file__).resolve().parents[3]
#: Kept from run to run: 110 MB and half a minute to make.
ENVIRONMENT = ROOT / "build" / "tflite-runtime-venv"
PACKAGES = (
    "tflite-runtime==2.14.0",
    "numpy<2",
    "pytest",
    "click",
    "flatbuffers",
    "rich",
    "safetensors",
)


@pytest.fixture(scope="module")
def python() -> Path:
    if sys.version_info[:2] != (3, 11):
        pytest.skip("tflite-runtime ends at Python 3.11: the engine was NOT run on it")
    program, stamp = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "made.txt"
    if not stamp.is_file() or stamp.read_text() != "\n".join(PACKAGES):
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        pip = [str(program), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, *PACKAGES], capture_output=True, text=True, check=False)
        if done.returncode:
            if os.environ.get("EDGETOOL_REQUIRE_PI"):
                raise AssertionError(done.stderr)
            missing("tflite-runtime", f"pip install said: {done.stderr.strip()[-200:]}")
        stamp.write_text("\n".join(PACKAGES))
    return program


def test_the_contract_holds_beside_numpy_1(python: Path, tmp_path: Path) -> None:
    suite = contract_elsewhere.stage(tmp_path)
    variables = {
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(tmp_path))),
        "EDGETOOL_CACHE": str(tmp_path / "cache"),
        **contract_elsewhere.variables(tmp_path),
    }
    done = subprocess.run(
        [str(python), *contract_elsewhere.ARGUMENTS, "-k", "tflite", str(suite)],
        env={**os.environ, **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    # State, instances, saving, bad input and the probe on float32, and what is said about int8.
    contract_elsewhere.require_passed(done, 12)
