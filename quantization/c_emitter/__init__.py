"""Generates the C source of a model: header, source, the kernels it uses, build files and self-test."""

from quantization.c_emitter.context import TARGETS, Prefer, Target
from quantization.c_emitter.emit import Emission, StreamGraph, emit

__all__ = ["TARGETS", "Emission", "Prefer", "StreamGraph", "Target", "emit"]
