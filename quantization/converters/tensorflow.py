"""The converter ``tensorflow``: the checkpoint as a tf_keras replica, through TFLiteConverter. Window graph only.

The replica must equal the numpy reference on random windows before it is converted, and the float .tflite
after. What the converter does not get right is set in its file: it gives every fused LSTM a cell clip of 10 that
the model does not have, and an int8 output (:mod:`quantization.converters.tensorflow_output`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.converters import tensorflow_model
from quantization.converters.compaction import compact
from quantization.converters.tensorflow_output import refine_output
from quantization.graph.graph_file import GraphFile, Scheme
from quantization.importers.network import cross_lstm
from quantization.quantizer import outliers
from quantization.tflite.model import (
    dump_model,
    load_model,
    operator_name,
    remove_entry,
    set_entry,
)
from quantization.tflite.run import run_litert
from quantization.tflite.stderr import quiet
from toolkit.errors import ConversionError, MissingDependencyError, UsageError
from toolkit.model import float_reference
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import STREAMS
from toolkit.model.float_model import FloatModel
from toolkit.records import Windows

#: Largest difference in Nm/kg (of outputs up to 1 in size, relative above) between float32 and the reference.
TOLERANCE = 1e-5
_CHECKED_WINDOWS = 8
#: An int8 graph with more than this share of the moments' deviation, and this many Nm/kg, as error is wrong, not coarse.
WRONG, WRONG_NM_KG = 0.5, 0.02
_CHECKED_INT8_WINDOWS = 32
#: Keras fusion writes this clip into the file; the converter also calibrates with it.
KERAS_CELL_CLIP = 10.0


def build(
    checkpoint: FloatModel,
    calibration: Windows,
    *,
    scheme: Scheme,
    metadata: Mapping[str, bytes] | None = None,
    **options: Any,
) -> list[GraphFile]:
    """The window graph in float32 and, for the scheme int8, in int8 (see ``quantization.converters.Build``).

    Raises MissingDependencyError without tensorflow, ConversionError if the replica, the converter or the float
    file does not reproduce the checkpoint.
    """
    if options:
        raise UsageError(f"the tensorflow converter has no option {', '.join(options)}; it takes none")
    checkpoint = cross_lstm(checkpoint, "the tensorflow converter")
    random = _random_windows(checkpoint)
    with quiet():
        replica = _replica(checkpoint)
        require_equal(checkpoint, random, _run_replica(replica, random), "the tf_keras replica")
        float_content = _polish(_converted(replica, None), checkpoint, None, metadata or {})
        require_equal(checkpoint, random, run_litert(float_content, random)[0], "the float32 .tflite")
        graphs = [GraphFile("window", "float32", float_content)]
        if scheme == "int8":
            content = _polish(_converted(replica, calibration), checkpoint, calibration, metadata or {})
            _require_near(checkpoint, calibration, content)
            recipe = {
                "ranges": "minmax",
                "weights": "per-channel dense, per-tensor LSTM",
                "cell": "int16, power-of-two scale",
                "output": "int16",
            }
            graphs.insert(
                0, GraphFile("window", "int8", content, recipe, tuple(_notes(checkpoint, calibration)))
            )
    return graphs


def require_equal(
    checkpoint: Checkpoint, inputs: dict[str, NDArray[np.float32]], moments: NDArray[Any], what: str
) -> None:
    """Raise ConversionError naming ``what`` unless ``moments`` are the reference's for ``inputs``."""
    expected = float_reference.window(checkpoint, inputs)
    difference = float(np.abs(moments - expected).max())
    bound = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if not difference <= bound:
        raise ConversionError(
            f"{what} differs from the checkpoint's float reference by {difference:.3g} Nm/kg on random windows; at most "
            f"{bound:.3g} is allowed: nothing was written"
        )


def _require_near(checkpoint: Checkpoint, calibration: Windows, content: bytes) -> None:
    """Raise ConversionError if the int8 graph is plainly wrong on LiteRT, as with some stacked LSTM layers it is."""
    rows = np.unique(np.linspace(0, len(calibration) - 1, _CHECKED_INT8_WINDOWS).astype(np.int64))
    inputs = {stream: values[rows] for stream, values in calibration.inputs.items()}
    expected = float_reference.window(checkpoint, inputs)
    model = load_model(content)
    scale = float(model.subgraphs[0].tensors[model.subgraphs[0].outputs[0]].quantization.scale[0])
    moments = run_litert(content, inputs)[0] * scale
    spread = float(np.sqrt(expected.var(axis=0).mean()))
    error = float(np.sqrt(np.mean((moments - expected) ** 2)))
    if error > WRONG * spread and error > WRONG_NM_KG:
        found = outliers.find(calibration.inputs).warnings
        raise ConversionError(
            f"TFLiteConverter's int8 graph is off by {error:.3g} Nm/kg on LiteRT where the moments' deviation is "
            f"{spread:.3g}; {checkpoint.config.layers} LSTM layers per stream: use --converter builtin or --scheme float32"
            + "".join(f"; {text}" for text in found)
        )


