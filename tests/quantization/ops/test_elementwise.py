"""ADD, SUB, MUL, SQUARED_DIFFERENCE, MINIMUM, MAXIMUM: the integer reference equals the engines, the C the reference.

The short forms of ADD, SUB and MUL on int16 equal the general kernels for every int16 of one operand. The other operand
goes over the ends of its range and values between; scales cover equal ones, large ratios, results that are limited and
results that vanish.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantization.c_emitter.emit import kernel_files
from quantization.c_emitter.graph_function import lower_graph
from quantization.c_fragments.context import Context
from quantization.c_fragments.text import Pool
from quantization.graph.ir import Graph, GraphBuilder, Quantization
from tests.quantization.c_emitter.harness import STRICT, emulate, link_image, run, write
from tests.quantization.ops.drawn import (
    DTYPES,
    SEEDS,
    Cases,
    Compiled,
    Draw,
    affine,
    compile_cases,
    every_int16,
    product_of_scales,
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


@DTYPES
@SEEDS
@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL", "SQUARED_DIFFERENCE"])
@pytest.mark.parametrize("shape", [(50, 7), (7,), (1, 1), (50, 1)])
def test_binary(dtype: np.dtype, seed: int, kind: str, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(seed)
    sa = scale(random)
    sb = sa * 10 ** random.uniform(-1, 1)
    full = float(np.iinfo(dtype).max)
    sy = {
        "ADD": max(sa, sb),
        "SUB": max(sa, sb),
        "MUL": sa * sb * full / 2,
        "SQUARED_DIFFERENCE": max(sa, sb) ** 2 * full,
    }[kind] * 10 ** random.uniform(0, 0.5)
    model = OneOp().feed(integers(random, dtype, (50, 7)), quantization(sa, zero_point(random, dtype)))
    model.feed(integers(random, dtype, shape), quantization(sb, zero_point(random, dtype)))
    graph, inputs = model.op(kind, (50, 7), dtype, quantization(sy, zero_point(random, dtype)))
    # Desktop LiteRT has no int16 SQUARED_DIFFERENCE.
    compare(graph, inputs, desktop=not (kind == "SQUARED_DIFFERENCE" and dtype == INT16))


@SEEDS
def test_minimum_and_maximum(seed: int) -> None:
    random = np.random.default_rng(seed)
    quantized = quantization(scale(random), zero_point(random, INT8))
    a, b = integers(random, INT8, (5, 9)), integers(random, INT8, (5, 9))
    for kind in ("MINIMUM", "MAXIMUM"):
        graph, inputs = OneOp().feed(a, quantized).feed(b, quantized).op(kind, a.shape, INT8, quantized)
        compare(graph, inputs)


def test_precision_of_the_product_of_scales() -> None:
    product_of_scales("MUL")


@SEEDS
@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
def test_every_int16_value(kind: str, seed: int) -> None:
    every_int16(kind, seed)


def binary(kind: str, draw: Draw, n: int, dtype: Any) -> Graph:
    build = GraphBuilder(kind)
    shared = affine(draw, dtype)
    same = kind in ("MINIMUM", "MAXIMUM")
    a = build.add("a", (1, n), dtype, shared if same else affine(draw, dtype))
    b = build.add(
        "b",
        (1, 1) if draw.integers(2) else (1, n),
        dtype,
        shared if same else affine(draw, dtype),
    )
    high = 2.0 if kind in ("MUL", "SQUARED_DIFFERENCE") else 0.05
    y = build.add("y", (1, n), dtype, shared if same else affine(draw, dtype, 0.01, high))
    build.op(kind, (a, b), (y,))
    return build.build((a, b), (y,))


CASES: Cases = {
    f"{kind} {np.dtype(t).name}": (lambda d, n, k=kind, t=t: binary(k, d, n, t))
    for kind in ("ADD", "SUB", "MUL", "SQUARED_DIFFERENCE", "MINIMUM", "MAXIMUM")
    for t in (np.int8, np.int16)
}


@pytest.fixture(scope="module", params=["gcc", "clang"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_cases(CASES, request.param, tmp_path_factory.mktemp("ops"))


@pytest.mark.parametrize("case", CASES)
def test_c_equals_the_reference(host: Compiled, case: str) -> None:
    host.check(case)


COUNT = 64
#: Op, scales of a, b and y, elements of b. All have a short form.
SHORT_FORMS = (
    ("ADD", 0.01, 0.01, 0.02, COUNT),
    ("ADD", 0.01, 0.0099999, 0.011, COUNT),
    ("ADD", 0.0003, 0.0211, 0.0100, COUNT),
    ("ADD", 0.5, 0.0000004, 0.3, COUNT),
    ("SUB", 0.01, 0.01, 0.02, COUNT),
    ("SUB", 0.017, 0.0031, 0.0041, COUNT),
    ("SUB", 0.017, 0.0031, 0.0041, 1),
    ("SUB", 0.01, 0.01, 0.5, 1),
    ("MUL", 0.001, 0.001, 0.002, COUNT),
    ("MUL", 0.00031, 0.0007, 0.0123, COUNT),
    ("MUL", 0.01, 0.003, 0.001, 1),
    ("MUL", 0.7, 0.4, 1.1, 1),
)

MAIN = """
#include <string.h>
#include "kernels/et_elementwise.h"
{include}
typedef struct {{ int16_t shorts[4]; int8_t bytes[4]; }} edgetool_state;
{text}
typedef void (*function)(edgetool_state *, const int16_t *, const int16_t *, int16_t *);
static function fast[] = {{{fast}}};
static function slow[] = {{{slow}}};
static const int32_t steps[] = {{{steps}}};
static const int16_t others[] = {{-32768, -32767, -12345, -1, 0, 1, 2, 9999, 32767}};
static edgetool_state state;
int main(void) {{
    int16_t every[{count}], other[{count}], wanted[{count}], given[{count}];
    for (int32_t c = 0; c < {cases}; ++c) {{
        for (int32_t k = 0; k < 10; ++k) {{
            for (int32_t first = -32768; first < 32768; first += {count}) {{
                for (int32_t i = 0; i < {count}; ++i) {{
                    every[i] = (int16_t)(first + i);
                    other[i] = k < 9 ? others[k] : (int16_t)(first + i);
                }}
                fast[c](&state, every, other, given);
                slow[c](&state, every, other, wanted);
                if (memcmp(given, wanted, sizeof given) != 0) {{ return 1 + c; }}
                if (steps[c] != 0) {{
                    fast[c](&state, other, every, given);
                    slow[c](&state, other, every, wanted);
                    if (memcmp(given, wanted, sizeof given) != 0) {{ return 1 + c; }}
                }}
            }}
        }}
    }}
    return 0;
}}
"""


def graph(kind: str, a: float, b: float, y: float, elements: int) -> Graph:
    build = GraphBuilder(kind)
    left = build.add("a", (1, COUNT), np.int16, Quantization.per_tensor(a))
    right = build.add("b", (1, elements), np.int16, Quantization.per_tensor(b))
    result = build.add("y", (1, COUNT), np.int16, Quantization.per_tensor(y))
    build.op(kind, (left, right), (result,))
    return build.build((left, right), (result,))


def both_forms(core: str, folder: Path, include: str) -> tuple[str, list[Path]]:
    """The C of all cases lowered for ``target`` and for any compiler, and the kernels of both."""
    short, general = Context(core, "speed"), Context("c99", "speed", Pool("slow_"))
    fast = [lower_graph(short, graph(*case), f"fast_{i}") for i, case in enumerate(SHORT_FORMS)]
    slow = [lower_graph(general, graph(*case), f"slow_{i}") for i, case in enumerate(SHORT_FORMS)]
    assert not any("et_add_s16" in p.text or "et_multiply_s16" in p.text for p in fast)
    assert all("et_add_s16" in p.text or "et_multiply_s16" in p.text for p in slow)
    text = MAIN.format(
        include=include,
        text="\n".join([short.pool.text(), general.pool.text(), *(p.text for p in (*fast, *slow))]),
        fast=", ".join(p.name for p in fast),
        slow=", ".join(p.name for p in slow),
        steps=", ".join(str(int(case[-1] > 1)) for case in SHORT_FORMS),
        count=COUNT,
        cases=len(SHORT_FORMS),
    )
    kernels = {**kernel_files(short), **kernel_files(general)}
    write({f"kernels/{name}": content for name, content in kernels.items()}, folder)
    return text, sorted((folder / "kernels").glob("*.c"))


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55"])
def test_short_forms_on_board(core: str, tmp_path: Path) -> None:
    require("arm-none-eabi-gcc", "qemu-system-arm")
    text, sources = both_forms(core, tmp_path, '#include "target.h"')
    assert emulate(link_image(tmp_path, text, core, *sources), core) == (0, "")


def test_short_forms_in_portable_c(tmp_path: Path) -> None:
    require("gcc")
    text, sources = both_forms("cortex-m4", tmp_path, "")
    (tmp_path / "main.c").write_text(text)
    program = tmp_path / "main"
    checks = ("-fsanitize=undefined", "-fno-sanitize-recover=all")
    run(["gcc", *STRICT, "-O2", *checks, f"-I{tmp_path}", tmp_path / "main.c", *sources, "-o", program])
    run([program])
