"""The checkpoint file: a float Cross-LSTM with its config, sensor contract, split and provenance.

The file is safetensors (https://github.com/huggingface/safetensors): tensors and one metadata entry,
``edgetool``, whose value is JSON with keys ``format`` (1), ``config``, ``contract``, ``split``, ``provenance``.
One entry, because safetensors writes several in an order that changes from run to run. A tensor is stored as
F16 when float16 holds each of its values exactly and as F32 otherwise, so storing never changes a weight.
Nothing is unpickled.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import Channel, ModelInput, Normaliser, SensorContract, StreamSpec
from toolkit.errors import CheckpointError, ContractError, OutputError
from toolkit.files import write_bytes
from toolkit.model.config import (
    ModelConfig,
    require_contract_fits,
    weight_shapes,
)
from toolkit.reading import parse_json_object, read_file

Weights = Mapping[str, NDArray[np.float32]]

FORMAT = 1
METADATA_KEY = "edgetool"

#: Types that a tensor of the file may have.
STORED = {"F32": "<f4", "F16": "<f2"}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A float model and all that must travel with it. One that exists is valid.

    ``weights`` are read-only float32 arrays named and shaped as ``weight_shapes(config)``; ``contract``
    describes the inputs and outputs; ``split`` is the JSON of the split that training used (None if unknown);
    ``provenance`` is JSON: data and its hashes, seed, versions, metrics; ``familiar`` is JSON of what training people's strides
    look like (``toolkit.plausibility.FamiliarStrides``), None if that is not known; ``error_bars`` is JSON of how far its
    estimates are off on validation people (``toolkit.uncertainty.ErrorBars``), or None. Raises CheckpointError when weights
    are missing, surplus, of a wrong shape or not finite, or the contract does not fit the config.
    """

    config: ModelConfig
    contract: SensorContract
    weights: Weights
    split: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    familiar: Mapping[str, Any] | None = None
    error_bars: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        try:
            require_contract_fits(self.config, self.contract)
        except ContractError as error:
            raise CheckpointError(str(error)) from None
        object.__setattr__(self, "weights", MappingProxyType(_checked(self.config, self.weights)))
        object.__setattr__(self, "split", copy.deepcopy(dict(self.split)) if self.split is not None else None)
        object.__setattr__(self, "provenance", copy.deepcopy(dict(self.provenance)))
        for name in ("familiar", "error_bars"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, copy.deepcopy(dict(value)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Checkpoint, (
            self.config,
            self.contract,
            dict(self.weights),
            self.split,
            self.provenance,
            self.familiar,
            self.error_bars,
        )

    @property
    def hash(self) -> str:
        """SHA-256 of :meth:`to_bytes`, 64 hex digits."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """The file's content; the same checkpoint gives the same bytes everywhere."""
        from safetensors.numpy import save

        document = {
            "format": FORMAT,
            "config": self.config.to_json(),
            "contract": self.contract.to_json(),
            "split": self.split,
            "provenance": self.provenance,
        }
        more = {"familiar": self.familiar, "error_bars": self.error_bars}
        document |= {name: value for name, value in more.items() if value is not None}
        try:
            text = json.dumps(document, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise OutputError(f"checkpoint's split or provenance is not plain JSON: {error}") from None
        return bytes(save({n: _stored(w) for n, w in self.weights.items()}, metadata={METADATA_KEY: text}))

    def save(self, path: str | Path) -> None:
        """Write the file whole or not at all; OutputError if it cannot be written."""
        write_bytes(Path(path), self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> Checkpoint:
        """Read a file that :meth:`save` wrote; CheckpointError names the file and what is wrong with it."""
        path = Path(path)
        return cls.from_bytes(read_file(path, "a checkpoint", CheckpointError), str(path))

    @classmethod
    def from_bytes(cls, content: bytes, where: str = "checkpoint") -> Checkpoint:
        """Build from :meth:`to_bytes`'s form; ``where`` begins every error message."""
        _refuse_other_formats(content, where)
        metadata, weights = _read_safetensors(content, where)
        document = _document(metadata, where)
        try:
            return cls(
                ModelConfig.from_json(document["config"]),
                SensorContract.from_json(document["contract"]),
                weights,
                document["split"],
                document["provenance"],
                document.get("familiar"),
                document.get("error_bars"),
            )
        except KeyError as error:
            raise CheckpointError(
                f"{where}: its metadata has no {error}; train or import the model again"
            ) from None
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"{where}: its metadata is damaged: {error}; train or import it again"
            ) from None
        except (CheckpointError, ContractError) as error:
            raise CheckpointError(f"{where}: {error}") from None

    @classmethod
    def random(cls, config: ModelConfig, seed: int) -> Checkpoint:
        """An untrained model for tests: weights uniform within 1/sqrt(fan-in), a contract without filters.

        Normalisers and norm weights are not trivial, so that forgetting one shows.
        """
        generator = np.random.default_rng(seed)
        weights: dict[str, NDArray[np.float32]] = {}
        for name, shape in weight_shapes(config).items():
            bound = 0.2 if ".norm." in name else (shape[-1] if len(shape) > 1 else config.hidden) ** -0.5
            values = generator.uniform(-bound, bound, shape)
            weights[name] = (values + name.endswith("norm.weight")).astype(np.float32)
        return cls(
            config, plain_contract(config, generator), weights, None, {"weights": f"random, seed {seed}"}
        )


def plain_contract(config: ModelConfig, generator: np.random.Generator) -> SensorContract:
    """A contract that fits ``config``: filtered streams at the grid's rate, invented normaliser values."""
    inputs = []
    for stream in config.streams:
        count = config.channels(stream)
        if stream == "imu":
            channels = tuple(Channel(f"imu_{i}", "m/s^2" if i % 6 < 3 else "rad/s") for i in range(count))
        else:
            channels = tuple(Channel(f"emg_{i}", "1") for i in range(count))
        mean = tuple(float(v) for v in generator.uniform(-1, 1, count).round(6))
        std = tuple(float(v) for v in generator.uniform(0.5, 2, count).round(6))
        inputs.append(ModelInput(StreamSpec(stream, config.rate_hz, channels), (), Normaliser(mean, std)))
    outputs = tuple(Channel(name, "Nm/kg") for name in config.outputs)
    return SensorContract(tuple(inputs), config.rate_hz, config.window, outputs, config.horizon_ms)


def _checked(config: ModelConfig, weights: Weights) -> dict[str, NDArray[np.float32]]:
    """Read-only float32 copies in canonical order, or CheckpointError."""
    shapes = weight_shapes(config)
    missing = [name for name in shapes if name not in weights]
    surplus = sorted(name for name in weights if name not in shapes)
    if missing or surplus:
        raise CheckpointError(
            f"weights do not fit the config: missing {_some(missing)}, not expected {_some(surplus)}"
        )
    checked = {}
    for name, shape in shapes.items():
        value = np.asarray(weights[name])
        if value.shape != shape:
            raise CheckpointError(
                f"weight {name} has shape {list(value.shape)}; the config needs {list(shape)}"
            )
        if value.dtype.kind != "f":
            raise CheckpointError(f"weight {name} is {value.dtype}; weights must be floating point")
        value = np.array(value, dtype=np.float32, order="C")
        if not np.isfinite(value).all():
            raise CheckpointError(
                f"weight {name} holds {int((~np.isfinite(value)).sum())} values that are NaN or infinite; "
                "the training diverged: train again, with a smaller learning rate"
            )
        value.flags.writeable = False
        checked[name] = value
    return checked


def _stored(weight: NDArray[np.float32]) -> NDArray[Any]:
    """The weight as float16 if that loses nothing, else itself."""
    with np.errstate(over="ignore"):
        half = weight.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), weight) else weight


def _some(names: list[str]) -> str:
    if len(names) > 3:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return ", ".join(names) or "nothing"


def looks_like_pickle(content: bytes) -> bool:
    """Whether bytes are a ``torch.save`` file, new (a ZIP archive) or old, or another pickle (protocol 2 on)."""
    return content[:4] == b"PK\x03\x04" or (content[:1] == b"\x80" and content[1:2] in b"\x02\x03\x04\x05")


def _refuse_other_formats(content: bytes, where: str) -> None:
    """Name the usual wrong files, so that the message can say what to do."""
    if looks_like_pickle(content):
        raise CheckpointError(
            f"{where} looks like a PyTorch pickle, not an edgetool checkpoint; it was not opened, because a pickle can "
            "run code: import its state_dict with edgetool convert --key-map FILE (docs/MODEL.md, Importing weights)"
        )
    if content[4:8] == b"TFL3":
        raise CheckpointError(
            f"{where} is a .tflite model, not a checkpoint; give the float checkpoint it came from"
        )


def _read_safetensors(content: bytes, where: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header's metadata and the tensors; CheckpointError if the bytes are not safetensors."""
    from safetensors import SafetensorError, deserialize

    not_one = f"{where} is not an edgetool checkpoint (safetensors)"
    length = int.from_bytes(content[:8], "little")
    if length > len(content):
        raise CheckpointError(
            f"{not_one}: its header claims {length:,} bytes; it may be truncated, or of another kind"
        )
    header = parse_json_object(
        content[8 : 8 + length], where, "an edgetool checkpoint (safetensors)", CheckpointError
    )
    metadata = header.get("__metadata__") or {}
    try:
        entries = deserialize(content)  # type: ignore[no-untyped-call]
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{not_one}: {error}; it may be truncated, or of another kind") from None
    if METADATA_KEY not in metadata:
        raise CheckpointError(
            f"{where} is safetensors without edgetool's metadata: it has weights but neither config nor contract; import it "
            "with edgetool convert --key-map FILE (docs/MODEL.md, Importing weights)"
        )
    weights: dict[str, NDArray[Any]] = {}
    for name, entry in entries:
        if entry["dtype"] not in STORED:
            raise CheckpointError(
                f"{where}: weight {name} is stored as {entry['dtype']}; a checkpoint holds {' or '.join(STORED)}"
            )
        stored = np.frombuffer(entry["data"], dtype=STORED[entry["dtype"]])
        weights[name] = stored.reshape(entry["shape"]).astype(np.float32)
    return metadata, weights


def _document(metadata: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The JSON of the metadata entry, of the format that this version reads."""
    document = parse_json_object(metadata[METADATA_KEY], f"{where}: its metadata", "JSON", CheckpointError)
    if document.get("format") != FORMAT:
        found = document.get("format")
        raise CheckpointError(f"{where} has checkpoint format {found!r}; this version reads format {FORMAT}")
    return document
