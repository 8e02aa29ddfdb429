"""Every tensor of a .tflite as LiteRT and TensorFlow Lite Micro compute it, window by window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Stored = NDArray[Any]
Progress = Callable[[str, int, int], None]
#: Bytes of TFLM's arena when no tensor may overlay another.
_ARENA_BYTES = 8_000_000


def litert_tensors(
    content: bytes, inputs: Sequence[Stored], wanted: Sequence[int], tell: Progress
) -> dict[int, Stored]:
    """Tensors ``wanted`` by index, (N, *shape), of LiteRT with its default kernels.

    Without the XNNPACK delegate: it takes ops away and leaves their inner tensors unwritten. ``inputs`` (N, *shape) are in
    the graph's types and order; state is reset before each window.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    places = [detail["index"] for detail in interpreter.get_input_details()]
    rows: dict[int, list[Stored]] = {index: [] for index in wanted}
    for window in range(len(inputs[0])):
        tell("LiteRT", window, len(inputs[0]))
        interpreter.reset_all_variables()
        for place, values in zip(places, inputs):
            interpreter.set_tensor(place, values[window])
        interpreter.invoke()
        for index in wanted:
            rows[index].append(np.array(interpreter.get_tensor(index)))
    return {index: np.stack(values) for index, values in rows.items()}


def tflm_tensors(
    content: bytes, inputs: Sequence[Stored], wanted: Sequence[int], tell: Progress
) -> dict[int, Stored]:
    """The same of TensorFlow Lite Micro's wheel, with all tensors preserved. RuntimeError if it cannot run the graph."""
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(
        content,
        arena_size=_ARENA_BYTES,
        intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors,
    )
    rows: dict[int, list[Stored]] = {index: [] for index in wanted}
    for window in range(len(inputs[0])):
        tell("TensorFlow Lite Micro", window, len(inputs[0]))
        interpreter.reset()
        for place, values in enumerate(inputs):
            interpreter.set_input(values[window], place)
        interpreter.invoke()
        for index in wanted:
            rows[index].append(np.array(interpreter.GetTensor(index, 0)["tensor_data"]))
    return {index: np.stack(values) for index, values in rows.items()}
