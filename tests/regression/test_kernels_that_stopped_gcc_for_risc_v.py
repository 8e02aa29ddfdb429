"""GCC 12.2 stopped with an internal error at kernels compiled for RISC-V with the bit-manipulation extensions.

With ``-march=rv32imac_zba_zbb_zbs``, the core of the newer small RISC-V microcontrollers, ``et_inverse_root.c`` stopped it at
-O3 (a saturated shift in 64 bits that it made a minimum and a maximum of), and the softmax of int8 at -O2 (the addition of
2^11 under a condition). Both are written otherwise now, with the same results; that all portable kernels compile is tested.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantization.c_emitter.project import WARNINGS
from quantization.kernels import INCLUDE_OPTIONS, kernel_paths
from tests.quantization.c_emitter.harness import require, run

CORES = ("rv32imac_zba_zbb_zbs", "rv32imc")
#: Those of one core, and those for hosts with an operating system.
_NOT_PORTABLE = ("_dsp.c", "_mve.c", "_host.c")
#: Debian's compiler for bare RISC-V comes without a C library; these three are all that the kernels use of one.
STRING = """
#include <stddef.h>
void *memcpy(void *to, const void *from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
"""


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("level", ["-O2", "-O3", "-Os"])
def test_every_portable_kernel_compiles_for_risc_v(core: str, level: str, tmp_path: Path) -> None:
    require("riscv64-unknown-elf-gcc")
    (tmp_path / "string.h").write_text(STRING)
    kernels = [
        path
        for name, path in kernel_paths().items()
        if name.endswith(".c") and not name.endswith(_NOT_PORTABLE)
    ]
    assert len(kernels) > 25
    flags = [f"-march={core}", "-mabi=ilp32", "-std=c99", "-ffreestanding", "-ffp-contract=off", *WARNINGS]
    command = ["riscv64-unknown-elf-gcc", *flags, level, f"-I{tmp_path}", *INCLUDE_OPTIONS, "-c"]
    for kernel in kernels:
        run([*command, kernel, "-o", tmp_path / "kernel.o"])


def test_the_new_forms_are_the_old_ones() -> None:
    """In the integers of C: at every place where a shift begins to saturate, and at every exponential near a half."""
    draw = np.random.default_rng(18)
    for exponent in (3, 6):  # those that the kernel uses
        most = (2**31 - 1) >> exponent
        edges = np.arange(-3, 4)
        values = np.concatenate([edges + most, edges - most, edges, draw.integers(-(2**31), 2**31, 100_000)])
        values = np.concatenate([values, [-(2**31), 2**31 - 1]])
        old = np.clip(values << exponent, -(2**31), 2**31 - 1)
        new = np.where(values > most, 2**31 - 1, np.where(values < -most - 1, -(2**31), values << exponent))
        np.testing.assert_array_equal(old, new)
    halves = (np.arange(2**31 >> 11)[:, None] << 11) + np.array([-1, 0, 1])
    halves = halves[halves >= 0]
    np.testing.assert_array_equal((halves + 2048) >> 12, ((halves >> 11) + 1) >> 1)
