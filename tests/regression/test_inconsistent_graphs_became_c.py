"""A whole .tflite with a graph that contradicts itself was computed, and became C.

Only the bytes of a file were looked at. A scale of 1e38 gave factors with shifts by 130, undefined in C, where a register has
32 bits; a weight matrix that takes rows of 3 read 5 values a row, past the end of its own; an axis that a tensor lacks was a
traceback. A graph is now looked at when it is read (:mod:`quantization.ops.check`): shapes, types, order of the ops, constants,
scales whose shifts are legal. The native engine, the emitter of C and the reference never see another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantization.bundle import Bundle, new_bundle, write_bundle
from quantization.graph.graph_file import GraphFile
from quantization.graph.ir import Graph, Quantization
from quantization.tflite.file import read, write
from runtime.engines import open_engine
from tests.quantization.small_models import SMALL
from tests.runtime.engines.models import make_bundle
from tests.tools import require
from toolkit.errors import ModelFileError


def with_tensor(graph: Graph, name: str, **changes: object) -> Graph:
    place = graph.index(name)
    tensors = list(graph.tensors)
    tensors[place] = replace(tensors[place], **changes)  # type: ignore[arg-type]
    return replace(graph, tensors=tuple(tensors))


def enormous_scale(graph: Graph) -> Graph:
    return with_tensor(graph, "head/hidden/weight", quantization=Quantization.per_tensor(1e38))


def enormous_ratio(graph: Graph) -> Graph:
    """Each scale is allowed, and what they are to each other is not."""
    graph = with_tensor(graph, "head/hidden/weight", quantization=Quantization.per_tensor(1e17))
    return with_tensor(graph, "head/hidden", quantization=Quantization.per_tensor(1e-17))


def other_rows(graph: Graph) -> Graph:
    weights = graph.tensor("head/hidden/weight").data
    assert weights is not None
    wider = np.concatenate([weights, weights[:, :2]], axis=1)
    return with_tensor(graph, "head/hidden/weight", data=wider, shape=wider.shape)


def other_result(graph: Graph) -> Graph:
    return with_tensor(graph, "moments", shape=(1, 2 * graph.tensor("moments").shape[1]))


def other_type(graph: Graph) -> Graph:
    return with_tensor(graph, "moments", dtype=np.dtype(np.int8))


def missing_axis(graph: Graph) -> Graph:
    axis = next(
        graph.tensors[op.inputs[1]].name for op in graph.ops if op.kind == "MEAN" and len(op.inputs) == 2
    )
    return with_tensor(graph, axis, data=np.array([7], np.int32))


def backwards(graph: Graph) -> Graph:
    return replace(graph, ops=graph.ops[::-1])


CONTRADICTIONS: dict[Callable[[Graph], Graph], str] = {
    enormous_scale: r"'head/hidden/weight' has scale 1e\+38; allowed: 8\.67e-19 to 1\.15e\+18",
    enormous_ratio: r"its scales have the ratio .*e\+\d\d; the kernels compute ratios above 0 and below 2\^14",
    other_rows: r"its input has shape \(1, 16\) and its weights take rows of 18",
    other_result: r"its output 'moments' has shape \(1, 6\); it computes \(1, 3\)",
    other_type: r"its tensors are int16, int8, int8; allowed: ",
    missing_axis: r"op \d+ \(MEAN\) is inconsistent: it names axis 7 of 2",
    backwards: r"op 0 \(FULLY_CONNECTED\) reads tensor 'head/hidden' before it is computed",
}
NAMES = [change.__name__ for change in CONTRADICTIONS]


@pytest.fixture(scope="module")
def innocent(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("innocent") / "bundle", SMALL)


def window(bundle: Bundle) -> GraphFile:
    return bundle.graph("window", "int8")


@pytest.mark.parametrize("change", CONTRADICTIONS, ids=NAMES)
def test_a_contradiction_is_refused_when_it_is_read(
    innocent: Bundle, change: Callable[[Graph], Graph]
) -> None:
    content = write(change(read(window(innocent).content)))
    with pytest.raises(ModelFileError, match=rf"window\.tflite: .*{CONTRADICTIONS[change]}") as caught:
        read(content, "window.tflite")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [enormous_scale, other_rows], ids=lambda change: change.__name__)
def test_the_native_engine_does_not_compile_it(
    innocent: Bundle, change: Callable[[Graph], Graph], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("cc")
    monkeypatch.setenv("EDGETOOL_CACHE", str(tmp_path / "cache"))
    broken = replace(window(innocent), content=write(change(read(window(innocent).content))))
    graphs = [broken if graph.file == broken.file else graph for graph in innocent.graphs]
    with new_bundle(tmp_path / "hostile") as folder:
        write_bundle(
            folder, innocent.checkpoint, graphs, innocent.golden, about={"data": {"source": "drawn"}}
        )
    with pytest.raises(ModelFileError, match=r"models/window\.int8\.tflite: op \d+ .* is inconsistent"):
        open_engine(Bundle.load(tmp_path / "hostile"), "native")
