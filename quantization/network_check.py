"""Whether an imported network computes what its author's own computes: ``edgetool convert --check FILE.npz``.

An import can go wrong without an error: a key map that leaves out an output projection gives a model that runs, and every
later figure compares int8 with the wrong float. So the file holds inputs and *the network's own outputs* for them, written
where the network was trained, and nothing of edgetool's has a part in either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.graph.graph_file import GraphFile
from quantization.graph.ir import Graph
from quantization.importers.network import ImportedNetwork
from quantization.quantizer.search import reference_moments
from quantization.reference import float_graph
from quantization.tflite.file import read
from toolkit.contract import SensorContract
from toolkit.data.readers.npz import read_arrays
from toolkit.errors import ConversionError, InputError
from toolkit.model.float_model import FloatModel
from toolkit.printable import terminal_text
from toolkit.records import Windows

#: The largest difference that a float graph may have, as a share of the largest magnitude of the network's outputs. Single
#: precision in another order of sums is 1e-7 a step and stays below 2e-6 over 64 steps of an LSTM; a wrong weight does not.
BOUND = 1e-5
#: The array of the file that holds the network's outputs.
OUTPUTS = "outputs"
NOT_COMPARED = (
    "nothing was compared with the network's own outputs: int8 figures are relative to edgetool's reading of its weights; "
    "give --check FILE.npz (docs/IMPORT.md)"
)


@dataclass(frozen=True, eq=False)
class Check:
    """``inputs`` {stream: (N, T, C)} as the network takes them, ``outputs`` (N, O) as it gave them; ``file`` is the name."""

    file: str
    inputs: Mapping[str, NDArray[np.float32]]
    outputs: NDArray[np.float64]


def read_check(path: str | Path, contract: SensorContract, names: Mapping[str, str] | None = None) -> Check:
    """The check in an NPZ: an array (N, T, C) an input and ``outputs`` (N, O).

    An input's array has the name of its stream, or its name in the network by ``names`` {stream: name there}. Raises
    InputError naming an array that is missing, surplus, not finite or of another shape.
    """
    path = Path(path)
    arrays = read_arrays(path)
    streams = {item.stream.name: len(item.stream.channels) for item in contract.inputs}
    keys = {stream: _key(stream, arrays, names or {}) for stream in streams}
    wanted = [*keys.values(), OUTPUTS]
    if sorted(wanted) != sorted(arrays):
        raise InputError(
            f"{path} has arrays {', '.join(map(terminal_text, sorted(arrays))) or 'none'}; a check needs "
            f"{', '.join(wanted)}: the inputs as the network takes them and what it gave for them"
        )
    count = len(arrays[OUTPUTS]) if arrays[OUTPUTS].ndim else 0
    shapes: dict[str, tuple[int, ...]] = {OUTPUTS: (count, len(contract.outputs))}
    shapes |= {keys[s]: (count, contract.window, channels) for s, channels in streams.items()}
    for name, shape in shapes.items():
        values = arrays[name]
        if values.shape != shape or not count or values.dtype.kind not in "fiu":
            raise InputError(
                f"{path}: array {name!r} is {values.dtype} {list(values.shape)}; it must be numbers of shape "
                f"[N, {', '.join(map(str, shape[1:]))}] with the same N of at least 1 in all"
            )
        if not np.isfinite(values).all():
            raise InputError(f"{path}: array {name!r} holds a value that is not finite")
    inputs = {stream: arrays[key].astype(np.float32) for stream, key in keys.items()}
    return Check(path.name, inputs, arrays[OUTPUTS].astype(np.float64))


def _key(stream: str, arrays: Mapping[str, Any], names: Mapping[str, str]) -> str:
    theirs = names.get(stream, stream)
    return theirs if stream not in arrays and theirs in arrays else stream


def compare(check: Check, graphs: Sequence[GraphFile], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Figures for the manifest's ``check``: of the float window graph, and of the int8 one against the network's outputs.

    A standardisation of targets that the import undid (``provenance``) is done to the outputs as well. ConversionError with
    the figure if the float graph is further off than :data:`BOUND`.
    """
    theirs = _moments(check.outputs, provenance)
    floats = read(_window(graphs, "float32").content)
    ours = _float_moments(floats, check.inputs)
    apart = np.abs(ours - theirs)
    largest = float(np.abs(theirs).max())
    error = float(apart.max()) / largest if largest else float(apart.max())
    if not error <= BOUND:
        window, output = (int(v) for v in np.unravel_index(np.argmax(apart), apart.shape))
        raise ConversionError(
            f"the imported network does not compute what the author's does: {check.file}, window {window}, output {output} is "
            f"{theirs[window, output]:.6g} there and {ours[window, output]:.6g} here, {100 * error:.3g} % of the largest "
            f"output, and at most {100 * BOUND:g} % is allowed; the import, the check's inputs (they must be filtered and "
            "normalised as the network takes them) or the network's mode (eval) is wrong"
        )
    figures: dict[str, Any] = {
        "compared": True,
        "file": check.file,
        "windows": len(theirs),
        "float_error": error,
        "float_error_bound": BOUND,
    }
    if any(graph.scheme == "int8" for graph in graphs):
        integers = reference_moments(read(_window(graphs, "int8").content), check.inputs)
        figures["int8_error_pct"] = _error_pct(integers, theirs)
    return figures


