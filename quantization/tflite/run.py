"""Runs a window graph on windows, on LiteRT or TensorFlow Lite Micro, for golden vectors and checks.

State that a runtime keeps between invocations is reset before each window.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.storage import TensorFormat, encode
from toolkit.errors import MissingDependencyError

Floats = Mapping[str, NDArray[np.float32]]
#: Bytes that TFLM may use on the host; the reference model needs under 50 kB.
_ARENA_BYTES = 4_000_000


def quantize(values: NDArray[np.float32], scale: float, zero_point: int) -> NDArray[np.int8]:
    """Values as an int8 graph takes them; see :func:`quantization.arithmetic.storage.encode`."""
    form = TensorFormat("", values.shape, np.dtype(np.int8), scale, zero_point)
    result: NDArray[np.int8] = encode(values, form)
    return result


def run_litert(content: bytes, inputs: Floats) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Raw outputs (n, outputs) in the file's type, and the inputs as the graph took them, one thread."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    places = {detail["name"]: detail for detail in interpreter.get_input_details()}
    given = {name: _fed(inputs[name], *places[name]["quantization"]) for name in inputs}
    out = interpreter.get_output_details()[0]["index"]
    rows = []
    for index in range(len(next(iter(given.values())))):
        interpreter.reset_all_variables()
        for name, values in given.items():
            interpreter.set_tensor(places[name]["index"], values[index : index + 1])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(out)[0].copy())
    return np.stack(rows), given


def run_tflm(content: bytes, inputs: Floats) -> NDArray[Any]:
    """Raw outputs (n, outputs) of an int8 graph whose inputs are imu, emg; MissingDependencyError without the wheel."""
    if not has_tflm():
        raise MissingDependencyError("tflite-micro is not installed; pip install 'edgetool[deploy]'")
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(content, arena_size=_ARENA_BYTES)
    given = []
    for index, values in enumerate(inputs.values()):
        stated = interpreter.get_input_details(index)["quantization_parameters"]
        given.append(quantize(values, float(stated["scales"][0]), int(stated["zero_points"][0])))
    rows = []
    for row in range(len(given[0])):
        interpreter.reset()
        for index, whole in enumerate(given):
            interpreter.set_input(whole[row : row + 1], index)
        interpreter.invoke()
        rows.append(interpreter.get_output(0)[0].copy())
    return np.stack(rows)


def has_tflm() -> bool:
    """Whether the tflite-micro wheel is installed (it exists for x86-64 only)."""
    return importlib.util.find_spec("tflite_micro") is not None


def _fed(values: NDArray[np.float32], scale: float, zero_point: int) -> NDArray[Any]:
    return np.ascontiguousarray(values) if scale == 0 else quantize(values, scale, zero_point)
