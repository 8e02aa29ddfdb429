"""What two sides must agree on about a model's sensors: channels, streams, filters, the contract, as frozen records.

Nothing here reads files or computes; a record that exists is valid.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from toolkit.errors import ContractError

#: Units a channel may have. "1" is a fraction (an EMG envelope over its maximum).
UNITS = ("m/s^2", "rad/s", "V", "mV", "uV", "1", "Nm/kg", "Nm", "rad", "deg", "g", "deg/s")
#: Those of raw EMG: a voltage.
VOLTS = ("V", "mV", "uV")

#: Rates that a sensor or a grid can have, Hz: once in 100 s to ten times the fastest EMG amplifiers.
RATE_HZ = (0.01, 1e6)
#: Samples of a window and channels of a stream, at most. A file may say anything; memory is asked for by these numbers.
WINDOW, CHANNELS = 65_536, 1_024
#: Characters of a name in a contract.
NAME = 200


@dataclass(frozen=True)
class Channel:
    """One scalar signal: ``name`` is unique in its stream, ``unit`` is one of :data:`UNITS`."""

    name: str
    unit: str

    def __post_init__(self) -> None:
        if not self.name or self.name != self.name.strip():
            raise ContractError(
                f"channel name {self.name!r}: it must not be empty, or begin or end with a space"
            )
        if self.unit not in UNITS:
            raise ContractError(
                f"channel {self.name!r} has unit {self.unit!r}; allowed units: {', '.join(UNITS)}"
            )


@dataclass(frozen=True)
class StreamSpec:
    """A named multi-channel series with a nominal rate in Hz. The channel order is part of it."""

    name: str
    rate_hz: float
    channels: tuple[Channel, ...]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise ContractError(f"stream {self.name!r} has rate {self.rate_hz} Hz; it must be above 0")
        if not self.channels:
            raise ContractError(f"stream {self.name!r} has no channels; it needs at least one")
        names = [channel.name for channel in self.channels]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ContractError(f"stream {self.name!r} names {', '.join(twice)} more than once")

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(channel.name for channel in self.channels)


@dataclass(frozen=True)
class FilterStage:
    """One causal stage of a stream's filter chain, as data that Python and C run alike.

    ``kind`` names the stage (see ``toolkit.filtering``); ``parameters`` are JSON values.
    """

    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))

    def __reduce__(self) -> tuple[Any, ...]:
        return FilterStage, (self.kind, dict(self.parameters))


@dataclass(frozen=True)
class Normaliser:
    """Per-channel mean and standard deviation of a filtered stream on the grid: (x - mean) / std."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise ContractError(f"normaliser has {len(self.mean)} means and {len(self.std)} deviations")
        if not all(math.isfinite(m) for m in self.mean) or not all(
            math.isfinite(s) and s > 0 for s in self.std
        ):
            raise ContractError("normaliser values must be finite and every deviation above 0")


@dataclass(frozen=True)
class ModelInput:
    """One input of the model: the raw stream it wants, the filter chain onto the grid, the normaliser.

    An empty ``filters`` with ``stream.rate_hz == grid rate`` says that the stream arrives filtered.
    """

    stream: StreamSpec
    filters: tuple[FilterStage, ...]
    normaliser: Normaliser

    def __post_init__(self) -> None:
        if len(self.normaliser.mean) != len(self.stream.channels):
            raise ContractError(
                f"stream {self.stream.name!r} has {len(self.stream.channels)} channels and its "
                f"normaliser {len(self.normaliser.mean)}; they must be equal"
            )