def _window(graphs: Sequence[GraphFile], scheme: str) -> GraphFile:
    return next(graph for graph in graphs if (graph.graph, graph.scheme) == ("window", scheme))


def _float_moments(graph: Graph, inputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    """Moments (N, O) of a float window graph, in float64."""
    fed = {name: values.astype(np.float64) for name, values in inputs.items()}
    moments = float_graph.run(graph, fed)[graph.tensors[graph.outputs[0]].name]
    result: NDArray[np.float64] = np.asarray(moments, np.float64).reshape(len(moments), -1)
    return result


def _moments(outputs: NDArray[np.float64], provenance: Mapping[str, Any]) -> NDArray[np.float64]:
    imported = provenance.get("imported")
    target = imported.get("target") if isinstance(imported, Mapping) else None
    if not isinstance(target, Mapping):
        return outputs
    result: NDArray[np.float64] = outputs * np.asarray(target["std"]) + np.asarray(target["mean"])
    return result


def _error_pct(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float | None:
    """100 * RMS(ours - theirs) / deviation of theirs, as bench's ``error_vs_float_pct``; None where theirs is constant."""
    deviation = float(np.sqrt(np.mean(np.var(theirs, axis=0))))
    return 100.0 * float(np.sqrt(np.mean((ours - theirs) ** 2))) / deviation if deviation else None


def proved(
    model: FloatModel, graphs: Sequence[GraphFile], windows: Windows, check: Check | None
) -> dict[str, Any]:
    """What the manifest says of how a model was compared: its ``check``, or nothing for a model of our own without one.

    An imported network's float graph must also give what its program gives node by node; ConversionError if not.
    """
    if isinstance(model, ImportedNetwork):
        _require_lowering(model, graphs, windows)
    if check is not None:
        return {"check": compare(check, graphs, model.provenance)}
    if "imported" in model.provenance:
        return {"check": {"compared": False, "note": NOT_COMPARED}}
    return {}


def _require_lowering(model: ImportedNetwork, graphs: Sequence[GraphFile], windows: Windows) -> None:
    wanted = model.window(windows.inputs)
    ours = _float_moments(read(_window(graphs, "float32").content), windows.inputs)
    apart, largest = float(np.abs(ours - wanted).max()), float(np.abs(wanted).max())
    if not apart <= BOUND * largest:
        raise ConversionError(
            f"the float graph of the imported network is {apart:.3g} from the network itself, whose outputs reach "
            f"{largest:.3g}: this is a bug in edgetool, please report it with the file"
        )
