"""TensorFlow Lite through the tflite-runtime wheel (2.14, Python to 3.11, numpy below 2): armv7l and old images.

It runs float32 graphs. edgetool's int8 graphs have operators that came after its last release; they are refused with a line
that says so, and the engine ``native`` runs them on the same boards.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

from quantization.bundle import Bundle
from quantization.graph.graph_file import GraphFile, Scheme
from runtime.engines.interface import Engine
from runtime.engines.tflite import TFLiteEngine
from toolkit.errors import MissingDependencyError, ModelFileError


def load(bundle: Bundle, scheme: Scheme) -> Engine:
    """The engine ``tflite-runtime``; MissingDependencyError if tflite-runtime is not installed."""
    try:
        from tflite_runtime.interpreter import Interpreter
    except ImportError as error:
        raise MissingDependencyError(
            f"engine tflite-runtime needs tflite-runtime, which cannot be imported ({error}): "
            "pip install tflite-runtime 'numpy<2'"
        ) from None

    def make(graph: GraphFile) -> Any:
        return Interpreter(model_content=graph.content, num_threads=1)

    try:
        return TFLiteEngine(
            "tflite-runtime", importlib.metadata.version("tflite-runtime"), bundle, scheme, make
        )
    except ModelFileError as error:
        if scheme != "int8":
            raise
        # RSQRT on int16 and QUANTIZE from int8 to int16 came after 2.14, the last there is.
        raise ModelFileError(
            f"tflite-runtime lacks int16 operators of int8 graphs; use scheme float32 or engine native ({error})"
        ) from None
