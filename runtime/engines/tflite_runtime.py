"""TensorFlow Lite through the tflite-runtime wheel (2.14, Python to 3.11, numpy below 2): armv7l and old images.

It runs float32 graphs. edgetool's int8 graphs have operators that came after its last release; they are refused with a line
that says so, and the engine ``native`` runs them on the same boards.
"""

from __future__ import annotations

from quantization.bundle import Bundle
from quantization.graph.graph_file import Scheme
from quantization.tflite.run import TFLITE_RUNTIME
from runtime.engines.interface import Engine
from runtime.engines.tflite import TFLiteEngine
from toolkit.errors import ModelFileError


def load(bundle: Bundle, scheme: Scheme) -> Engine:
    """The engine ``tflite-runtime``; MissingDependencyError if tflite-runtime is not installed."""
    try:
        return TFLiteEngine("tflite-runtime", TFLITE_RUNTIME, bundle, scheme)
    except ModelFileError as error:
        if scheme != "int8":
            raise
        # RSQRT on int16 and QUANTIZE from int8 to int16 came after 2.14, the last there is.
        raise ModelFileError(
            f"tflite-runtime lacks int16 operators of int8 graphs; use scheme float32 or engine native ({error})"
        ) from None