@dataclass(frozen=True)
class SensorContract:
    """Everything two sides must agree on about a model's inputs and outputs.

    It travels in the checkpoint, the .tflite metadata, the C header and the sensor descriptor.
    ``outputs`` are moments in Nm/kg: hip flexion, knee extension and ankle plantarflexion sign
    as the channel names say. ``horizon_ms`` is how far ahead of the newest sample they look.
    ``calibration`` is what a session is calibrated on before the filters (``toolkit.calibration.CalibrationReference``
    as JSON), None for a model that takes sensors as they are.
    """

    inputs: tuple[ModelInput, ...]
    grid_rate_hz: float
    window: int
    outputs: tuple[Channel, ...]
    horizon_ms: float = 0.0
    calibration: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.grid_rate_hz) and self.grid_rate_hz > 0):
            raise ContractError(f"grid rate is {self.grid_rate_hz} Hz; it must be above 0")
        if self.window < 1:
            raise ContractError(f"window is {self.window} samples; it must be at least 1")
        if not (math.isfinite(self.horizon_ms) and self.horizon_ms >= 0):
            raise ContractError(f"horizon is {self.horizon_ms} ms; it must be at least 0")
        if not self.inputs or not self.outputs:
            raise ContractError("a contract needs at least one input stream and one output")
        if any(channel.unit != "Nm/kg" for channel in self.outputs):
            raise ContractError("outputs are joint moments and must have unit Nm/kg")
        _require_bounded(self)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, keys in a fixed order; :meth:`from_json` inverts it."""
        asked = {} if self.calibration is None else {"calibration": dict(self.calibration)}
        return asked | {
            "grid_rate_hz": self.grid_rate_hz,
            "window": self.window,
            "horizon_ms": self.horizon_ms,
            "inputs": [
                {
                    "stream": stream_to_json(item.stream),
                    "filters": [{"kind": f.kind, "parameters": dict(f.parameters)} for f in item.filters],
                    "normaliser": {"mean": list(item.normaliser.mean), "std": list(item.normaliser.std)},
                }
                for item in self.inputs
            ],
            "outputs": [{"name": c.name, "unit": c.unit} for c in self.outputs],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SensorContract:
        """Build from :meth:`to_json`'s form; ContractError names what is missing or wrong."""
        try:
            return cls(
                inputs=tuple(
                    ModelInput(
                        stream=stream_from_json(item["stream"]),
                        filters=tuple(FilterStage(f["kind"], f["parameters"]) for f in item["filters"]),
                        normaliser=Normaliser(
                            tuple(float(v) for v in item["normaliser"]["mean"]),
                            tuple(float(v) for v in item["normaliser"]["std"]),
                        ),
                    )
                    for item in value["inputs"]
                ),
                grid_rate_hz=float(value["grid_rate_hz"]),
                window=int(value["window"]),
                outputs=tuple(Channel(c["name"], c["unit"]) for c in value["outputs"]),
                horizon_ms=float(value["horizon_ms"]),
                calibration=_calibration_from_json(value.get("calibration")),
            )
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ContractError(
                f"not a sensor contract: {type(error).__name__} at {error}; it needs inputs, grid_rate_hz, "
                "window, outputs and horizon_ms"
            ) from None

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, 64 hex digits. Packets carry the first 8 bytes of it."""
        return json_hash(self.to_json())

    @property
    def calibration_hash(self) -> str:
        """The hash of what sessions are calibrated on; empty for a model that takes sensors as they are."""
        return "" if self.calibration is None else json_hash(self.calibration)


def json_hash(value: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of ``value``, 64 hex digits."""
    text = json.dumps(dict(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _calibration_from_json(value: Any) -> Mapping[str, Any] | None:
    if value is not None and not isinstance(value, Mapping):
        raise ContractError(f"a contract's calibration is an object; it is {type(value).__name__}")
    return value


def _require_bounded(contract: SensorContract) -> None:
    """Raise ContractError unless sizes and rates are such as a body-worn sensor can have, and names can be shown."""
    rates = [contract.grid_rate_hz, *(item.stream.rate_hz for item in contract.inputs)]
    beyond = [rate for rate in rates if not RATE_HZ[0] <= rate <= RATE_HZ[1]]
    if beyond:
        raise ContractError(
            f"a rate of {beyond[0]:g} Hz is not allowed: {RATE_HZ[0]:g} to {RATE_HZ[1]:g} Hz are"
        )
    if contract.window > WINDOW:
        raise ContractError(f"window is {contract.window} samples; at most {WINDOW} are allowed")
    streams = [item.stream for item in contract.inputs]
    for stream in streams:
        if len(stream.channels) > CHANNELS:
            raise ContractError(
                f"stream {stream.name!r} has {len(stream.channels)} channels; at most {CHANNELS} are allowed"
            )
    names = [c.name for stream in streams for c in stream.channels] + [c.name for c in contract.outputs]
    for name in (*(stream.name for stream in streams), *names):
        if not isinstance(name, str) or not name.isprintable() or len(name) > NAME:
            raise ContractError(
                f"the name {str(name)[:NAME]!r} is not allowed: names are printable text of at most {NAME} characters"
            )


def stream_to_json(stream: StreamSpec) -> dict[str, Any]:
    """Plain JSON values of a stream; :func:`stream_from_json` inverts it."""
    return {
        "name": stream.name,
        "rate_hz": stream.rate_hz,
        "channels": [{"name": c.name, "unit": c.unit} for c in stream.channels],
    }


def stream_from_json(value: Mapping[str, Any]) -> StreamSpec:
    """Build a stream from :func:`stream_to_json`'s form."""
    channels = tuple(Channel(c["name"], c["unit"]) for c in value["channels"])
    return StreamSpec(value["name"], float(value["rate_hz"]), channels)


def require_same_stream(expected: StreamSpec, actual: StreamSpec, where: str) -> None:
    """Raise ContractError naming both sides unless order, units and rate of two streams agree."""
    if expected.channel_names != actual.channel_names:
        missing = [n for n in expected.channel_names if n not in actual.channel_names]
        surplus = [n for n in actual.channel_names if n not in expected.channel_names]
        if missing or surplus:
            detail = f"missing {missing or 'none'}, not expected {surplus or 'none'}"
        else:
            i = next(i for i, n in enumerate(expected.channel_names) if n != actual.channel_names[i])
            detail = f"wrong order: position {i} must be {expected.channel_names[i]!r}, not {actual.channel_names[i]!r}"
        raise ContractError(
            f"{where}: stream {expected.name!r} must have {len(expected.channels)} channels as in the contract and "
            f"has {len(actual.channels)}; {detail}"
        )
    for want, have in zip(expected.channels, actual.channels):
        if want.unit != have.unit:
            raise ContractError(
                f"{where}: channel {want.name!r} of stream {expected.name!r} must be in {want.unit} and is in {have.unit}"
            )
    if not math.isclose(expected.rate_hz, actual.rate_hz, rel_tol=1e-6):
        raise ContractError(
            f"{where}: stream {expected.name!r} must have {expected.rate_hz:g} Hz and has {actual.rate_hz:g} Hz"
        )
