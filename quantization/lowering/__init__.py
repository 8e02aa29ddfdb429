"""From checkpoint weights to float graphs in the intermediate form, and from any window graph to its stream graph."""

from quantization.lowering.network import lower_stream, lower_window
from quantization.lowering.stream_form import NoStreamError, stream_form

__all__ = ["NoStreamError", "lower_stream", "lower_window", "stream_form"]
