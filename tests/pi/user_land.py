"""The Raspberry Pi that the tests run on: ``build/pi``, with the wheel of the working tree installed by its own metadata.

``python -m tests.pi.user_land`` makes it (about a minute and 500 MB the first time, seconds later) and says how large the
packages are.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.targets.pi_architectures import ARMV7L
from benchmarks.targets.pi_emulated import UserLand, make
from tests.import_graph import PACKAGES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "pi"
#: Sets of packages beside edgetool[pi]: tflite-runtime 2.14 needs numpy 1.
SETS = {"default": (), "tflite-runtime": ("tflite-runtime==2.14.0", "numpy<2")}
FOLDER_32 = ROOT / "build" / "pi-32"
#: What a bundle needs to be loaded and run on 32 bits; numpy is Debian's.
SET_32 = ("tflite-runtime==2.14.0", "flatbuffers", "safetensors", "click", "rich", "cobs")


def user_land() -> UserLand:
    """Both sets, and ``suite``: what the contract suite needs."""
    wheel = build_wheel(FOLDER / "wheel")
    for name, more in SETS.items():
        make(FOLDER, name, [f"edgetool[pi] @ {wheel.as_uri()}", *more], [wheel])
    return make(FOLDER, "suite", ["pytest"])


def user_land_32() -> UserLand:
    """Of 32 bits: Debian's numpy 1.24, tflite-runtime, no LiteRT."""
    return make(FOLDER_32, "default", SET_32, [build_wheel(FOLDER_32 / "wheel")], ARMV7L)


def build_wheel(folder: Path) -> Path:
    """edgetool's wheel from the files of the working tree, built in a copy so that nothing is left beside them."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for package in PACKAGES:
            ignored = shutil.ignore_patterns("__pycache__", "*.partial")
            shutil.copytree(ROOT / package, copy / package, ignore=ignored)
        for file in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / file, copy / file)
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(copy)]
        subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("edgetool-*.whl")
    return wheel.resolve()


def run(land: UserLand, arguments: list[str], packages: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the Pi's Python to its end."""
    return subprocess.run(
        land.command(arguments),
        env=land.environment(packages, more),
        cwd=land.folder,
        capture_output=True,
        text=True,
        check=False,
    )


def installed_bytes(land: UserLand, packages: str) -> int:
    """Bytes of all files of a set."""
    return sum(file.stat().st_size for file in land.site(packages).rglob("*") if file.is_file())


if __name__ == "__main__":
    made = user_land()
    for name in SETS:
        print(f"{name}: {installed_bytes(made, name) / 1e6:.1f} MB installed in {made.site(name)}")
