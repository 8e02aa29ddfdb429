"""Where a device first leaves the integer reference: a probing image of the same C keeps every tensor that is stored."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.targets.device_data import DeviceData, StreamData, reference_steps
from firmware_bridge.protocol.table import ValueFormat
from firmware_bridge.target.build import Image, build
from firmware_bridge.target.emulator import Emulator
from firmware_bridge.target.link import TargetLink, open_port
from quantization.graph.ir import Graph
from quantization.graph.ring_form import narrow
from quantization.reference import Interpreter

#: How a graph's integers travel.
FORMATS = {np.dtype(np.int8): ValueFormat.INT8, np.dtype(np.int16): ValueFormat.INT16}


def first_tensor(data: DeviceData, image: Image, c_folder: Path, first: Mapping[str, Any]) -> str | None:
    """The first tensor, in the order of computation, that the C in ``c_folder`` computes wrongly on the board of ``image``.

    ``first`` is the inference that differs, as a row's ``bit_exact`` names it: a window, or a recording and its step, which is
    reached again from a reset. Its name; None if all that can be seen are right.
    """
    probing = build(c_folder, image.board, c_folder.parent / "probe.elf", probe=True)
    with Emulator(probing) as emulator, TargetLink(open_port(emulator.url), image.board.name) as link:
        link.identify()
        if "window" in first:
            graph, reference = data.window_graph, _window(data, link, first["window"])
        else:
            assert data.stream is not None and data.stream_graph is not None
            # The C keeps rings narrow: its tensors are those of this graph.
            graph = narrow(data.stream_graph)
            reference = _steps(data.stream, graph, link, first["recording"], first["step"])
        return _first_wrong(graph, reference, link, data.window.inputs[0].shape[1])


def _window(data: DeviceData, link: TargetLink, window: int) -> Interpreter:
    """Runs one window here and there; the reference's interpreter, which holds every tensor."""
    place = int(np.flatnonzero(data.window.rows == window)[0])
    inputs = [stream[place] for stream in data.window.inputs]
    reference = Interpreter(data.window_graph)
    reference.run([values[None] for values in inputs])
    link.window(FORMATS[inputs[0].dtype], inputs)
    return reference


def _steps(stream: StreamData, graph: Graph, link: TargetLink, recording: int, step: int) -> Interpreter:
    """Runs a recording from reset up to and with ``step``, here and there."""
    inputs = stream.inputs[stream.recordings.index(recording)]
    link.reset()
    for row in range(step + 1):
        link.step(FORMATS[inputs[0].dtype], [values[row] for values in inputs])
    return next(islice(reference_steps(graph, stream.names, inputs), step, None))


def _first_wrong(graph: Graph, reference: Interpreter, link: TargetLink, rows: int) -> str | None:
    for op in graph.ops:
        expected = reference.tensor_at(op.outputs[0])
        kept = link.tensor(op.outputs[0], expected.nbytes)
        if kept is not None and not _same(
            np.frombuffer(kept, expected.dtype).reshape(expected.shape), expected, rows
        ):
            return graph.tensors[op.outputs[0]].name
    return None


def _same(kept: NDArray[Any], expected: NDArray[Any], rows: int) -> bool:
    """Whether both hold the same; in a ring of ``rows`` the newest row replaced the oldest, so that it may begin anywhere."""
    axes = [axis for axis, count in enumerate(expected.shape) if count == rows]
    return np.array_equal(kept, expected) or any(
        np.array_equal(np.roll(kept, shift, axis), expected) for axis in axes for shift in range(1, rows)
    )
