"""The compact frame of an estimate for controllers; docs/SINKS.md fixes the bytes. Little-endian, checked by a CRC-32."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from runtime.pipeline.estimate import Estimate, State
from toolkit.contract import Channel
from toolkit.errors import UsageError

MAGIC = b"EM"
#: Of a frame without half widths, and of one with them after the values: a reader of the first refuses the second.
VERSION, WITH_HALF_WIDTHS = 1, 2
#: magic, version, state, count, a zero, valid ms, sequence, layout, source ns, source error us, latency us, age us
_HEAD = struct.Struct("<2sBBBxHIIQIII")
_CRC = struct.Struct("<I")
assert _HEAD.size == 36
#: A frame fits any path's datagram (IPv6 guarantees 1,280 bytes with its headers).
MAX_VALUES = 255
#: With half widths that many would not fit any path's datagram; a model with more outputs sends none.
MAX_HALF_WIDTHS = 148
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

    @classmethod
    def of(cls, estimate: Estimate, layout: int) -> Self:
        """The frame of ``estimate``."""
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
        )

    def __bytes__(self) -> bytes:
        head = _HEAD.pack(
            MAGIC,
            WITH_HALF_WIDTHS if self.half_widths else VERSION,
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
        known = version in (VERSION, WITH_HALF_WIDTHS)
        numbers = count * (2 if version == WITH_HALF_WIDTHS else 1)
        if not known or state >= len(_STATES) or len(data) != frame_size(numbers):
            raise ValueError(
                f"not an estimate frame of version {VERSION} or {WITH_HALF_WIDTHS}: version {version}, {len(data)} bytes"
            )
        if zlib.crc32(data[: -_CRC.size]) != _CRC.unpack_from(data, len(data) - _CRC.size)[0]:
            raise ValueError("an estimate frame with a wrong checksum")
        found = struct.unpack_from(f"<{numbers}f", data, _HEAD.size)
        values, half_widths = found[:count], found[count:]
        return cls(
            sequence, _STATES[state], layout, source_ns, error, latency, age, values, valid_ms, half_widths
        )


def frame_size(count: int) -> int:
    """Bytes of a frame with ``count`` numbers, values and half widths: 40 and 4 a number."""
    return _HEAD.size + 4 * count + _CRC.size


def _microseconds(value: float) -> int:
    return min(max(round(value), 0), UNKNOWN_US) if math.isfinite(value) else UNKNOWN_US


def _float32(value: float) -> float:
    """``value``, or infinity where it is beyond float32: struct would raise."""
    return value if not math.isfinite(value) or abs(value) < 3.4028235e38 else math.copysign(math.inf, value)
