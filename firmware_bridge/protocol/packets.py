"""Packets between a node and a host (PROTOCOL.md sections 4 to 8): frozen, validated, to bytes and back.

Whatever does not fit the page raises LinkError naming the value. The packets of on-target inference are in target_packets.py.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firmware_bridge.protocol.table import (
    BATTERY_UNKNOWN,
    CONTRACT_PREFIX_BYTES,
    DATA_HEADER_BYTES,
    FORMAT_BYTES,
    MAX_CHANNELS,
    MAX_MESSAGE_BYTES,
    MAX_SAMPLES,
    MAX_STREAMS,
    MAX_TEXT_BYTES,
    UNIT_CODES,
    UNIT_OF_CODE,
    CommandCode,
    Format,
    PacketType,
)
from toolkit.contract import Channel, StreamSpec
from toolkit.errors import LinkError

_F32 = struct.Struct("<f")
_DATA = struct.Struct("<BBBBI")
_STREAM = struct.Struct("<BBBxf")
_CHANNEL = struct.Struct("<Bff")
_SYNC = struct.Struct("<Q")
_SYNC_REPLY = struct.Struct("<QI")
_STATUS = struct.Struct("<BBHIIIBBH")
_COMMAND = struct.Struct("<B3x")
_U32 = 0xFFFFFFFF


def _single(value: float, what: str) -> float:
    """``value`` as single precision holds it; LinkError if that is not finite."""
    try:
        result: float = _F32.unpack(_F32.pack(value))[0]
    except (OverflowError, struct.error):
        result = math.inf
    if not math.isfinite(result):
        raise LinkError(f"{what} is {value}; it must be finite in single precision")
    return result


def require(what: str, value: int, low: int, high: int) -> None:
    """LinkError unless ``low <= value <= high``."""
    if not low <= value <= high:
        raise LinkError(f"{what} is {value}; allowed: {low} to {high}")


def require_size(what: str, payload: bytes, size: int) -> None:
    """LinkError unless ``payload`` has exactly ``size`` bytes."""
    if len(payload) != size:
        raise LinkError(f"{what} has {len(payload)} bytes; it must have {size}")


def text_bytes(text: str, what: str, least: int) -> bytes:
    """Count and UTF-8 of a text; LinkError if it is too short, too long, padded or not printable."""
    encoded = text.encode("utf-8", "surrogatepass")
    if not least <= len(encoded) <= MAX_TEXT_BYTES or text != text.strip() or not text.isprintable():
        raise LinkError(
            f"{what} {text!r} must have {least} to {MAX_TEXT_BYTES} bytes of printable UTF-8 without spaces at its ends"
        )
    return bytes((len(encoded),)) + encoded


class Reader:
    """Takes fields off the front of a payload; LinkError when it ends too early."""

    def __init__(self, payload: bytes, what: str) -> None:
        self._payload, self._at, self._what = payload, 0, what

    def bytes(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        end = self._at + size
        if end > len(self._payload):
            raise LinkError(f"{self._what} ends after {len(self._payload)} bytes; it needs at least {end}")
        taken = self._payload[self._at : end]
        self._at = end
        return taken

    def unpack(self, layout: struct.Struct) -> tuple[int | float, ...]:
        """The next fields of ``layout``."""
        return layout.unpack(self.bytes(layout.size))

    def text(self) -> str:
        """The next text."""
        raw = self.bytes(self.bytes(1)[0])
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise LinkError(f"{self._what} holds a text that is not UTF-8: {raw!r}") from None

    def end(self) -> None:
        """LinkError if bytes are left."""
        if self._at != len(self._payload):
            raise LinkError(f"{self._what} has {len(self._payload) - self._at} bytes too many")


@dataclass(frozen=True)
class ChannelDescriptor:
    """One channel: physical value = raw value x ``scale``, in ``unit``; ``full_scale`` (same unit) 0 if not known."""

    name: str
    unit: str
    scale: float
    full_scale: float = 0.0

    def __post_init__(self) -> None:
        text_bytes(self.name, "channel name", 1)
        if self.unit not in UNIT_CODES:
            raise LinkError(f"channel {self.name!r} has unit {self.unit!r}; allowed: {', '.join(UNIT_CODES)}")
        for field in ("scale", "full_scale"):
            object.__setattr__(
                self, field, _single(getattr(self, field), f"{field} of channel {self.name!r}")
            )
        if self.scale == 0 or self.full_scale < 0:
            raise LinkError(
                f"channel {self.name!r} has scale {self.scale} and full scale {self.full_scale}; "
                "the first must not be 0, the second not negative"
            )

    def __bytes__(self) -> bytes:
        head = _CHANNEL.pack(UNIT_CODES[self.unit], self.scale, self.full_scale)
        return head + text_bytes(self.name, "channel name", 1)


@dataclass(frozen=True)
class StreamDescriptor:
    """One stream of a node: number, format, nominal rate in Hz, channels in the order of the values."""

    stream: int
    name: str
    format: Format
    rate_hz: float
    channels: tuple[ChannelDescriptor, ...]

    def __post_init__(self) -> None:
        require(f"number of stream {self.name!r}", self.stream, 0, 255)
        text_bytes(self.name, "stream name", 1)
        object.__setattr__(self, "format", _format(self.format))
        object.__setattr__(self, "rate_hz", _single(self.rate_hz, f"rate of stream {self.name!r}"))
        if self.rate_hz <= 0:
            raise LinkError(f"stream {self.name!r} has rate {self.rate_hz} Hz; it must be above 0")
        require(f"number of channels of stream {self.name!r}", len(self.channels), 1, MAX_CHANNELS)
        names = [channel.name for channel in self.channels]
        if len(set(names)) != len(names):
            raise LinkError(f"stream {self.name!r} names a channel twice: {', '.join(names)}")

    def __bytes__(self) -> bytes:
        head = _STREAM.pack(self.stream, self.format, len(self.channels), self.rate_hz)
        return head + text_bytes(self.name, "stream name", 1) + b"".join(bytes(c) for c in self.channels)

    @property
    def spec(self) -> StreamSpec:
        """The same as the toolkit's record."""
        return StreamSpec(self.name, self.rate_hz, tuple(Channel(c.name, c.unit) for c in self.channels))

    def physical(self, raw: NDArray[np.int32] | NDArray[np.float32]) -> NDArray[np.float64]:
        """Raw values, shape (samples, channels), in the channels' units, float64: raw x scale, rounded once."""
        result: NDArray[np.float64] = raw * self._scales
        return result

    @cached_property
    def _scales(self) -> NDArray[np.float64]:
        return np.array([channel.scale for channel in self.channels], np.float64)

    def fits(self, data: Data) -> bool:
        """Whether ``data`` is of this stream's number, format and channel count."""
        return (data.stream, data.format, data.channels) == (self.stream, self.format, len(self.channels))


