"""The compact frame of an estimate for controllers; docs/SINKS.md fixes the bytes. Little-endian, checked by a CRC-32."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from runtime.pipeline.estimate import Estimate, State
from runtime.sinks.settings import SinkSettings
from toolkit.contract import Channel
from toolkit.errors import UsageError

MAGIC = b"EM"
#: Of a plain frame. What is added to it where half widths follow the values, where run and model stand before them, and where
#: the wearer's body mass is the last number: a reader of the first refuses the others.
VERSION, WITH_HALF_WIDTHS, WITH_IDENTITY, WITH_MASS = 1, 1, 2, 4
_VERSIONS = range(VERSION, VERSION + WITH_HALF_WIDTHS + WITH_IDENTITY + WITH_MASS + 1)
#: magic, version, state, count, a zero, valid ms, sequence, layout, source ns, source error us, latency us, age us
_HEAD = struct.Struct("<2sBBBxHIIQIII")
_CRC = struct.Struct("<I")
assert _HEAD.size == 36
#: run, model: ASCII, zeros behind
_IDENTITY = struct.Struct("<12s12s")
#: A frame fits any path's datagram (IPv6 guarantees 1,280 bytes with its headers).
MAX_VALUES = 255
#: With half widths that many would not fit any path's datagram; a model with more outputs sends none.
MAX_HALF_WIDTHS = 145
#: Times in microseconds that are longer, or not known.
UNKNOWN_US = 0xFFFF_FFFF
_STATES = tuple(State)


def layout_of(outputs: Sequence[Channel]) -> int:
    """CRC-32 of the outputs' names and units in order, ``name unit`` a line: a reader knows by it what the values are."""
    return zlib.crc32("\n".join(f"{c.name} {c.unit}" for c in outputs).encode())


def check_size(outputs: Sequence[Channel], sink: str) -> None:
    """UsageError if there are more outputs than a frame holds."""
    if len(outputs) > MAX_VALUES:
        raise UsageError(
            f"sink {sink!r}: a frame holds {MAX_VALUES} outputs at most, not {len(outputs)}; use ndjson"
        )


