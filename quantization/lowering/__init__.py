"""From a checkpoint to float graphs: the window graph and the stream graph, op by op as the architecture page states."""

from quantization.lowering.network import lower_stream, lower_window

__all__ = ["lower_stream", "lower_window"]
