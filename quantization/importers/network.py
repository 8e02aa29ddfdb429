"""An imported network as a float model: its program, weights and contract in one file, beside our own checkpoints.

The file is safetensors with one metadata entry, ``edgetool_network``: JSON with ``format`` (1), ``program``, ``streams``,
``target``, ``contract``, ``split``, ``provenance``. Nothing is unpickled, and torch is not needed to read it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from quantization.graph.ir import Graph
from quantization.importers.evaluate import run
from quantization.importers.lower import lower_program
from quantization.importers.program import Program
from quantization.lowering import NoStreamError, lower_stream, lower_window, stream_form
from toolkit.contract import SensorContract
from toolkit.errors import CheckpointError, ContractError, UsageError
from toolkit.files import write_bytes
from toolkit.model import float_reference
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.float_model import FloatModel
from toolkit.reading import parse_json_object, reading

FORMAT = 1
METADATA_KEY = "edgetool_network"


@dataclass(frozen=True)
class NetworkSizes:
    """What a manifest and ``inspect`` say of an imported network."""

    parameter_count: int
    nodes: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"imported": True, "parameters": self.parameter_count, "nodes": self.nodes}


@dataclass(frozen=True, eq=False)
class ImportedNetwork:
    """``streams``: the contract's stream of each input of ``program``; ``target``: mean and std of each output that the author
    standardised the moments with, None if not. Raises CheckpointError unless shapes and contract fit each other.
    """

    program: Program
    contract: SensorContract
    streams: Mapping[str, str]
    target: Mapping[str, list[float]] | None = None
    split: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    familiar: Mapping[str, Any] | None = None
    error_bars: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        wanted = {
            item.stream.name: (1, self.contract.window, len(item.stream.channels))
            for item in self.contract.inputs
        }
        if sorted(self.streams.values()) != sorted(wanted) or set(self.streams) != set(self.program.inputs):
            raise CheckpointError(
                f"the network takes {', '.join(self.program.inputs)} and the contract has {', '.join(wanted)}: say which is "
                'which with [model] inputs = {NAME = "STREAM"}'
            )
        for name, shape in self.program.inputs.items():
            stream = self.streams[name]
            if shape != wanted[stream]:
                raise CheckpointError(
                    f"input {name} of the network has shape {list(shape)} and stream {stream!r} of the contract "
                    f"{list(wanted[stream])}, [1, window, channels]: they must be equal"
                )
        outputs = int(np.prod(self.program.shapes.get(self.program.output, ())))
        if outputs != len(self.contract.outputs):
            raise CheckpointError(
                f"the network gives {outputs} outputs and the contract names {len(self.contract.outputs)} moments: "
                "name them in order with [model] outputs = [...]"
            )
        if self.target is not None and any(len(self.target[key]) != outputs for key in ("mean", "std")):
            raise CheckpointError(f"[target] needs {outputs} means and deviations, one per output")

    @property
    def config(self) -> NetworkSizes:
        """Its sizes."""
        return NetworkSizes(sum(w.size for w in self.weights.values()), len(self.program.nodes))

    @property
    def weights(self) -> Mapping[str, NDArray[np.float32]]:
        """Weights by their names in the network."""
        return self.program.weights

    @property
    def hash(self) -> str:
        """SHA-256 of :meth:`to_bytes`, 64 hex digits."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def graph(self) -> Graph:
        """The float window graph, inputs in the contract's order."""
        lowered = lower_program(self.program, self.streams, self.target)
        places = {lowered.tensors[index].name: index for index in lowered.inputs}
        order = tuple(places[item.stream.name] for item in self.contract.inputs)
        return Graph(lowered.name, lowered.tensors, lowered.ops, order, lowered.outputs)

    def window(
        self, inputs: Mapping[str, NDArray[Any]], dtype: DTypeLike = np.float64
    ) -> NDArray[np.floating[Any]]:
        """Moments (N, O) of normalised windows {stream: (N, T, C)}, evaluated node by node."""
        fed = {name: inputs[stream] for name, stream in self.streams.items()}
        outputs = run(self.program, fed, dtype=dtype)
        if self.target is not None:
            outputs = outputs * np.asarray(self.target["std"], dtype) + np.asarray(self.target["mean"], dtype)
        return outputs

    def to_bytes(self) -> bytes:
        """The file's content; the same network gives the same bytes everywhere."""
        from safetensors.numpy import save

        document = {
            "format": FORMAT,
            "program": self.program.to_json(),
            "streams": dict(self.streams),
            "target": self.target,
            "contract": self.contract.to_json(),
            "split": self.split,
            "provenance": dict(self.provenance),
        }
        text = json.dumps(document, separators=(",", ":"), allow_nan=False)
        weights = {name: np.ascontiguousarray(values) for name, values in self.weights.items()}
        return bytes(save(weights, metadata={METADATA_KEY: text}))

    def save(self, path: str | Path) -> None:
        """Write the file whole or not at all; OutputError if it cannot be written."""
        write_bytes(Path(path), self.to_bytes())

    @classmethod
    def from_bytes(cls, content: bytes, where: str = "network") -> ImportedNetwork:
        """Build from :meth:`to_bytes`'s form; ``where`` begins every error message."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        expected = "an imported network of edgetool's"
        with reading(where, expected, CheckpointError):
            document = parse_json_object(
                _metadata(content, where)[METADATA_KEY], where, expected, CheckpointError
            )
            if document["format"] != FORMAT:
                raise CheckpointError(
                    f"{where} has format {document['format']!r}; this version reads {FORMAT}"
                )
            try:
                weights = {name: np.asarray(v, np.float32) for name, v in load(content).items()}
            except SafetensorError as error:
                raise ValueError(str(error)) from None
            try:
                return cls(
                    Program.from_json(document["program"], weights),
                    SensorContract.from_json(document["contract"]),
                    document["streams"],
                    document["target"],
                    document["split"],
                    document["provenance"],
                )
            except ContractError as error:
                raise CheckpointError(f"{where}: {error}") from None
        raise AssertionError("reading() returns or raises")


def _metadata(content: bytes, where: str) -> dict[str, Any]:
    """The entries beside the tensors of a safetensors file; none if it is not one."""
    length = int.from_bytes(content[:8], "little")
    if content[8:9] != b"{" or length > len(content):
        return {}
    header = parse_json_object(content[8 : 8 + length], where, "safetensors", CheckpointError)
    found = header.get("__metadata__")
    return found if isinstance(found, dict) else {}


def load_model(content: bytes, where: str) -> FloatModel:
    """A checkpoint or an imported network from a file's bytes; CheckpointError if it is neither."""
    if METADATA_KEY in _metadata(content, where):
        return ImportedNetwork.from_bytes(content, where)
    return Checkpoint.from_bytes(content, where)


