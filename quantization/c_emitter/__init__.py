"""Generates the C source of a model: header, source, the kernels it uses, build files and self-test."""

from quantization.c_emitter.emit import Emission, emit
from quantization.c_fragments.context import TARGETS, Prefer, Target

__all__ = ["TARGETS", "Emission", "Prefer", "Target", "emit"]