@dataclass(frozen=True)
class EstimateFrame:
    """What a frame says. ``values`` as float32; times in microseconds, :data:`UNKNOWN_US` if longer or not known."""

    sequence: int
    state: State
    layout: int
    source_ns: int
    source_error_us: int
    latency_us: int
    age_us: int
    values: tuple[float, ...]
    #: The lease: for how many ms after it came a reader may act on it; 0: not at all, or not stated.
    valid_ms: int = 0
    #: One for each value, or none.
    half_widths: tuple[float, ...] = ()
    #: Which start of the daemon, and which model; None: it does not say so.
    identity: tuple[str, str] | None = None
    #: The wearer's body mass, kg: values in Nm/kg times it are the moments in Nm; 0: it does not say so.
    mass_kg: float = 0.0

    @classmethod
    def of(cls, estimate: Estimate, layout: int, *, identity: bool = False, mass: bool = False) -> Self:
        """The frame of ``estimate``, with its run and model if ``identity``, and the body mass if ``mass``."""
        return cls(
            estimate.sequence & 0xFFFF_FFFF,
            estimate.state,
            layout,
            estimate.source_ns & 0xFFFF_FFFF_FFFF_FFFF,
            _microseconds(estimate.source_error_ms * 1e3),
            _microseconds((estimate.published_ns - estimate.source_ns) * 1e-3),
            _microseconds((estimate.published_ns - estimate.arrival_ns) * 1e-3),
            estimate.values,
            min(max((estimate.valid_until_ns - estimate.published_ns) // 1_000_000, 0), 0xFFFF),
            estimate.half_widths if len(estimate.half_widths) <= MAX_HALF_WIDTHS else (),
            (estimate.run, estimate.model) if identity else None,
            estimate.mass_kg if mass else 0.0,
        )

    @property
    def newton_metres(self) -> tuple[float, ...]:
        """The values in Nm; empty where the frame does not say the body mass."""
        return tuple(value * self.mass_kg for value in self.values) if self.mass_kg else ()

    @property
    def version(self) -> int:
        """What stands in it beside the values, as a reader learns it."""
        return (
            VERSION
            + (WITH_HALF_WIDTHS if self.half_widths else 0)
            + (WITH_IDENTITY if self.identity is not None else 0)
            + (WITH_MASS if self.mass_kg else 0)
        )

    def __bytes__(self) -> bytes:
        head = _HEAD.pack(
            MAGIC,
            self.version,
            self.state.rank,
            len(self.values),
            self.valid_ms,
            self.sequence,
            self.layout,
            self.source_ns,
            self.source_error_us,
            self.latency_us,
            self.age_us,
        )
        if self.identity is not None:
            head += _IDENTITY.pack(*(text.encode("ascii", "replace") for text in self.identity))
        numbers = (*self.values, *self.half_widths, *((self.mass_kg,) if self.mass_kg else ()))
        body = head + struct.pack(f"<{len(numbers)}f", *map(_float32, numbers))
        return body + _CRC.pack(zlib.crc32(body))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse one whole frame; ValueError says why it is none."""
        if len(data) < _HEAD.size + _CRC.size or data[:2] != MAGIC:
            raise ValueError("not an estimate frame: too short, or it does not begin with EM")
        _, version, state, count, valid_ms, sequence, layout, source_ns, error, latency, age = (
            _HEAD.unpack_from(data)
        )
        more = version - VERSION if version in _VERSIONS else 0
        weighed, named = more & WITH_MASS > 0, more & WITH_IDENTITY > 0
        numbers = count * (2 if more & WITH_HALF_WIDTHS else 1) + weighed
        size = frame_size(numbers, identity=named)
        if version not in _VERSIONS or state >= len(_STATES) or len(data) != size:
            raise ValueError(
                f"not an estimate frame of version {_VERSIONS[0]} to {_VERSIONS[-1]}: version {version}, {len(data)} bytes"
            )
        if zlib.crc32(data[: -_CRC.size]) != _CRC.unpack_from(data, len(data) - _CRC.size)[0]:
            raise ValueError("an estimate frame with a wrong checksum")
        found = struct.unpack_from(f"<{numbers}f", data, size - _CRC.size - 4 * numbers)
        times = source_ns, error, latency, age
        identity = _identity(data) if named else None
        mass_kg = found[-1] if weighed else 0.0
        bars = found[count : numbers - weighed]
        return cls(sequence, _STATES[state], layout, *times, found[:count], valid_ms, bars, identity, mass_kg)


def _identity(data: bytes) -> tuple[str, str]:
    run, model = (
        text.rstrip(b"\0").decode("ascii", "replace") for text in _IDENTITY.unpack_from(data, _HEAD.size)
    )
    return run, model


class FrameWriter:
    """Options of a sink of frames: ``unit`` (Nm/kg, Nm, both: Nm/kg and the body mass), ``identity`` (0, 1: run and model).

    The layout of frames in Nm is another one.
    """

    def __init__(self, settings: SinkSettings, outputs: Sequence[Channel]) -> None:
        self._identity = settings.choice("identity", ("0", "1")) == "1"
        self._unit = settings.choice("unit", ("Nm/kg", "Nm", "both"))
        self._name = settings.text
        self._layout = layout_of([Channel(c.name, "Nm") for c in outputs] if self._unit == "Nm" else outputs)

    def require(self, mass_kg: float) -> None:
        """UsageError for Nm without the wearer's body mass."""
        if self._unit != "Nm/kg" and not mass_kg:
            raise UsageError(
                f"sink {self._name!r}: unit={self._unit} needs the wearer's body mass: mass_kg under [person]"
            )

    def frame(self, estimate: Estimate) -> bytes:
        """The bytes of the estimate's frame."""
        if self._unit == "Nm":
            bars = tuple(width * estimate.mass_kg for width in estimate.half_widths)
            estimate = replace(estimate, values=estimate.newton_metres, half_widths=bars)
        return bytes(
            EstimateFrame.of(estimate, self._layout, identity=self._identity, mass=self._unit == "both")
        )


def frame_size(count: int, *, identity: bool = False) -> int:
    """Bytes of a frame with ``count`` numbers, values and half widths: 40 and 4 a number; 24 more with run and model."""
    return _HEAD.size + (_IDENTITY.size if identity else 0) + 4 * count + _CRC.size


def _microseconds(value: float) -> int:
    return min(max(round(value), 0), UNKNOWN_US) if math.isfinite(value) else UNKNOWN_US


def _float32(value: float) -> float:
    """``value``, or infinity where it is beyond float32: struct would raise."""
    return value if not math.isfinite(value) or abs(value) < 3.4028235e38 else math.copysign(math.inf, value)
