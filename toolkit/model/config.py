"""Every size of a Cross-LSTM in one validated record, and the weights that follow from it. No torch, no numpy.

The published abstract (Niu et al. 2025, doi:10.1109/TNSRE.2025.3610281) names the parts but not their sizes;
the defaults here are this project's choice (docs/MODEL.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from toolkit.contract import SensorContract
from toolkit.data.channels import MOMENTS
from toolkit.errors import CheckpointError, ContractError

Norm = Literal["layer", "none"]
NORMS = ("layer", "none")

#: The two streams in the order in which the model takes them and concatenates their features.
STREAMS = ("imu", "emg")

#: Sagittal-plane moments of the right leg, positive in the direction that each name says.
DEFAULT_OUTPUTS = MOMENTS

#: Epsilon inside the square root of the layer norm, as torch's default.
NORM_EPSILON = 1e-5

#: What each size may be. The upper bounds keep a damaged file from asking for absurd memory.
BOUNDS = {
    "imu_channels": (0, 1024),
    "emg_channels": (0, 1024),
    "window": (1, 4096),
    "hidden": (1, 1024),
    "layers": (1, 8),
    "heads": (1, 64),
    "head_hidden": (1, 4096),
}


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a Cross-LSTM.

    ``imu_channels``, ``emg_channels``: features a time step; one of them may be 0: the model is without that stream, and the
    other's attention asks its own states. ``window``: T, in samples of the grid of
    ``rate_hz``. ``hidden``: H, LSTM units a stream. ``layers``: stacked LSTM layers a stream. ``heads``:
    attention heads each way; they divide ``hidden``. ``norm``: layer norm after the residual, or none.
    ``head_hidden``: units of the dense ReLU layer. ``outputs``: names of the moments, Nm/kg.
    ``horizon_ms``: how far ahead of the newest sample the moments lie; 0 is now.
    """

    imu_channels: int = 24
    emg_channels: int = 9
    window: int = 64
    rate_hz: float = 100.0
    hidden: int = 64
    layers: int = 1
    heads: int = 1
    norm: Norm = "layer"
    head_hidden: int = 64
    outputs: tuple[str, ...] = DEFAULT_OUTPUTS
    horizon_ms: float = 0.0

    def __post_init__(self) -> None:
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise CheckpointError(
                    f"model config: {name} is {value!r}; allowed: a whole number, {low} to {high}"
                )
        if not self.imu_channels and not self.emg_channels:
            raise CheckpointError(
                "model config: imu_channels and emg_channels are both 0; a model needs a stream"
            )
        for name in ("rate_hz", "horizon_ms"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not math.isfinite(value):
                raise CheckpointError(f"model config: {name} is {value!r}; it must be a finite number")
            object.__setattr__(self, name, float(value))
        if self.rate_hz <= 0 or self.horizon_ms < 0:
            raise CheckpointError(
                f"model config: rate_hz is {self.rate_hz:g} and horizon_ms {self.horizon_ms:g}; "
                "the rate must be above 0 and the horizon at least 0"
            )
        if self.norm not in NORMS:
            raise CheckpointError(f"model config: norm is {self.norm!r}; allowed: {', '.join(NORMS)}")
        if self.hidden % self.heads:
            raise CheckpointError(
                f"model config: {self.heads} heads do not divide {self.hidden} hidden units; choose heads that do"
            )
        if self.norm == "layer" and self.hidden == 1:
            raise CheckpointError(
                "model config: layer norm over 1 hidden unit is a constant; choose hidden of at least 2, or norm none"
            )
        object.__setattr__(self, "outputs", tuple(self.outputs))
        if not self.outputs or not all(isinstance(name, str) and name for name in self.outputs):
            raise CheckpointError(
                f"model config: outputs is {self.outputs!r}; it must name at least one moment"
            )
        if len(set(self.outputs)) != len(self.outputs):
            raise CheckpointError(f"model config: outputs names a moment twice: {', '.join(self.outputs)}")

    @property
    def head_size(self) -> int:
        """Units of one attention head, hidden / heads."""
        return self.hidden // self.heads

    def channels(self, stream: str) -> int:
        """Input channels of ``"imu"`` or ``"emg"``."""
        return {"imu": self.imu_channels, "emg": self.emg_channels}[stream]

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that the model has, in order: imu, emg, or one of them."""
        return tuple(stream for stream in STREAMS if self.channels(stream))

    def asked_by(self, stream: str) -> str:
        """The stream whose states ``stream``'s newest state asks: the other, or itself if there is none."""
        return next((other for other in self.streams if other != stream), stream)

    @property
    def parameter_count(self) -> int:
        """Number of weights in a checkpoint of this config."""
        return sum(math.prod(shape) for shape in weight_shapes(self).values())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values in field order; :meth:`from_json` inverts it."""
        return {**asdict(self), "outputs": list(self.outputs)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ModelConfig:
        """Build from :meth:`to_json`'s form; CheckpointError names a missing, surplus or wrong field."""
        if not isinstance(value, Mapping):
            raise CheckpointError(f"model config is {type(value).__name__}; it must be a JSON object")
        names = {f.name for f in fields(cls)}
        missing, surplus = sorted(names - set(value)), sorted(set(value) - names)
        if missing or surplus:
            raise CheckpointError(
                f"model config: missing {', '.join(missing) or 'nothing'}, unknown {', '.join(surplus) or 'nothing'}"
            )
        if not isinstance(value["outputs"], (list, tuple)):
            raise CheckpointError(
                f"model config: outputs is {value['outputs']!r}; it must be a list of names"
            )
        return cls(**{**value, "outputs": tuple(value["outputs"])})


def weight_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight of a checkpoint, in the order of docs/ARCHITECTURE.md.

    LSTM rows are in torch's gate order i, f, g, o; matrices multiply column vectors ([out, in]).
    """
    hidden = config.hidden
    shapes: dict[str, tuple[int, ...]] = {}
    for stream in config.streams:
        for layer in range(config.layers):
            width = config.channels(stream) if layer == 0 else hidden
            shapes[f"{stream}.lstm.{layer}.weight_ih"] = (4 * hidden, width)
            shapes[f"{stream}.lstm.{layer}.weight_hh"] = (4 * hidden, hidden)
            shapes[f"{stream}.lstm.{layer}.bias"] = (4 * hidden,)
    for stream in config.streams:
        for part in ("query", "key", "value"):
            shapes[f"{stream}.attention.{part}.weight"] = (hidden, hidden)
            shapes[f"{stream}.attention.{part}.bias"] = (hidden,)
        if config.norm == "layer":
            shapes[f"{stream}.norm.weight"] = (hidden,)
            shapes[f"{stream}.norm.bias"] = (hidden,)
    shapes["head.hidden.weight"] = (config.head_hidden, len(config.streams) * hidden)
    shapes["head.hidden.bias"] = (config.head_hidden,)
    shapes["head.output.weight"] = (len(config.outputs), config.head_hidden)
    shapes["head.output.bias"] = (len(config.outputs),)
    return shapes


def config_for(sizes: ModelConfig, contract: SensorContract) -> ModelConfig:
    """``sizes`` with the channels and outputs of a contract of streams imu and emg, or one of them."""
    channels = {item.stream.name: len(item.stream.channels) for item in contract.inputs}
    return replace(
        sizes,
        imu_channels=channels.get("imu", 0),
        emg_channels=channels.get("emg", 0),
        outputs=tuple(channel.name for channel in contract.outputs),
    )


def require_contract_fits(config: ModelConfig, contract: SensorContract) -> None:
    """Raise ContractError naming both sides unless a contract describes exactly this model's inputs and outputs."""
    names = tuple(item.stream.name for item in contract.inputs)
    if names not in (STREAMS, STREAMS[:1], STREAMS[1:]):
        raise ContractError(
            f"contract has streams {', '.join(names)}; a Cross-LSTM takes imu, emg, in that order, or one of them"
        )
    have = {
        **{f"{stream}_channels": 0 for stream in STREAMS},
        **{f"{item.stream.name}_channels": len(item.stream.channels) for item in contract.inputs},
        "window": contract.window,
        "rate_hz": contract.grid_rate_hz,
        "outputs": tuple(channel.name for channel in contract.outputs),
        "horizon_ms": contract.horizon_ms,
    }
    for name, value in have.items():
        if getattr(config, name) != value:
            raise ContractError(
                f"contract and model config differ: {name} is {value} in the contract and {getattr(config, name)} "
                "in the config"
            )
