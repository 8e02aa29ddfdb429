"""SOFTMAX: the integer reference equals the engines; its C equals the reference, for every distance from the maximum too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantization.c_emitter.emit import kernel_files
from quantization.c_emitter.graph_function import lower_graph
from quantization.c_fragments.context import Context
from quantization.graph.ir import Graph, GraphBuilder, Quantization
from quantization.reference import Interpreter
from tests.quantization.c_emitter.harness import NO_PROBE, emulate, link_image, run, write
from tests.quantization.ops.drawn import (
    SEEDS,
    Cases,
    Compiled,
    Draw,
    affine,
    compile_cases,
    scale,
)
from tests.quantization.reference.harness import (
    INT8,
    INT16,
    OneOp,
    compare,
    integers,
    quantization,
    zero_point,
)
from tests.tools import require


@SEEDS
@pytest.mark.parametrize(
    ("dtype", "output", "out_scale", "out_zero"),
    [(INT8, INT8, 1 / 256, -128), (INT8, INT16, 1 / 65536, -32768), (INT16, INT16, 1 / 32768, 0)],
)
def test_softmax(seed: int, dtype: np.dtype, output: np.dtype, out_scale: float, out_zero: int) -> None:
    random = np.random.default_rng(seed)
    values = (integers(random, dtype, (9, int(random.integers(1, 70)))) * random.uniform(0.05, 1)).astype(
        dtype
    )
    sx = scale(random, -3, 0.3) if dtype == INT8 else scale(random, -5, -2)
    model = OneOp().feed(values, quantization(sx, zero_point(random, dtype)))
    beta = float(random.choice([1.0, 0.125]))
    graph, inputs = model.op("SOFTMAX", values.shape, output, quantization(out_scale, out_zero), beta=beta)
    compare(graph, inputs)


def softmax(draw: Draw, n: int, source: Any, target: Any) -> Graph:
    build = GraphBuilder("softmax")
    x = build.add("x", (1, 2, n), source, affine(draw, source, 0.0005, 0.2))
    out = {8: (1 / 256, -128), 16: (1 / 32768, 0)}[8 * np.dtype(target).itemsize]
    if np.dtype(source).itemsize == 1 and np.dtype(target).itemsize == 2:
        out = (1 / 65536, -32768)
    y = build.add("y", (1, 2, n), target, Quantization.per_tensor(*out))
    build.op("SOFTMAX", (x,), (y,), beta=1.0)
    return build.build((x,), (y,))


CASES: Cases = {
    "SOFTMAX int8": lambda d, n: softmax(d, n, np.int8, np.int8),
    "SOFTMAX int8 to int16": lambda d, n: softmax(d, n, np.int8, np.int16),
    "SOFTMAX int16": lambda d, n: softmax(d, n, np.int16, np.int16),
}


@pytest.fixture(scope="module", params=["gcc", "clang"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_cases(CASES, request.param, tmp_path_factory.mktemp("ops"))


@pytest.mark.parametrize("case", CASES)
def test_c_equals_the_reference(host: Compiled, case: str) -> None:
    host.check(case)


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
