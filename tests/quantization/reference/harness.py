"""What the tests of the integer reference share: the engines it must equal, and graphs of one op."""

from __future__ import annotations

import numpy as np
from ai_edge_litert.interpreter import Interpreter as LiteRt
from ai_edge_litert.interpreter import OpResolverType
from tflite_micro.python.tflite_micro import runtime

from quantization.graph.ir import Graph, GraphBuilder, Quantization
from quantization.ops.check import require_consistent
from quantization.reference import Interpreter
from quantization.tflite.file import write

INT8, INT16 = np.dtype(np.int8), np.dtype(np.int16)


class Tflm:
    """The tflite-micro wheel on a .tflite, with every tensor kept readable."""

    def __init__(self, content: bytes) -> None:
        self._wheel = runtime.Interpreter.from_bytes(
            content,
            intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors,
            arena_size=2_000_000 + 16 * len(content),
        )

    def run(self, inputs: list[np.ndarray], *, reset: bool = True) -> None:
        if reset:
            self._wheel.reset()
        for place, values in enumerate(inputs):
            self._wheel.set_input(values, place)
        self._wheel.invoke()

    def tensor(self, index: int) -> np.ndarray:
        return np.asarray(self._wheel.GetTensor(index, 0)["tensor_data"])


class Desktop:
    """LiteRT on a .tflite: its reference kernels, or its default ones without delegates."""

    def __init__(self, content: bytes, *, reference: bool = True) -> None:
        resolver = (
            OpResolverType.BUILTIN_REF if reference else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        )
        self._interpreter = LiteRt(
            model_content=content,
            experimental_op_resolver_type=resolver,
            experimental_preserve_all_tensors=True,
            num_threads=1,
        )
        self._interpreter.allocate_tensors()

    def run(self, inputs: list[np.ndarray], *, reset: bool = True) -> None:
        if reset:
            self._interpreter.reset_all_variables()
        for detail, values in zip(self._interpreter.get_input_details(), inputs):
            self._interpreter.set_tensor(detail["index"], values)
        self._interpreter.invoke()

    def tensor(self, index: int) -> np.ndarray:
        return np.asarray(self._interpreter.get_tensor(index))


def differing(reference: Interpreter, engine: Tflm | Desktop, window: int | None = None) -> list[str]:
    """Names of the tensors of the last run that are not equal bit for bit; ``window`` picks one of a run of many."""
    found = []
    for index in reference.computed():
        mine = reference.tensor_at(index)
        mine = mine if window is None else mine[window]
        if mine.tobytes() != np.asarray(engine.tensor(index)).tobytes():
            found.append(f"{index}:{reference.graph.tensors[index].name}")
    return found


def quantization(scale: object, zero_point: int = 0) -> Quantization:
    scales = np.atleast_1d(np.asarray(scale, np.float32))
    points = np.full(len(scales), zero_point if len(scales) == 1 else 0, np.int64)
    return Quantization(scales, points, 0)


def zero_point(random: np.random.Generator, dtype: np.dtype) -> int:
    """0 for int16; for int8 anything, the ends of the range often."""
    return 0 if dtype == INT16 else int(random.choice([-128, 127, 0, random.integers(-128, 128)]))


def integers(random: np.random.Generator, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max + 1, shape).astype(dtype)


class OneOp:
    """A graph of one op: give the inputs in order (arrays with quantization; constant or fed), then the output."""

    def __init__(self) -> None:
        self.builder = GraphBuilder("one_op")
        self.places: list[int] = []
        self.fed: list[int] = []
        self.values: list[np.ndarray] = []

    def feed(self, values: np.ndarray, quantized: Quantization | None = None) -> OneOp:
        index = self.builder.add(f"in{len(self.places)}", values.shape, values.dtype, quantized)
        self.places.append(index)
        self.fed.append(index)
        self.values.append(values)
        return self

    def constant(self, values: np.ndarray, quantized: Quantization | None = None) -> OneOp:
        self.places.append(self.builder.constant(f"constant{len(self.places)}", values, quantized))
        return self

    def absent(self) -> OneOp:
        self.places.append(-1)
        return self

    def op(
        self,
        kind: str,
        shape: tuple[int, ...],
        dtype: np.dtype,
        quantized: Quantization | None = None,
        **options: object,
    ) -> tuple[Graph, list[np.ndarray]]:
        out = self.builder.add("out", shape, dtype, quantized)
        self.builder.op(kind, tuple(self.places), (out,), **options)
        return self.builder.build(tuple(self.fed), (out,)), self.values


def compare(graph: Graph, inputs: list[np.ndarray], *, desktop: bool = True) -> None:
    """The reference equals the wheel, and with ``desktop`` LiteRT's reference kernels, bit for bit on every tensor."""
    require_consistent(graph)
    content = write(graph)
    engines = [("tflm", Tflm(content))] + ([("litert", Desktop(content))] if desktop else [])
    for semantics, engine in engines:
        reference = Interpreter(graph, semantics)
        reference.run(inputs)
        engine.run(inputs)
        assert differing(reference, engine) == [], semantics
