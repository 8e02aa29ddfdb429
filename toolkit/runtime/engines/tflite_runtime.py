"""TensorFlow Lite through the tflite-runtime wheel (2.14, Python to 3.11, numpy below 2): armv7l and old images."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from quantization.bundle import Bundle
from quantization.engines import GraphFile, Scheme
from toolkit.errors import MissingDependencyError
from toolkit.runtime.engines.interface import Engine
from toolkit.runtime.engines.tflite import TFLiteEngine


def load(bundle: Bundle, scheme: Scheme) -> Engine:
    """The engine ``tflite-runtime``; MissingDependencyError if tflite-runtime is not installed."""
    try:
        from tflite_runtime.interpreter import Interpreter
    except ImportError as error:
        raise MissingDependencyError(
            f"engine tflite-runtime needs tflite-runtime, which cannot be imported ({error}): pip install tflite-runtime"
        ) from None

    def make(graph: GraphFile) -> Any:
        return Interpreter(model_content=graph.content, num_threads=1)

    return TFLiteEngine("tflite-runtime", importlib.metadata.version("tflite-runtime"), bundle, scheme, make)
