"""GELU: its values by hand, the integer reference against LiteRT over all of int8, the C against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from quantization.graph.ir import Graph, GraphBuilder, Quantization
from quantization.ops.gelu import gelu
from quantization.reference import Interpreter
from quantization.tflite.file import write
from tests.quantization.ops.drawn import SEEDS, Cases, Compiled, Draw, affine, compile_cases
from tests.quantization.reference.harness import Desktop, differing


def of(n: int, x: Quantization, y: Quantization) -> Graph:
    build = GraphBuilder("GELU")
    source, target = build.add("x", (1, n), np.int8, x), build.add("y", (1, n), np.int8, y)
    build.op("GELU", (source,), (target,), approximate=False)
    return build.build((source,), (target,))


def test_values_that_a_table_of_the_normal_distribution_gives() -> None:
    x = np.array([-3.0, -1.0, 0.0, 1.0, 2.0])
    # x times 0.00135, 0.15866, 0.5, 0.84134, 0.97725
    np.testing.assert_allclose(gelu(x), [-0.00405, -0.15866, 0.0, 0.84134, 1.95450], atol=1e-5)


@SEEDS
def test_the_reference_equals_litert_over_all_of_int8(seed: int) -> None:
    draw = np.random.default_rng(seed)
    graph = of(256, affine(draw, np.int8), affine(draw, np.int8))
    values = np.arange(-128, 128, dtype=np.int8)[None]
    engine = Desktop(write(graph))
    engine.run([values])
    reference = Interpreter(graph, "litert")
    reference.run([values])
    assert differing(reference, engine) == []


def drawn(draw: Draw, n: int) -> Graph:
    return of(n, affine(draw, np.int8), affine(draw, np.int8))


CASES: Cases = {"GELU int8": drawn}


@pytest.fixture(scope="module", params=["gcc", "clang"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_cases(CASES, request.param, tmp_path_factory.mktemp("ops"))


def test_c_equals_the_reference(host: Compiled) -> None:
    host.check("GELU int8")
