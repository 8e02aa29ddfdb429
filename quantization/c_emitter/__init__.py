"""Generates the C source of a model: header, source, the kernels it uses, build files and self-test."""

from quantization.c_emitter.emit import Emission, emit
from quantization.c_fragments.context import Prefer

__all__ = ["Emission", "Prefer", "emit"]