def _format(code: int) -> Format:
    try:
        return Format(code)
    except ValueError:
        raise LinkError(f"sample format is {code}; allowed: 1 int16, 2 int24, 3 float32") from None


@dataclass(frozen=True)
class Descriptor:
    """What a node measures. ``contract_hash`` is 8 bytes, all 0 if the node knows of no contract."""

    TYPE: ClassVar[int] = PacketType.DESCRIPTOR
    name: str
    streams: tuple[StreamDescriptor, ...]
    contract_hash: bytes = bytes(CONTRACT_PREFIX_BYTES)
    hardware: str = ""

    def __post_init__(self) -> None:
        require_size("contract hash", self.contract_hash, CONTRACT_PREFIX_BYTES)
        require(f"number of streams of node {self.name!r}", len(self.streams), 1, MAX_STREAMS)
        for what, values in (
            ("number", [s.stream for s in self.streams]),
            ("name", [s.name for s in self.streams]),
        ):
            if len(set(values)) != len(values):
                raise LinkError(f"node {self.name!r} gives a stream {what} twice: {values}")
        require("size of the descriptor", len(bytes(self)), 1, MAX_MESSAGE_BYTES)

    def __bytes__(self) -> bytes:
        texts = text_bytes(self.name, "node name", 1) + text_bytes(self.hardware, "hardware", 0)
        head = self.contract_hash + bytes((len(self.streams), 0, 0, 0))
        return head + texts + b"".join(bytes(stream) for stream in self.streams)

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """Parse and check all; LinkError says what is wrong."""
        reader = Reader(payload, "descriptor")
        contract_hash, count = reader.bytes(CONTRACT_PREFIX_BYTES), reader.bytes(4)[0]
        require("number of streams", count, 1, MAX_STREAMS)
        name, hardware = reader.text(), reader.text()
        streams = tuple(_read_stream(reader) for _ in range(count))
        reader.end()
        return cls(name, streams, contract_hash, hardware)

    def stream(self, number: int) -> StreamDescriptor | None:
        """The stream of that number, or None."""
        for stream in self.streams:
            if stream.stream == number:
                return stream
        return None


