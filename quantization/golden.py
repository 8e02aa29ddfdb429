"""Golden vectors: windows and what each graph must give for them, to check a target without the data.

An NPZ without pickles. Each stream (``imu``, ``emg``) is float32 (n, T, channels), filtered and normalised;
``moments.reference`` float32 (n, outputs) in Nm/kg is the float reference computed in float64.
For every window graph in int8, ``{stream}.{graph}.int8`` are its quantized inputs, and
``moments.{graph}.{scheme}.{runtime}`` its raw outputs in the file's own type, ``runtime`` being ``litert`` or ``tflm``:
their integer arithmetic differs, so there is no single right answer (docs/BUNDLE.md).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quantization.graph.graph_file import GraphFile
from quantization.importers.network import float_moments
from quantization.tflite.run import has_tflm, run_litert, run_tflm
from quantization.tflite.stderr import quiet
from toolkit.errors import BundleError
from toolkit.model.float_model import FloatModel
from toolkit.records import Windows

Golden: TypeAlias = Mapping[str, NDArray[Any]]


def to_bytes(vectors: Golden) -> bytes:
    """The NPZ; the same arrays give the same bytes (numpy writes the zip's dates as 1980-01-01)."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, allow_pickle=False, **{name: np.ascontiguousarray(vectors[name]) for name in sorted(vectors)}
    )
    return buffer.getvalue()


def read(content: bytes, where: str) -> dict[str, NDArray[Any]]:
    """The arrays of :func:`to_bytes`'s form; BundleError if it is not one."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise BundleError(f"{where} is not an NPZ of golden vectors ({error}); convert again") from None


def golden_vectors(
    checkpoint: FloatModel, graphs: Sequence[GraphFile], windows: Windows
) -> tuple[dict[str, NDArray[Any]], list[GraphFile]]:
    """Arrays as this module lists them, and the graphs with a note where TFLM cannot run one."""
    streams = [item.stream.name for item in checkpoint.contract.inputs]
    inputs = {stream: np.ascontiguousarray(windows.inputs[stream]) for stream in streams}
    vectors: dict[str, NDArray[Any]] = dict(inputs)
    vectors["moments.reference"] = float_moments(checkpoint, inputs).astype(np.float32)
    noted = []
    for graph in graphs:
        if (graph.graph, graph.scheme) == ("window", "int8"):
            name = f"{graph.graph}.{graph.scheme}"
            with quiet():
                moments, given = run_litert(graph.content, inputs)
                vectors[f"moments.{name}.litert"] = moments
                vectors.update({f"{stream}.{name}": given[stream] for stream in streams})
                if has_tflm():
                    try:
                        vectors[f"moments.{name}.tflm"] = run_tflm(graph.content, inputs)
                    except RuntimeError as error:
                        note = f"does not run on TensorFlow Lite Micro: {str(error).splitlines()[0]}"
                        graph = replace(graph, notes=(*graph.notes, note))
        noted.append(graph)
    return vectors, noted
