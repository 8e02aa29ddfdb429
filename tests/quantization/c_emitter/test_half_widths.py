"""Half widths in C equal Python's bit for bit."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np

from quantization.c_emitter import half_widths
from quantization.c_emitter.project import WARNINGS
from tests.tools import require
from toolkit.uncertainty import ErrorBars


def test_c_equals_python_bit_for_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = rng.uniform(0, 0.3, (3, 7)).astype(np.float32)
    error_bars = ErrorBars(("a", "b", "c"), weights, 0.9, 5, "test")
    for name, text in half_widths.files(error_bars).items():
        (tmp_path / name).write_text(text)
    flags = ["-std=c99", *WARNINGS, "-ffp-contract=off", "-O2", "-shared", "-fPIC"]
    command = [require("gcc"), *flags, half_widths.SOURCE, "-o", "half_widths.so"]
    subprocess.run(command, cwd=tmp_path, check=True)
    library = ctypes.CDLL(str(tmp_path / "half_widths.so"))
    moments = np.concatenate([rng.normal(0, 1, (2000, 3)), np.zeros((1, 3)), [[-0.0, 1e-30, -1e30]]])
    floats = ctypes.POINTER(ctypes.c_float)
    for row in moments.astype(np.float32):
        out = np.empty(3, np.float32)
        library.edgetool_half_widths(
            np.ascontiguousarray(row).ctypes.data_as(floats), out.ctypes.data_as(floats)
        )
        assert out.tobytes() == error_bars.half_widths(row).tobytes()


def test_the_header_says_what_it_is() -> None:
    error_bars = ErrorBars(("a",), np.ones((1, 3), np.float32), 0.9, 5, "test")
    header = half_widths.files(error_bars)[half_widths.HEADER]
    assert "#define EDGETOOL_LEVEL 0.9f" in header and "It rests on 5 people" in header
