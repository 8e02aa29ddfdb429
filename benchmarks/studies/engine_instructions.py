"""Instructions of the native engine on arm64: ``python -m benchmarks.studies.engine_instructions BUNDLE``.

The model's C with its host kernels is compiled for a Raspberry Pi 3 or 4 (NEON), a Pi 5 (SDOT) and in plain C, and run on
qemu-aarch64 one instruction at a time. What a step and a window take is the difference between runs that do more and less of
them. Emulated: instructions are not time, and Python is not in them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from quantization.bundle import Bundle
from runtime.engines.interface import graphs_of
from runtime.engines.native_build import OPTIONS, build_commands, sources
from toolkit.errors import MissingDependencyError

_EMULATOR = ["qemu-aarch64-static", "-cpu", "max", "-singlestep", "-d", "exec,nochain"]
_FORMS = {
    "NEON (Pi 3, 4)": ["-mcpu=cortex-a72"],
    "NEON with SDOT (Pi 5)": ["-mcpu=cortex-a76"],
    "plain C (compiler's NEON)": ["-mcpu=cortex-a72", "-DET_HOST_PLAIN"],
}
_MAIN = """
#include <stdlib.h>
#include "edgetool_model.h"
static edgetool_state state;
static float imu[EDGETOOL_WINDOW * EDGETOOL_IMU_CHANNELS], emg[EDGETOOL_WINDOW * EDGETOOL_EMG_CHANNELS];
int main(int count, char **arguments) {
    float moments[EDGETOOL_OUTPUTS];
    edgetool_reset(&state);
    for (int i = count > 1 ? atoi(arguments[1]) : 0; i > 0; --i) {
        edgetool_step(&state, imu, emg, moments);
    }
    for (int i = count > 2 ? atoi(arguments[2]) : 0; i > 0; --i) {
        edgetool_window(&state, imu, emg, moments);
    }
    return 0;
}
"""


def build(bundle: Bundle, options: Sequence[str], folder: Path) -> Path:
    """A program that does as many steps and windows as its two arguments say."""
    files = {**sources(bundle, graphs_of(bundle, "int8")), "main.c": _MAIN.encode()}
    (folder / "kernels").mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    for command in build_commands(
        files, ["aarch64-linux-gnu-gcc", *OPTIONS, *options], ["-static", "-o", "program"]
    ):
        try:
            subprocess.run(command, cwd=folder, check=True)
        except FileNotFoundError:
            raise MissingDependencyError(
                f"{command[0]} is not installed: apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
            ) from None
    return folder / "program"


def executed(program: Path, steps: int, windows: int) -> int:
    """Instructions from start to end."""
    command = [*_EMULATOR, str(program), str(steps), str(windows)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        return sum(line.startswith(b"Trace") for line in running.stderr)


def count(program: Path) -> tuple[int, int]:
    """Instructions of a step and of a window."""
    steps = (executed(program, 12, 0) - executed(program, 2, 0)) // 10
    return steps, executed(program, 0, 2) - executed(program, 0, 1)


def main(arguments: Sequence[str]) -> None:
    """Print a line for each form."""
    bundle = Bundle.load(arguments[0])
    print(f"{'native engine on arm64':<28} {'step':>9} {'window':>11}   (instructions, emulated)")
    with tempfile.TemporaryDirectory() as name:
        for place, (form, options) in enumerate(_FORMS.items()):
            step, window = count(build(bundle, options, Path(name) / str(place)))
            print(f"{form:<28} {step:9,} {window:11,}")


if __name__ == "__main__":
    main(sys.argv[1:])
