"""The folder ``c/`` in a CMake project of somebody else: added as a directory, linked, run; and built for a microcontroller."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.quantization.c_emitter.harness import run, write
from tests.quantization.c_emitter.test_emit import shipped_emission
from tests.tools import require

PROJECT = """\
cmake_minimum_required(VERSION 3.13)
project(product LANGUAGES C)
add_subdirectory(c)
add_executable(product main.c)
target_link_libraries(product PRIVATE edgetool_model)
"""
MAIN = """\
#include "edgetool_filters.h"
#include "edgetool_model.h"

static edgetool_state state;
static edgetool_imu_filter filter;

int main(void) {
    float imu[EDGETOOL_IMU_CHANNELS] = {0}, emg[EDGETOOL_EMG_CHANNELS] = {0}, moments[EDGETOOL_OUTPUTS];
    edgetool_reset(&state);
    edgetool_imu_filter_reset(&filter);
    edgetool_step(&state, imu, emg, moments);
    return moments[0] == moments[0] ? 0 : 1;
}
"""


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_in_a_project_of_somebody_else(compiler: str, tmp_path: Path) -> None:
    require("cmake", "make", compiler)
    write(shipped_emission(), tmp_path / "c")
    (tmp_path / "CMakeLists.txt").write_text(PROJECT)
    (tmp_path / "main.c").write_text(MAIN)
    build = tmp_path / "build"
    run(["cmake", "-S", tmp_path, "-B", build, f"-DCMAKE_C_COMPILER={compiler}"])
    run(["cmake", "--build", build, "--target", "product", "edgetool_self_test"])
    run([build / "product"])
    assert run([build / "c" / "edgetool_self_test"]) == "self-test: all vectors equal\n"


@pytest.mark.parametrize("target", ["cortex-m4", "cortex-m55"])
def test_for_a_microcontroller(target: str, tmp_path: Path) -> None:
    """Assembly too, with the core's flags from the file and the compiler from the command line or a toolchain file."""
    require("cmake", "make", "arm-none-eabi-gcc")
    folder = write(shipped_emission(target), tmp_path / "c")
    options = {
        "CMAKE_SYSTEM_NAME": "Generic",
        "CMAKE_C_COMPILER": "arm-none-eabi-gcc",
        "CMAKE_TRY_COMPILE_TARGET_TYPE": "STATIC_LIBRARY",
    }
    run(["cmake", "-S", folder, "-B", tmp_path, *(f"-D{name}={value}" for name, value in options.items())])
    run(["cmake", "--build", tmp_path, "--target", "edgetool_model"])
    symbols = run(["arm-none-eabi-nm", tmp_path / "libedgetool_model.a"])
    assert " T edgetool_step_quantized\n" in symbols
    attributes = run(["arm-none-eabi-readelf", "-A", tmp_path / "libedgetool_model.a"])
    assert "Tag_ABI_VFP_args: VFP registers" in attributes
    assert ("Tag_MVE_arch" in attributes) == (target == "cortex-m55")
