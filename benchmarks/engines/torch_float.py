"""The float baseline: the checkpoint in PyTorch, the model that everything else is compared with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.engines import CannotRunError, HostEngine, Tick
from benchmarks.evaluation.windows import Evaluation
from benchmarks.records import Size
from quantization.bundle import Bundle
from quantization.graph.graph_file import GraphFile
from quantization.importers.network import ImportedNetwork, cross_lstm
from toolkit.errors import MissingDependencyError
from toolkit.learning.batches import in_order
from toolkit.model.checkpoint import Checkpoint

_BATCH = 128


class TorchFloat:
    """Accuracy runs in batches; latency is one window in inference mode, as PyTorch users run it."""

    how = "PyTorch eager, float32, inference mode, one window per call"

    def __init__(self, checkpoint: Checkpoint, threads: int) -> None:
        import torch

        from toolkit.model.network import CrossLSTM

        torch.set_num_threads(threads)
        self.version = str(torch.__version__)
        self._network = CrossLSTM.from_checkpoint(checkpoint)
        self._bytes = sum(weight.nbytes for weight in checkpoint.weights.values())

    def estimate(self, data: Evaluation, tick: Tick) -> NDArray[np.float32]:
        """Moments of all windows, (n, outputs)."""
        import torch

        inputs = data.windows.inputs
        rows = []
        with torch.inference_mode():
            for start in range(0, len(data.windows), _BATCH):
                part = slice(start, start + _BATCH)
                given = (torch.from_numpy(np.array(values[part])) for values in in_order(inputs))
                rows.append(self._network(*given).numpy())
                tick(len(rows[-1]))
        return np.concatenate(rows)

    def single_call(self, data: Evaluation) -> Callable[[], object]:
        """The first window: numpy in, numpy out."""
        import torch

        given = [np.array(rows[:1]) for rows in in_order(data.windows.inputs)]

        def call() -> object:
            with torch.inference_mode():
                return self._network(*map(torch.from_numpy, given)).numpy()

        return call

    def size(self) -> Size:
        """The weights in float32."""
        return Size(self._bytes)


class NumpyFloat:
    """An imported network, node by node: its import has been compared with its author's PyTorch, or the report says not."""

    how = "the imported network in numpy, float32, one window per call"

    def __init__(self, network: ImportedNetwork) -> None:
        self._network = network
        self.version = f"numpy {np.__version__}"

    def estimate(self, data: Evaluation, tick: Tick) -> NDArray[np.float32]:
        """Moments of all windows, (n, outputs)."""
        rows = []
        for start in range(0, len(data.windows), _BATCH):
            part = slice(start, start + _BATCH)
            inputs = {name: values[part] for name, values in data.windows.inputs.items()}
            rows.append(self._network.window(inputs, np.float32).astype(np.float32))
            tick(len(rows[-1]))
        return np.concatenate(rows)

    def single_call(self, data: Evaluation) -> Callable[[], object]:
        """The first window."""
        inputs = {name: np.array(values[:1]) for name, values in data.windows.inputs.items()}
        return lambda: self._network.window(inputs, np.float32)

    def size(self) -> Size:
        """The weights in float32."""
        return Size(sum(weight.nbytes for weight in self._network.weights.values()))


def load(bundle: Bundle, graph: GraphFile | None, threads: int) -> HostEngine:
    """The baseline; without it nothing can be compared, so a missing torch is the user's error."""
    if graph is not None:
        raise CannotRunError("torch runs the checkpoint, not a .tflite")
    try:
        model = bundle.checkpoint
        return (
            NumpyFloat(model)
            if isinstance(model, ImportedNetwork)
            else TorchFloat(cross_lstm(model), threads)
        )
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependencyError(
            "bench compares with the float model in PyTorch, and torch is not installed: pip install 'edgetool[deploy]'"
        ) from None
