"""TensorFlow Lite Micro on this machine, through the tflite-micro wheel: its own reference kernels.

Its integers are those of a microcontroller (CMSIS-NN builds equal them bit for bit); its speed here is not.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.engines import CannotRunError, Tick
from benchmarks.engines.window_graph import WindowFormat, require_window_graph
from benchmarks.evaluation.windows import Evaluation
from benchmarks.records import Size
from quantization.arithmetic.storage import TensorFormat, decode, encode
from quantization.bundle import Bundle
from quantization.graph.graph_file import GraphFile
from quantization.tflite.stderr import native_stderr
from toolkit.errors import ModelFileError

_ARENA = re.compile(r"Arena allocation total (\d+) bytes")


class TFLM:
    """An int8 window graph. reset() comes before every window: without it LSTM state leaks into the next."""

    how = "TensorFlow Lite Micro's reference kernels, compiled for this machine: reset, copy in, invoke, copy out"

    def __init__(self, interpreter: Any, form: WindowFormat, model_bytes: int) -> None:
        self.version = importlib.metadata.version("tflite-micro")
        self._interpreter = interpreter
        self._form = form
        self._bytes = model_bytes

    def _invoke(self, inputs: list[NDArray[Any]]) -> NDArray[Any]:
        self._interpreter.reset()
        for place, values in enumerate(inputs):
            self._interpreter.set_input(values, place)
        self._interpreter.invoke()
        result: NDArray[Any] = self._interpreter.get_output(0)
        return result

    def estimate(self, data: Evaluation, tick: Tick) -> NDArray[np.float32]:
        """Moments of all windows, (n, outputs)."""
        encoded = self._form.encode(data)
        rows = []
        for row in range(len(data.windows)):
            rows.append(np.array(self._invoke([values[row : row + 1] for values in encoded])))
            tick(1)
        return decode(np.concatenate(rows), self._form.output)

    def single_call(self, data: Evaluation) -> Callable[[], object]:
        """The first window, quantization of its inputs included."""
        first = [np.array(data.windows.inputs[name][:1]) for name in self._form.streams]

        def call() -> object:
            raw = self._invoke([encode(v, f) for v, f in zip(first, self._form.inputs)])
            return decode(raw, self._form.output)

        return call

    def size(self) -> Size:
        """The file, and the arena as TFLM's recording allocator counts it with this machine's pointers."""
        with native_stderr() as caught:
            self._interpreter.print_allocations()
        found = _ARENA.search(caught.text)
        return Size(self._bytes, int(found.group(1)) if found else None)


def load(bundle: Bundle, graph: GraphFile | None, threads: int) -> TFLM:
    """Load an int8 window graph; CannotRunError for others, ModelFileError if TFLM refuses it."""
    graph = require_window_graph(graph)
    if graph.scheme == "float32":
        raise CannotRunError("only int8 graphs are run in TFLM, as on a microcontroller")
    try:
        from tflite_micro import runtime
    except ModuleNotFoundError:
        raise CannotRunError(
            "tflite-micro is not installed (its wheel is for x86-64 Linux only): pip install 'edgetool[deploy]'"
        ) from None
    with native_stderr() as caught:
        try:
            interpreter = runtime.Interpreter.from_bytes(graph.content)
        except (RuntimeError, ValueError) as error:
            refused = str(error).strip()
        else:
            refused = ""
    if refused:
        detail = " ".join((caught.text.strip() or refused).split())
        raise ModelFileError(f"{graph.file}: TFLM cannot load it: {detail}")
    streams = [item.stream.name for item in bundle.contract.inputs]
    inputs = [_format(name, interpreter.get_input_details(i)) for i, name in enumerate(streams)]
    form = WindowFormat.of(
        bundle.checkpoint, graph.file, inputs, [_format("moments", interpreter.get_output_details(0))]
    )
    return TFLM(interpreter, form, len(graph.content))


def _format(name: str, detail: dict[str, Any]) -> TensorFormat:
    quantization = detail["quantization_parameters"]
    scales, zero_points = quantization["scales"], quantization["zero_points"]
    quantized = len(scales) > 0 and np.issubdtype(detail["dtype"], np.integer)
    return TensorFormat(
        name,
        tuple(int(v) for v in detail["shape"]),
        np.dtype(detail["dtype"]),
        float(scales[0]) if quantized else 0.0,
        int(zero_points[0]) if quantized else 0,
    )
