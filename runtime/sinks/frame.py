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
#: Of a plain frame. What is added to it where half widths follow the values, and where run and model stand before them: a
#: reader of the first refuses the others.
VERSION, WITH_HALF_WIDTHS, WITH_IDENTITY = 1, 1, 2
_VERSIONS = range(VERSION, VERSION + WITH_HALF_WIDTHS + WITH_IDENTITY + 1)
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

    @classmethod
    def of(cls, estimate: Estimate, layout: int, *, identity: bool = False) -> Self:
        """The frame of ``estimate``, with its run and model if ``identity``."""
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
        )

    @property
    def version(self) -> int:
        """What stands in it beside the values, as a reader learns it."""
        with_identity = WITH_IDENTITY if self.identity is not None else 0
        return VERSION + (WITH_HALF_WIDTHS if self.half_widths else 0) + with_identity

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
        numbers = (*self.values, *self.half_widths)
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
        numbers, named = count * (2 if more & WITH_HALF_WIDTHS else 1), bool(more & WITH_IDENTITY)
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
        return cls(sequence, _STATES[state], layout, *times, found[:count], valid_ms, found[count:], identity)


def _identity(data: bytes) -> tuple[str, str]:
    run, model = (
        text.rstrip(b"\0").decode("ascii", "replace") for text in _IDENTITY.unpack_from(data, _HEAD.size)
    )
    return run, model


class FrameWriter:
    """Options ``unit`` (Nm/kg, Nm) and ``identity`` (0, 1: frames say run and model) of a sink that sends frames.

    The layout of frames in Nm is another one.
    """

    def __init__(self, settings: SinkSettings, outputs: Sequence[Channel]) -> None:
        self._identity = settings.choice("identity", ("0", "1")) == "1"
        self._is_nm = settings.choice("unit", ("Nm/kg", "Nm")) == "Nm"
        self._name = settings.text
        self._layout = layout_of([Channel(c.name, "Nm") for c in outputs] if self._is_nm else outputs)

    def require(self, mass_kg: float) -> None:
        """UsageError for Nm without the wearer's body mass."""
        if self._is_nm and not mass_kg:
            raise UsageError(
                f"sink {self._name!r}: unit=Nm needs the wearer's body mass: mass_kg under [person]"
            )

    def frame(self, estimate: Estimate) -> bytes:
        """The bytes of the estimate's frame."""
        if self._is_nm:
            bars = tuple(width * estimate.mass_kg for width in estimate.half_widths)
            estimate = replace(estimate, values=estimate.newton_metres, half_widths=bars)
        return bytes(EstimateFrame.of(estimate, self._layout, identity=self._identity))


def frame_size(count: int, *, identity: bool = False) -> int:
    """Bytes of a frame with ``count`` numbers, values and half widths: 40 and 4 a number; 24 more with run and model."""
    return _HEAD.size + (_IDENTITY.size if identity else 0) + 4 * count + _CRC.size


def _microseconds(value: float) -> int:
    return min(max(round(value), 0), UNKNOWN_US) if math.isfinite(value) else UNKNOWN_US


def _float32(value: float) -> float:
    """``value``, or infinity where it is beyond float32: struct would raise."""
    return value if not math.isfinite(value) or abs(value) < 3.4028235e38 else math.copysign(math.inf, value)
