"""The int16 softmax equals the integer reference for every distance from the largest value.

Results are compared by a sum over them, which the image computes: 65,536 values a case.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantization.c_emitter.emit import kernel_files
from quantization.c_emitter.graph_function import lower_graph
from quantization.c_fragments.context import Context
from quantization.graph.ir import Graph, GraphBuilder, Quantization
from quantization.reference import Interpreter
from tests.quantization.c_emitter.harness import NO_PROBE, emulate, link_image, run, write
from tests.tools import require

DEPTH = 17
#: Scales of the input: shifts of the factor to the table from below 0 to above 14.
SCALES = (0.00001, 0.0001, 0.0007, 0.0019, 0.05, 5.0)

MAIN = """
#include "kernels/et_softmax.h"
{include}
typedef struct {{ int16_t shorts[4]; int8_t bytes[4]; }} edgetool_state;
{text}
typedef void (*function)(edgetool_state *, const int16_t *, int16_t *);
static function cases[] = {{{cases}}};
static const uint32_t wanted[] = {{{wanted}}};
static edgetool_state state;
int main(void) {{
    for (int c = 0; c < {count}; ++c) {{
        uint32_t sum = 2166136261u;
        for (int32_t first = -32768; first < 32768; first += {depth} - 1) {{
            int16_t x[{depth}], y[{depth}];
            for (int32_t i = 0; i < {depth} - 1; ++i) {{ x[i] = (int16_t)(first + i); }}
            x[{depth} - 1] = 32767;
            cases[c](&state, x, y);
            for (int32_t i = 0; i < {depth}; ++i) {{ sum = sum * 31u + (uint32_t)y[i]; }}
        }}
        if (sum != wanted[c]) {{ return 1 + c; }}
    }}
    return 0;
}}
"""


def graph(scale: float) -> Graph:
    build = GraphBuilder("softmax")
    x = build.add("x", (4096, DEPTH), np.int16, Quantization.per_tensor(scale))
    y = build.add("y", (4096, DEPTH), np.int16, Quantization.per_tensor(2.0**-15))
    build.op("SOFTMAX", (x,), (y,), beta=1.0)
    return build.build((x,), (y,))


def checksum(values: np.ndarray) -> int:
    """The image's sum: s -> 31 s + value modulo 2^32."""
    total = 2166136261
    for value in values.reshape(-1).tolist():
        total = (total * 31 + value) & 0xFFFFFFFF
    return total


@pytest.fixture(scope="module")
def wanted() -> list[int]:
    rows = np.arange(-32768, 32768).reshape(-1, DEPTH - 1)
    x = np.concatenate([rows, np.full((len(rows), 1), 32767)], axis=1).astype(np.int16)
    return [checksum(Interpreter(graph(scale)).run([x])[0]) for scale in SCALES]


def source(core: str, wanted: list[int], folder: Path, include: str) -> tuple[str, list[Path]]:
    context = Context(core, "speed")
    programs = [lower_graph(context, graph(scale), f"case_{i}") for i, scale in enumerate(SCALES)]
    # The reference takes all rows at once, the image one at a time.
    constants = context.pool.text().replace("4096,", "1,")
    text = MAIN.format(
        include=include,
        text="\n".join([constants, *(p.text for p in programs)]),
        cases=", ".join(p.name for p in programs),
        wanted=", ".join(f"{value}u" for value in wanted),
        count=len(SCALES),
        depth=DEPTH,
    )
    write({f"kernels/{name}": content for name, content in kernel_files(context).items()}, folder)
    return text, sorted((folder / "kernels").glob("*.c"))


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55"])
def test_every_distance_on_board(core: str, wanted: list[int], tmp_path: Path) -> None:
    require("arm-none-eabi-gcc", "qemu-system-arm")
    text, sources = source(core, wanted, tmp_path, '#include "target.h"')
    assert emulate(link_image(tmp_path, text, core, *sources), core) == (0, "")


def test_every_distance_in_portable_c(wanted: list[int], tmp_path: Path) -> None:
    require("gcc")
    text, sources = source("c99", wanted, tmp_path, "")
    (tmp_path / "main.c").write_text(text)
    checks = ("-fsanitize=undefined,address", "-fno-sanitize-recover=all")
    command = ["gcc", "-std=c99", "-O2", NO_PROBE, *checks, f"-I{tmp_path}", tmp_path / "main.c", *sources]
    run([*command, "-o", tmp_path / "main"])
    run([tmp_path / "main"])
