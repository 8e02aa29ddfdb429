"""Two models in one program: each with its own prefix, the kernels shared."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantization.c_emitter import emit
from tests.quantization.c_emitter.harness import run, write
from tests.quantization.c_emitter.test_models import (
    drawn_checkpoint,
    drawn_windows,
    graphs,
    shipped,
)
from tests.tools import require
from toolkit.errors import UsageError

MAIN = """
#include <stdio.h>
#include "left_knee_self_test.h"
#include "knee2_self_test.h"

int main(void) {
    static left_knee_state left;
    static knee2_state right;
    const int first = left_knee_self_test(&left);
    const int second = knee2_self_test(&right);
    printf("%d %d %d %d\\n", first, second, LEFT_KNEE_WINDOW, KNEE2_WINDOW);
    return first != 0 || second != 0;
}
"""


def test_two_models_in_one_program(tmp_path: Path) -> None:
    require("gcc", "make")
    checkpoint, windows, window, stream = shipped()
    other = drawn_checkpoint(4)
    other_windows = drawn_windows(other.config, 8, 4)
    other_window, other_stream = graphs(other, other_windows)
    emissions = {
        "left_knee": emit(
            window, checkpoint.contract, stream=stream, golden=windows.inputs, prefix="left_knee"
        ),
        "knee2": emit(
            other_window, other.contract, stream=other_stream, golden=other_windows.inputs, prefix="knee2"
        ),
    }
    for name, emission in emissions.items():
        texts = {k: v for k, v in emission.files.items() if not k.startswith("kernels/")}
        assert f"{name}_model.h" in texts
        assert not any("edgetool_" in key or b"edgetool_" in text.lower() for key, text in texts.items())
        folder = tmp_path / name
        folder.mkdir()
        write(emission, folder)
        assert run(["make", "-s", "-C", folder, "check"]) == "self-test: all vectors equal\n"
    (tmp_path / "main.c").write_text(MAIN)
    folders = [tmp_path / name for name in emissions]
    run(
        [
            "gcc",
            "-std=c99",
            *(f"-I{folder}" for folder in folders),
            tmp_path / "main.c",
            *(folder / f"{folder.name}_self_test.c" for folder in folders),
            *(folder / f"lib{folder.name}_model.a" for folder in folders),
            "-o",
            tmp_path / "main",
        ]
    )
    assert run([tmp_path / "main"]) == f"0 0 {checkpoint.config.window} {other.config.window}\n"


def test_names_of_assembly_have_the_prefix() -> None:
    checkpoint, _, window, stream = shipped()
    emission = emit(window, checkpoint.contract, "cortex-m4", stream=stream, prefix="left")
    assert b"left_lstm_0_units" in emission.files["left_model_lstm.S"]
    assert b"left_lstm_0_units" in emission.files["left_model.c"]


@pytest.mark.parametrize("prefix", ["", "2knee", "Knee", "et_knee", "knee-1", "a" * 32])
def test_prefix_that_cannot_begin_a_name(prefix: str) -> None:
    checkpoint, _, window, stream = shipped()
    with pytest.raises(UsageError, match="cannot begin C names: give a lower-case letter"):
        emit(window, checkpoint.contract, stream=stream, prefix=prefix)
