"""LiteRT through the ai-edge-litert wheel: x86-64 and arm64."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from quantization.bundle import Bundle
from quantization.graph.graph_file import GraphFile, Scheme
from runtime.engines.interface import Engine
from runtime.engines.tflite import TFLiteEngine
from toolkit.errors import MissingDependencyError


def load(bundle: Bundle, scheme: Scheme) -> Engine:
    """The engine ``litert``; MissingDependencyError if ai-edge-litert is not installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise MissingDependencyError(
            f"engine litert needs ai-edge-litert, which cannot be imported ({error}): pip install ai-edge-litert"
        ) from None

    def make(graph: GraphFile) -> Any:
        return Interpreter(model_content=graph.content, num_threads=1)

    return TFLiteEngine("litert", importlib.metadata.version("ai-edge-litert"), bundle, scheme, make)
