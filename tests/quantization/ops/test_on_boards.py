"""Every op's kernel for a core equals the integer reference bit for bit, on an emulated board."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantization.c_emitter.emit import kernel_files
from quantization.c_fragments.text import Pool
from quantization.reference import Interpreter
from tests.quantization.c_emitter.harness import BOARDS, emulate, link_image, write
from tests.quantization.ops import (
    test_activation,
    test_batch_matmul,
    test_elementwise,
    test_fully_connected,
    test_gelu,
    test_mean,
    test_quantize,
    test_rsqrt,
    test_softmax,
)
from tests.quantization.ops.drawn import LONG, SHORT, Cases, draw_inputs, operations, source_text
from tests.tools import require

CASES: Cases = {
    **test_elementwise.CASES,
    **test_fully_connected.CASES,
    **test_batch_matmul.CASES,
    **test_softmax.CASES,
    **test_mean.CASES,
    **test_rsqrt.CASES,
    **test_quantize.CASES,
    **test_activation.CASES,
    **test_gelu.CASES,
}

DRAWS = 4
BOARD_MAIN = """
#include <string.h>
#include "target.h"
{declarations}
int main(void) {{
    static edgetool_state state;
    int32_t failed = -1;
{calls}
    target_print_number(failed);
    return failed != -1;
}}
"""


@pytest.mark.parametrize(
    ("cases", "wanted"),
    [(CASES, SHORT), (CASES, LONG), (test_batch_matmul.RAGGED, SHORT)],
    ids=["short", "long", "ragged"],
)
@pytest.mark.parametrize("core", BOARDS)
def test_ops_on_board(core: str, cases: Cases, wanted: tuple[int, ...], tmp_path: Path) -> None:
    """All ops at the wanted lengths in one image: the DSP and Helium forms of the kernels against the reference."""
    require("arm-none-eabi-gcc", "qemu-system-arm")
    context, programs, made, names = operations(cases, core, wanted)
    dense = (
        ("et_fully_connected_mve_s16", "et_fully_connected_mve_s8")
        if core == "cortex-m55"
        else ("et_fully_connected_dsp",)
    )
    attention = ("et_batch_matmul_rows", "et_batch_matmul_columns") if wanted is SHORT else ()
    flat = ("et_add_flat_s16", "et_multiply_flat_s16", "et_fully_connected_s16")
    for kernel in (*dense, *attention, *flat) if cases is CASES else attention:
        assert any(f"{kernel}(" in program.text for program in programs), kernel
    arrays, calls = Pool("data_"), []
    for number, (program, graph) in enumerate(zip(programs, made)):
        draw = np.random.default_rng(number)
        for _ in range(DRAWS):
            inputs = draw_inputs(graph, draw, names[number].split()[0])
            (expected,) = Interpreter(graph).run(inputs)
            given = [arrays.array("x", drawn) for drawn in inputs]
            wanted = arrays.array("y", expected)
            calls.append(
                f"    {{ {program.outputs[0].ctype} y[{expected.size}]; run_{number}(&state, {', '.join(given)}, y);\n"
                f"      if (memcmp(y, {wanted}, sizeof y) != 0 && failed < 0) {{ failed = {number}; }} }}"
            )
    text = source_text(context, programs) + arrays.text()
    write({f"kernels/{name}": text for name, text in kernel_files(context).items()}, tmp_path)
    main = BOARD_MAIN.format(declarations=text, calls="\n".join(calls))
    sources = sorted(p for p in (tmp_path / "kernels").iterdir() if p.suffix in (".c", ".S"))
    status, said = emulate(link_image(tmp_path, main, core, *sources), core)
    assert said.lstrip("-").isdigit(), said
    assert (status, said) == (0, "-1"), names[int(said)]
