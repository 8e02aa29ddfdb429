"""Every kernel for hosts equals its portable twin bit for bit, in each form that it has for a processor."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from quantization.kernels import INCLUDE_OPTIONS, kernel_paths
from runtime.engines.native_build import HOST_KERNELS
from tests.tools import require

HERE = Path(__file__).parent
#: Options that choose each form for x86-64, with the processor features it needs to run.
X86 = {
    "plain": (["-DET_HOST_PLAIN"], set()),
    "avx2": (["-mavx2"], {"avx2"}),
    "avx-vnni": (["-mavx2", "-mavxvnni"], {"avx2", "avx_vnni"}),
    "avx512": (["-mavx512f", "-mavx512bw", "-mavx512vl"], {"avx512bw", "avx512vl"}),
    "vnni": (["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni"], {"avx512bw", "avx512_vnni"}),
}
#: For arm64, with the processor that QEMU emulates: a Raspberry Pi 3 or 4, and one that has SDOT, as a Pi 5.
ARM64 = {"neon": ("-march=armv8-a", "cortex-a72"), "dotprod": ("-march=armv8.2-a+dotprod", "max")}
STRICT = ["-std=c99", "-O3", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-ffp-contract=off"]
PROGRAMS = {"host_lstm.c": ["et_lstm_step"], "host_kernels.c": sorted(set(HOST_KERNELS) - {"et_lstm_step"})}


def build(program: str, compiler: list[str], folder: Path) -> Path:
    """The comparison ``program`` with both twins of every kernel that it compares."""
    base = [*compiler, *STRICT, *INCLUDE_OPTIONS]
    objects, rest = [], [str(HERE / program)]
    for name in PROGRAMS[program]:
        portable, host = (str(kernel_paths()[Path(file).name]) for file in HOST_KERNELS[name])
        objects.append(f"{name}.o")
        renamed = [f"-D{name}={name}_portable", "-c", portable, "-o", objects[-1]]
        subprocess.run([*base, *renamed], cwd=folder, check=True)
        rest.append(host)
    rest.append(str(kernel_paths()["et_activation.c"]))
    subprocess.run([*base, *rest, *objects, "-o", "compare"], cwd=folder, check=True)
    return folder / "compare"


def said_by(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("form", X86)
def test_on_x86(form: str, compiler: str, program: str, tmp_path: Path) -> None:
    options, needed = X86[form]
    require(compiler)
    missing = needed - set(Path("/proc/cpuinfo").read_text().split())
    if missing:
        pytest.skip(f"this processor has no {', '.join(missing)}: the kernel for it was NOT tested")
    assert said_by([str(build(program, [compiler, *options], tmp_path))]) == "equal\n"


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("form", ARM64)
def test_on_emulated_arm64(form: str, program: str, tmp_path: Path) -> None:
    require("aarch64-linux-gnu-gcc", "qemu-aarch64-static")
    option, processor = ARM64[form]
    built = build(program, ["aarch64-linux-gnu-gcc", option, "-static"], tmp_path)
    assert said_by(["qemu-aarch64-static", "-cpu", processor, str(built)]) == "equal\n"