def float_moments(
    model: FloatModel, inputs: Mapping[str, NDArray[Any]], dtype: DTypeLike = np.float64
) -> NDArray[np.floating[Any]]:
    """Moments (N, O) of normalised windows {stream: (N, T, C)} by the float model itself."""
    if isinstance(model, ImportedNetwork):
        return model.window(inputs, dtype)
    return float_reference.window(cross_lstm(model), inputs, dtype)


def window_graph(model: FloatModel) -> Graph:
    """The float window graph before any pass."""
    return model.graph() if isinstance(model, ImportedNetwork) else lower_window(cross_lstm(model))


def stream_graph(model: FloatModel) -> Graph:
    """The float stream graph before any pass. NoStreamError names what looks ahead, with the author's source line."""
    if not isinstance(model, ImportedNetwork):
        return lower_stream(cross_lstm(model))
    try:
        return stream_form(model.graph())
    except NoStreamError as error:
        node = next((n for n in model.program.nodes if error.tensor.split("/")[0] in n.outputs), None)
        if node is None:
            raise
        where = f" at {node.where}" if node.where else ""
        raise NoStreamError(error.reason, f"{node.target}{where}") from None


def cross_lstm(model: FloatModel, what: str = "this") -> Checkpoint:
    """The model as a checkpoint of our own; UsageError for an imported network, which ``what`` cannot take."""
    if not isinstance(model, Checkpoint):
        raise UsageError(
            f"{what} takes Cross-LSTM checkpoints of edgetool's, and this is an imported network"
        )
    return model


def input_names(model: FloatModel) -> dict[str, str]:
    """The network's own name of each stream, where it has one."""
    if isinstance(model, ImportedNetwork):
        return {stream: name for name, stream in model.streams.items()}
    return {}
