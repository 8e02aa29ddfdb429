"""edgetool's own converter: lowers, calibrates and quantizes in numpy, and writes the .tflite itself. No TensorFlow.

Window and stream graph come out with the same weights and scales. How LiteRT carries the stream's state was decided by
measurement (docs/CONVERTER.md): LSTM state lives in the op's variable tensors, because the fused op accepts nothing else;
the rings of hidden states are inputs and outputs, which the caller swaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantization import passes
from quantization.graph.graph_file import GraphFile, Scheme
from quantization.graph.ir import Graph
from quantization.graph.ring_form import widen
from quantization.importers.network import stream_graph, window_graph
from quantization.lowering import NoStreamError
from quantization.quantizer.calibration import Calibration, calibrate
from quantization.quantizer.quantize import quantize
from quantization.quantizer.recipe import Recipe
from quantization.tflite.file import write
from toolkit.errors import UsageError
from toolkit.model.float_model import FloatModel
from toolkit.records import Windows


def build(
    checkpoint: FloatModel,
    calibration: Windows,
    *,
    scheme: Scheme,
    metadata: Mapping[str, bytes] | None = None,
    recipe: Recipe | Mapping[str, Any] | None = None,
    **options: Any,
) -> list[GraphFile]:
    """Window and stream graphs of ``scheme``, and with int8 the float32 ones as their baseline.

    ``recipe`` is a :class:`Recipe` or its JSON. Raises UsageError for an unknown option or a cell state too large for
    int16, RecordingError for calibration data that is not finite.
    """
    if options:
        raise UsageError(
            f"option {', '.join(sorted(options))} is not known to the builtin converter; allowed: recipe"
        )
    chosen = recipe if isinstance(recipe, Recipe) else Recipe.from_json(recipe or {})
    floats = {"window": passes.apply(window_graph(checkpoint), chosen.passes)}
    why: tuple[str, ...] = ()
    try:
        floats["stream"] = passes.apply(stream_graph(checkpoint), chosen.passes)
    except NoStreamError as error:
        why = (f"there is no stream graph: {error}",)
    floats = {kind: graph.with_metadata(**(metadata or {})) for kind, graph in floats.items()}
    files = [_file(kind, "float32", graph, None, why) for kind, graph in floats.items()]
    if scheme == "float32":
        return files
    windows = {item.stream.name: calibration.inputs[item.stream.name] for item in checkpoint.contract.inputs}
    observed = calibrate(floats["window"], windows, method=chosen.calibration)
    integers = quantized(floats, observed, chosen)
    # Rings in the form that LiteRT runs fastest; a window graph has none.
    files += [
        _file(kind, "int8", widen(graph), chosen, (*why, *observed.warnings))
        for kind, graph in integers.items()
    ]
    return files


def quantized(floats: Mapping[str, Graph], observed: Calibration, recipe: Recipe) -> dict[str, Graph]:
    """Integer graphs of the float graphs, by the same calibration, so that equal tensors have equal scales."""
    window = floats["window"]
    return {
        kind: quantize(graph, observed, recipe, None if graph is window else window)
        for kind, graph in floats.items()
    }


def _file(
    kind: Any, scheme: Scheme, graph: Graph, recipe: Recipe | None, notes: tuple[str, ...]
) -> GraphFile:
    return GraphFile(
        kind,
        scheme,
        write(graph),
        None if recipe is None else recipe.to_json(),
        notes,
        graph.state,
    )