def _random_windows(checkpoint: Checkpoint) -> dict[str, NDArray[np.float32]]:
    """Normal values with deviation 1, as normalised inputs have, always the same."""
    config, generator = checkpoint.config, np.random.default_rng(0)
    return {
        stream: generator.standard_normal(
            (_CHECKED_WINDOWS, config.window, config.channels(stream)), np.float32
        )
        for stream in config.streams
    }


def _replica(checkpoint: Checkpoint) -> Any:
    # Both are read when tensorflow is first imported; what the user has set stays.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    try:
        return tensorflow_model.build(checkpoint)
    except ImportError as error:
        raise MissingDependencyError(
            f"the tensorflow converter needs tensorflow and tf_keras ({error}); pip install 'edgetool[tensorflow]'"
        ) from None


def _run_replica(replica: Any, inputs: dict[str, NDArray[np.float32]]) -> NDArray[Any]:
    count = len(next(iter(inputs.values())))
    return np.concatenate(
        [replica.window(*(values[i : i + 1] for values in inputs.values())).numpy() for i in range(count)]
    )


def _converted(replica: Any, calibration: Windows | None) -> bytes:
    """TFLiteConverter's file: float32 without ``calibration``, else full int8 with a float output."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [replica.window.get_concrete_function()], replica
    )
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.representative_dataset = lambda: (
            {stream: values[i : i + 1] for stream, values in calibration.inputs.items()}
            for i in range(len(calibration))
        )
    try:
        return bytes(converter.convert())
    except Exception as error:  # the converter raises whatever its C++ side reports
        raise ConversionError(
            f"TFLiteConverter failed: {str(error).strip().splitlines()[0]}; use the versions of edgetool[tensorflow]"
        ) from error


def _polish(
    content: bytes, checkpoint: Checkpoint, calibration: Windows | None, metadata: Mapping[str, bytes]
) -> bytes:
    """Set what the converter does not: no cell clip, int16 output, names, metadata; same bytes in every process."""
    model = load_model(content)
    graph = model.subgraphs[0]
    if calibration is not None:
        layer = tensorflow_model.dense_layers(checkpoint)["head.output"]
        moments = float_reference.window(checkpoint, calibration.inputs, np.float32)
        refine_output(model, *layer, largest_moment=float(np.abs(moments).max()))
    for operator in graph.operators:
        if operator_name(model, operator) == "UNIDIRECTIONAL_SEQUENCE_LSTM":
            operator.builtin_options.cell_clip = 0.0
    _rename(model)
    remove_entry(model, "CONVERSION_METADATA")  # holds a hash of names that change from process to process
    compact(model)
    for name, value in metadata.items():
        set_entry(model, name, value)
    model.description = f"Cross-LSTM, window graph, {'float32' if calibration is None else 'int8'}".encode()
    return dump_model(model)


def _rename(model: Any) -> None:
    """Name tensors after the operator that makes or takes them; the converter's names are chance."""
    graph = model.subgraphs[0]
    by_channels = [str(graph.tensors[i].name.decode()) for i in graph.inputs]
    for place, operator in enumerate(graph.operators):
        kind = operator_name(model, operator).lower().replace("unidirectional_sequence_lstm", "lstm")
        name = f"{place:02d}_{kind}"
        for role, indices in (
            ("input", operator.inputs),
            ("inner", operator.intermediates),
            ("output", operator.outputs),
        ):
            for position, index in enumerate(indices if indices is not None else ()):
                tensor = graph.tensors[index]
                constant = model.buffers[tensor.buffer].data is not None or tensor.is_variable
                if index >= 0 and (role != "input" or constant):
                    tensor.name = f"{name}_{role}{position}".encode()
    names = [next(s for s in STREAMS if s in text) for text in by_channels]
    order = sorted(range(len(names)), key=lambda i: STREAMS.index(names[i]))
    for index, name in zip(graph.inputs, names):
        graph.tensors[index].name = name.encode()
    graph.inputs = np.array([graph.inputs[i] for i in order], np.int32)
    graph.tensors[graph.outputs[0]].name = b"moments"


def _notes(checkpoint: Checkpoint, calibration: Windows) -> list[str]:
    """What a user should know: cell states beyond the clip that the converter calibrates with, odd calibration data."""
    largest = max(
        float(np.abs(cell).max())
        for stream in checkpoint.config.streams
        for _, cell in float_reference.hidden_states(
            float_reference.cast(checkpoint, np.float32),
            checkpoint.config,
            stream,
            calibration.inputs[stream],
        )
    )
    notes = ["no stream graph: TFLiteConverter's int8 LSTM is converted in its window form only"]
    if largest > KERAS_CELL_CLIP:
        notes.append(
            f"LSTM cell states reach {largest:.1f} and TFLiteConverter calibrates with a clip of {KERAS_CELL_CLIP:g}: "
            "int8 saturates them at 16"
        )
    return [*notes, *outliers.find(calibration.inputs).warnings]
