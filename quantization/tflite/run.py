"""Runs a .tflite on LiteRT (or TensorFlow Lite's older runtime) and on TensorFlow Lite Micro: the one place that opens them.

State that a runtime keeps between invocations is reset before each window.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.storage import TensorFormat, decode, encode, quantized
from quantization.graph.graph_file import GraphFile
from toolkit.errors import MissingDependencyError, ModelFileError
from toolkit.progress import Progress

Floats = Mapping[str, NDArray[np.float32]]
Stored = NDArray[Any]
#: Bytes that TFLM may use on the host; the reference model needs under 50 kB.
_ARENA_BYTES = 4_000_000
#: The same when no tensor may overlay another.
_ARENA_OF_EVERY_TENSOR_BYTES = 8_000_000

#: Packages with a TFLite interpreter -> what pip installs.
LITERT = "ai_edge_litert"
TFLITE_RUNTIME = "tflite_runtime"
_PIP = {LITERT: "ai-edge-litert", TFLITE_RUNTIME: "tflite-runtime 'numpy<2'"}


def open_interpreter(
    content: bytes,
    where: str = "model",
    *,
    package: str = LITERT,
    threads: int = 1,
    every_tensor: bool = False,
) -> Any:
    """An interpreter of ``package`` on a .tflite, its tensors allocated.

    With ``every_tensor``, tensors inside the graph can be read too: without the XNNPACK delegate, which takes ops away and
    leaves their inner tensors unwritten. Raises MissingDependencyError without the package, ModelFileError, which begins
    with ``where``, if it refuses the graph.
    """
    module = require_package(package)
    options: dict[str, Any] = {"num_threads": threads}
    if every_tensor:
        resolver = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        options |= {"experimental_op_resolver_type": resolver, "experimental_preserve_all_tensors": True}
    try:
        interpreter = module.Interpreter(model_content=content, **options)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().replace("\n", " ")
        raise ModelFileError(f"{where}: the interpreter refuses it: {reason}") from None
    return interpreter


def require_package(package: str) -> Any:
    """The interpreter module of ``package``; MissingDependencyError if it cannot be imported."""
    try:
        return importlib.import_module(f"{package}.interpreter")
    except ImportError as error:
        raise MissingDependencyError(
            f"{package.replace('_', '-')} cannot be imported ({error}): pip install {_PIP[package]}"
        ) from None


def tensor_format(detail: Mapping[str, Any]) -> TensorFormat:
    """The format of an input or output as such an interpreter describes it."""
    scale, zero_point = detail["quantization"]
    return TensorFormat(
        str(detail["name"]),
        tuple(int(v) for v in detail["shape"]),
        np.dtype(detail["dtype"]),
        float(scale),
        int(zero_point),
    )


def quantize(values: NDArray[np.float32], scale: float, zero_point: int) -> NDArray[np.int8]:
    """Values as an int8 graph takes them; see :func:`quantization.arithmetic.storage.quantized`."""
    result: NDArray[np.int8] = quantized(values, scale, zero_point, np.dtype(np.int8))
    return result


def run_litert(content: bytes, inputs: Floats) -> tuple[Stored, dict[str, Stored]]:
    """Raw outputs (n, outputs) in the file's type, and the inputs (n, T, C) as the graph took them, one thread."""
    interpreter = open_interpreter(content)
    details = {detail["name"]: detail for detail in interpreter.get_input_details()}
    given = {name: _fed(inputs[name], *details[name]["quantization"]) for name in inputs}
    fed = [(int(details[name]["index"]), values[:, None]) for name, values in given.items()]
    out = int(interpreter.get_output_details()[0]["index"])
    return _each_window(interpreter, fed, [out], None)[out][:, 0], given


def run_litert_stream(graph: GraphFile, inputs: Floats) -> NDArray[np.float32]:
    """Moments (rows, outputs) in Nm/kg after each row of one sequence from reset; ``inputs`` are (rows, channels) by stream.

    ModelFileError if the graph does not say what state it carries, or LiteRT refuses it.
    """
    if graph.state is None:
        raise ModelFileError(f"{graph.file}: it does not describe the stream's state; convert again")
    interpreter = open_interpreter(graph.content, graph.file)
    given = {str(d["name"]): d for d in interpreter.get_input_details()}
    taken = {str(d["name"]): d for d in interpreter.get_output_details()}
    fed = [
        (
            int(given[name]["index"]),
            tensor_format(given[name]).shape,
            encode(rows, tensor_format(given[name])),
        )
        for name, rows in inputs.items()
    ]
    carried = [(int(given[c.input]["index"]), int(taken[c.output]["index"])) for c in graph.state.carried]
    rings = [c.start() for c in graph.state.carried]
    output = tensor_format(taken["moments"])
    interpreter.reset_all_variables()
    moments = []
    for row in range(len(fed[0][2])):
        for place, shape, values in fed:
            interpreter.set_tensor(place, values[row].reshape(shape))
        for (place, _), ring in zip(carried, rings):
            interpreter.set_tensor(place, ring)
        interpreter.invoke()
        rings = [interpreter.get_tensor(place) for _, place in carried]
        moments.append(interpreter.get_tensor(int(taken["moments"]["index"])).reshape(-1))
    return decode(np.stack(moments), output)


def litert_tensors(
    content: bytes, inputs: Sequence[Stored], wanted: Sequence[int], tell: Progress
) -> dict[int, Stored]:
    """Tensors ``wanted`` by index, (n, *shape), of LiteRT with its default kernels.

    ``inputs`` (n, *shape) are in the graph's types and order.
    """
    interpreter = open_interpreter(content, every_tensor=True)
    places = [int(detail["index"]) for detail in interpreter.get_input_details()]
    return _each_window(interpreter, list(zip(places, inputs)), wanted, tell)


def _each_window(
    interpreter: Any, fed: Sequence[tuple[int, Stored]], wanted: Sequence[int], tell: Progress | None
) -> dict[int, Stored]:
    """Tensors ``wanted`` (n, *shape) after each window of ``fed``, (tensor, (n, *shape)) each, from reset state."""
    count = len(fed[0][1])
    rows: dict[int, list[Stored]] = {index: [] for index in wanted}
    for window in range(count):
        if tell is not None:
            tell("LiteRT", window, count)
        interpreter.reset_all_variables()
        for place, values in fed:
            interpreter.set_tensor(place, values[window])
        interpreter.invoke()
        for index in wanted:
            rows[index].append(np.array(interpreter.get_tensor(index)))
    return {index: np.stack(values) for index, values in rows.items()}


def has_tflm() -> bool:
    """Whether the tflite-micro wheel is installed (it exists for x86-64 only)."""
    return importlib.util.find_spec("tflite_micro") is not None


def run_tflm(content: bytes, inputs: Floats) -> Stored:
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


def tflm_tensors(
    content: bytes, inputs: Sequence[Stored], wanted: Sequence[int], tell: Progress
) -> dict[int, Stored]:
    """As :func:`litert_tensors`, of TensorFlow Lite Micro's wheel. RuntimeError if it cannot run the graph."""
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(
        content,
        arena_size=_ARENA_OF_EVERY_TENSOR_BYTES,
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


def _fed(values: NDArray[np.float32], scale: float, zero_point: int) -> Stored:
    return np.ascontiguousarray(values) if scale == 0 else quantize(values, scale, zero_point)