def _read_stream(reader: Reader) -> StreamDescriptor:
    number, form, count, rate_hz = reader.unpack(_STREAM)
    name = reader.text()
    require(f"number of channels of stream {name!r}", int(count), 1, MAX_CHANNELS)
    channels = []
    for _ in range(int(count)):
        code, scale, full_scale = reader.unpack(_CHANNEL)
        unit = UNIT_OF_CODE.get(int(code))
        if unit is None:
            raise LinkError(f"stream {name!r} has unit code {code}; allowed: 1 to {len(UNIT_OF_CODE)}")
        channels.append(ChannelDescriptor(reader.text(), unit, scale, full_scale))
    return StreamDescriptor(int(number), name, _format(int(form)), rate_hz, tuple(channels))


@dataclass(frozen=True, slots=True)
class Data:
    """Several samples of one stream, as raw bytes; ``first`` numbers the oldest sample, modulo 2^32.

    ``raw`` holds samples x channels values of ``format``, all channels of the oldest sample first.
    """

    TYPE: ClassVar[int] = PacketType.DATA
    stream: int
    format: Format
    channels: int
    first: int
    raw: bytes

    def __post_init__(self) -> None:
        size = FORMAT_BYTES.get(self.format)
        if size is None:
            raise LinkError(f"sample format is {self.format}; allowed: 1 int16, 2 int24, 3 float32")
        if not (0 <= self.stream <= 255 and 1 <= self.channels <= MAX_CHANNELS and 0 <= self.first <= _U32):
            raise LinkError(
                f"data of stream {self.stream} with {self.channels} channels from sample {self.first}; "
                f"allowed: 0 to 255, 1 to {MAX_CHANNELS}, 0 to 2^32 - 1"
            )
        samples, rest = divmod(len(self.raw), size * self.channels)
        if rest or not 1 <= samples <= MAX_SAMPLES:
            raise LinkError(
                f"data of stream {self.stream} has {len(self.raw)} bytes of values; it must be 1 to {MAX_SAMPLES} "
                f"samples of {size * self.channels}"
            )
        if self.format == Format.FLOAT32 and not np.isfinite(np.frombuffer(self.raw, "<f4")).all():
            raise LinkError(f"data of stream {self.stream} holds values that are not finite")

    @property
    def samples(self) -> int:
        """How many samples."""
        return len(self.raw) // (FORMAT_BYTES[self.format] * self.channels)

    def values(self) -> NDArray[np.int32] | NDArray[np.float32]:
        """Raw values, shape (samples, channels): int32 for both integer formats, else float32."""
        shape = (-1, self.channels)
        if self.format == Format.FLOAT32:
            return np.frombuffer(self.raw, "<f4").astype(np.float32).reshape(shape)
        if self.format == Format.INT16:
            return np.frombuffer(self.raw, "<i2").astype(np.int32).reshape(shape)
        wide = np.zeros((len(self.raw) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(self.raw, np.uint8).reshape(-1, 3)
        # The three bytes stand in the upper three: an arithmetic shift brings the sign down.
        shifted: NDArray[np.int32] = (wide.view("<i4")[:, 0] >> 8).astype(np.int32).reshape(shape)
        return shifted

    @classmethod
    def of(cls, stream: int, form: Format, first: int, values: ArrayLike) -> Self:
        """Pack ``values``, shape (samples, channels). LinkError for a value that does not fit the format."""
        array = np.atleast_2d(np.asarray(values))
        if array.ndim != 2:
            raise LinkError(
                f"values of stream {stream} have shape {array.shape}; it must be (samples, channels)"
            )
        if form == Format.FLOAT32:
            raw = array.astype("<f4").tobytes()
        else:
            limit = 1 << (8 * FORMAT_BYTES[form] - 1)
            if not np.issubdtype(array.dtype, np.integer) or array.min() < -limit or array.max() >= limit:
                raise LinkError(
                    f"values of stream {stream} must be integers from {-limit} to {limit - 1}; "
                    f"they are {array.dtype} from {array.min()} to {array.max()}"
                )
            wide = np.ascontiguousarray(array.astype("<i4"))
            raw = wide.view(np.uint8).reshape(-1, 4)[:, : FORMAT_BYTES[form]].tobytes()
        return cls(stream, form, array.shape[1], first & _U32, raw)

    def __bytes__(self) -> bytes:
        return _DATA.pack(self.stream, self.format, self.channels, self.samples, self.first) + self.raw

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """Parse and check all; LinkError says what is wrong."""
        if len(payload) < DATA_HEADER_BYTES:
            raise LinkError(f"data has {len(payload)} bytes; it must have at least {DATA_HEADER_BYTES}")
        stream, form, channels, samples, first = _DATA.unpack_from(payload)
        if len(payload) - DATA_HEADER_BYTES != samples * channels * FORMAT_BYTES.get(form, 0):
            raise LinkError(
                f"data of stream {stream} has {len(payload)} bytes; {samples} samples of {channels} channels "
                f"in format {form} do not make that"
            )
        return cls(stream, _FORMATS.get(form, form), channels, first, payload[DATA_HEADER_BYTES:])


_FORMATS = {int(form): form for form in Format}


@dataclass(frozen=True)
class SyncRequest:
    """``token``: the host's monotonic clock in nanoseconds when it was sent."""

    TYPE: ClassVar[int] = PacketType.SYNC_REQUEST
    token: int

    def __post_init__(self) -> None:
        require("token", self.token, 0, 2**64 - 1)

    def __bytes__(self) -> bytes:
        return _SYNC.pack(self.token)

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """Parse; LinkError says what is wrong."""
        require_size("sync request", payload, _SYNC.size)
        return cls(*_SYNC.unpack(payload))


@dataclass(frozen=True)
class SyncReply:
    """``token`` of the request; ``received_us``: the node's clock when it came. The header says when the reply went."""

    TYPE: ClassVar[int] = PacketType.SYNC_REPLY
    token: int
    received_us: int

    def __post_init__(self) -> None:
        require("token", self.token, 0, 2**64 - 1)
        require("received_us", self.received_us, 0, _U32)

    def __bytes__(self) -> bytes:
        return _SYNC_REPLY.pack(self.token, self.received_us)

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """Parse; LinkError says what is wrong."""
        require_size("sync reply", payload, _SYNC_REPLY.size)
        return cls(*_SYNC_REPLY.unpack(payload))


@dataclass(frozen=True)
class Status:
    """Health of a node. ``battery_percent`` 255 and ``battery_mv`` 0: not known; ``flags`` are bits of StatusFlag."""

    TYPE: ClassVar[int] = PacketType.STATUS
    battery_percent: int = BATTERY_UNKNOWN
    flags: int = 0
    battery_mv: int = 0
    samples_dropped: int = 0
    frames_received: int = 0
    frames_rejected: int = 0
    firmware: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        if self.battery_percent != BATTERY_UNKNOWN:
            require("battery_percent", self.battery_percent, 0, 100)
        require("flags", self.flags, 0, 255)
        require("battery_mv", self.battery_mv, 0, 0xFFFF)
        for name in ("samples_dropped", "frames_received", "frames_rejected"):
            require(name, getattr(self, name), 0, _U32)
        for value, limit in zip(self.firmware, (255, 255, 0xFFFF), strict=True):
            require("part of the firmware version", value, 0, limit)

    def __bytes__(self) -> bytes:
        return _STATUS.pack(
            self.battery_percent,
            self.flags,
            self.battery_mv,
            self.samples_dropped,
            self.frames_received,
            self.frames_rejected,
            *self.firmware,
        )

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """Parse and check all; LinkError says what is wrong."""
        require_size("status", payload, _STATUS.size)
        *fields, major, minor, patch = _STATUS.unpack(payload)
        battery, flags, millivolt, dropped, received, rejected = fields
        return cls(battery, flags, millivolt, dropped, received, rejected, (major, minor, patch))


@dataclass(frozen=True)
class Command:
    """What a host wants of a node that streams."""

    TYPE: ClassVar[int] = PacketType.COMMAND
    command: CommandCode

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "command", CommandCode(self.command))
        except ValueError:
            raise LinkError(
                f"command is {self.command}; allowed: {', '.join(f'{c.value} {c.name.lower()}' for c in CommandCode)}"
            ) from None

    def __bytes__(self) -> bytes:
        return _COMMAND.pack(self.command)

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """Parse; LinkError says what is wrong."""
        require_size("command", payload, _COMMAND.size)
        return cls(*_COMMAND.unpack(payload))
