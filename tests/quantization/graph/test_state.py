"""What a stream carries, as a manifest describes it: there and back, and refused in one line where it is not of the graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quantization.graph.ir import Graph, GraphBuilder, Quantization
from quantization.graph.ring_form import narrow
from quantization.graph.state import StreamState
from toolkit.errors import ModelFileError


def stream() -> Graph:
    """A ring that takes one new row a run."""
    build = GraphBuilder("stream")
    one = Quantization.per_tensor(0.1)
    row = build.add("row", (1, 1, 2), np.int16, one)
    ring = build.add("ring", (1, 3, 2), np.int16, one)
    memory = build.add("memory", (1, 4, 2), np.int16, one)
    build.op("CONCATENATION", (ring, row), (memory,), axis=1)
    begin = build.constant("begin", np.array([0, 1, 0], np.int32))
    size = build.constant("size", np.array([1, 3, 2], np.int32))
    after = build.add("ring.next", (1, 3, 2), np.int16, one)
    build.op("SLICE", (memory, begin, size), (after,))
    return build.build((row, ring), (memory, after)).with_state([(1, 1, 7)])


def test_a_state_is_the_same_after_json() -> None:
    state = stream().state
    assert state is not None
    assert StreamState.from_json(state.to_json()) == state
    assert stream().carrying(state).state == state
    (ring,) = state.start(5).values()
    assert ring.shape == (5, 1, 3, 2) and ring.dtype == np.int16 and (ring == 7).all()


def test_a_ring_that_is_no_widened_int8_stays_as_it_is() -> None:
    assert [t.dtype for t in narrow(stream()).tensors] == [t.dtype for t in stream().tensors]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input": "row"}, "carries 'row', int16 .*, and has 'ring'"),
        ({"output": "memory"}, "carries 'memory', int16 .*, and has 'ring.next'"),
        ({"input_place": 2}, "to place 2, and has 2 inputs"),
        ({"output_place": -1}, "from place -1"),
        ({"shape": (1, 4, 2)}, r"int16 \(1, 4, 2\)"),
        ({"dtype": "int8"}, "carries 'ring', int8"),
    ],
)
def test_a_state_of_another_graph_is_refused(changes: dict[str, Any], words: str) -> None:
    graph = stream()
    assert graph.state is not None
    other = replace(graph.state, carried=(replace(graph.state.carried[0], **changes),))
    with pytest.raises(ModelFileError, match=words):
        graph.carrying(other)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input", 3),
        ("input_place", True),
        ("shape", [1, -1]),
        ("shape", "wide"),
        ("dtype", "object"),
        ("initial", float("nan")),
        ("initial", 40_000),
        ("initial", 0.5),
        ("initial", None),
    ],
)
def test_json_that_is_no_state_is_refused_in_one_line(name: str, value: Any) -> None:
    state = stream().state
    assert state is not None
    document = state.to_json()
    document["carried"][0][name] = value
    with pytest.raises(ModelFileError, match=r"the stream's state .* convert again") as caught:
        StreamState.from_json(document)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("document", [[], "state", {}, {"carried": [1], "variables": []}, {"carried": []}])
def test_another_document_is_refused(document: Any) -> None:
    with pytest.raises(ModelFileError, match="the stream's state"):
        StreamState.from_json(document)
