"""LiteRT through the ai-edge-litert wheel: x86-64 and arm64."""

from __future__ import annotations

from quantization.bundle import Bundle
from quantization.graph.graph_file import Scheme
from quantization.tflite.run import LITERT
from runtime.engines.interface import Engine
from runtime.engines.tflite import TFLiteEngine


def load(bundle: Bundle, scheme: Scheme) -> Engine:
    """The engine ``litert``; MissingDependencyError if ai-edge-litert is not installed."""
    return TFLiteEngine("litert", LITERT, bundle, scheme)
