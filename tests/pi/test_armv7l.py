"""On an emulated Raspberry Pi of 32 bits, for which there is no LiteRT: both engines give this machine's moments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.targets.pi_emulated import UserLand
from tests.pi.test_pi import MOMENTS, made, moments_of_both, succeeded
from tests.pi.user_land import run, user_land_32


@pytest.fixture(scope="module")
def land() -> UserLand:
    return made(user_land_32)


def test_it_is_a_system_of_32_bits_without_litert(land: UserLand) -> None:
    program = """
import importlib.util, json, platform, sys
print(json.dumps([platform.machine(), sys.maxsize, importlib.util.find_spec("ai_edge_litert") is None]))
"""
    assert json.loads(succeeded(run(land, ["-c", program], "default"))) == ["armv7l", 2**31 - 1, True]


@pytest.mark.parametrize(
    ("engine", "scheme", "bound"),
    [
        # Integer arithmetic alone.
        ("native", "int8", 0.0),
        # Measured: 1.9e-6; sums of float32 in another order.
        ("tflite-runtime", "float32", 4e-6),
    ],
)
def test_moments_are_those_of_this_machine(
    land: UserLand, bundle: Path, tmp_path: Path, engine: str, scheme: str, bound: float
) -> None:
    for expected, found in moments_of_both(land, bundle, tmp_path, engine, scheme, "default"):
        np.testing.assert_allclose(found, expected, rtol=0, atol=bound)


def test_int8_graphs_are_refused_by_its_interpreter_in_one_line(
    land: UserLand, bundle: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "inputs.npz", imu=np.zeros((1, 24), np.float32), emg=np.zeros((1, 9), np.float32))
    arguments = [str(MOMENTS), str(bundle), "tflite-runtime", "int8", str(tmp_path / "inputs.npz")]
    done = run(land, [*arguments, str(tmp_path / "out.npz")], "default")
    assert done.returncode != 0
    assert "use scheme float32 or engine native" in done.stderr.splitlines()[-1]
