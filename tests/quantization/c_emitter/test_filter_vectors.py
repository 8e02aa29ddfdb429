"""The self-test takes raw samples too: filters that were changed in one number fail it, on the host and on the target."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.validation.validate import _of_device
from firmware_bridge.protocol.table import SelfTest
from firmware_bridge.target.boards import require_board
from firmware_bridge.target.build import build
from firmware_bridge.target.emulator import Emulator
from firmware_bridge.target.link import TargetLink, open_port
from quantization.c_emitter.filter_vectors import drawn_samples
from tests.quantization.c_emitter.harness import run, write
from tests.quantization.c_emitter.test_emit import shipped_emission
from tests.tools import require

#: Golden windows and steps of the shipped model before the filters of imu and emg.
BEFORE = 2 + 64 + 4
HALF = ("kernels/et_filter.c", "(row[channel] - mean[channel])", "0.5f * (row[channel] - mean[channel])")
CHANGES = {
    "features halved": (HALF, 0),
    "no rectifier": (("kernels/et_filter.c", "< 0.0f ? -row", "< 0.0f ? row"), 1),
}


def test_samples_that_c_and_python_draw() -> None:
    """The first of the sequence by hand: 1664525 + 1013904223 = 1015568748, / 2^16 = 15496, - 32768 = -17272, / 4096."""
    samples = drawn_samples(50, 24)
    assert samples[0, 0] == -17272 / 4096
    assert -8 <= samples.min() < -7.9 and 7.9 < samples.max() < 8


def changed(folder: Path, change: tuple[str, str, str]) -> None:
    name, old, new = change
    text = (folder / name).read_text()
    assert text.count(old) == 1
    (folder / name).write_text(text.replace(old, new))


@pytest.mark.parametrize(("change", "stream"), CHANGES.values(), ids=CHANGES.keys())
def test_changed_filters_fail_on_the_host(tmp_path: Path, change: tuple[str, str, str], stream: int) -> None:
    require("gcc", "make")
    folder = write(shipped_emission(), tmp_path)
    run(["make", "-s", "-C", folder, "check"])
    changed(folder, change)
    done = subprocess.run(["make", "-s", "-C", folder, "check"], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and done.stdout == f"self-test: vector {BEFORE + stream} differs\n"


def test_halved_features_fail_on_the_target(tmp_path: Path) -> None:
    require("arm-none-eabi-gcc", "qemu-system-arm", "make")
    folder = write(shipped_emission("cortex-m4"), tmp_path)
    changed(folder, HALF)
    image = build(folder, require_board("mps2-an386"), tmp_path / "image.elf")
    with Emulator(image) as emulator, TargetLink(open_port(emulator.url), "board") as link:
        assert link.identify().self_test == SelfTest.FAILED
        found = link.self_test()
        assert (found.run, found.failed, found.first_failed) == (BEFORE + 1, 1, BEFORE)
        content = image.elf.read_bytes()
        named = subprocess.run(
            ["arm-none-eabi-nm", image.elf], capture_output=True, text=True, check=True
        ).stdout
        assert " edgetool_model_hash\n" in named and image.model_hash.encode() in content
        # The model itself is as it was: windows that come filtered are answered as ever.
        assert np.isfinite(link.stack().high_water)


def test_the_check_of_validate_that_this_is() -> None:
    from types import SimpleNamespace

    figures = {"self_test": "failed"}
    rows = [SimpleNamespace(measured=SimpleNamespace(figures=figures, name="firmware int8 window"))]
    (check,) = _of_device("qemu:cortex-m4", rows)  # type: ignore[arg-type]
    assert check.name == "failed_self_test" and not check.passed
