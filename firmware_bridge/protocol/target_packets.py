"""Packets of on-target inference (PROTOCOL.md section 9), host and target side."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firmware_bridge.protocol.packets import (
    Reader,
    require,
    require_size,
    text_bytes,
)
from firmware_bridge.protocol.table import (
    HASH_BYTES,
    IDENTIFY_FIXED_BYTES,
    MAX_FRAME_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_OUTPUTS,
    MAX_STREAMS,
    MAX_TENSOR_BYTES,
    MIN_FRAME_BYTES,
    MODEL_PREFIX_BYTES,
    NO_FAILURE,
    REPLY_HEADER_BYTES,
    REQUEST_HEADER_BYTES,
    UNASKED_SEQUENCE,
    VALUE_BYTES,
    CounterKind,
    Operation,
    PacketType,
    SelfTest,
    TargetError,
    ValueFormat,
)
from toolkit.errors import LinkError

_REQUEST = struct.Struct("<BBxx4s")
_REPLY = struct.Struct("<BBBBII")
_IDENTIFY = struct.Struct("<IBBBBfHHIBBBx32s32s")
_SELF_TEST = struct.Struct("<HHI")
_STACK = struct.Struct("<II")
_TENSOR = struct.Struct("<HxxII")
assert (_REQUEST.size, _REPLY.size) == (REQUEST_HEADER_BYTES, REPLY_HEADER_BYTES)
assert _IDENTIFY.size == IDENTIFY_FIXED_BYTES
_U32 = 0xFFFFFFFF

_DTYPES: dict[ValueFormat, np.dtype[Any]] = {
    ValueFormat.INT8: np.dtype("<i1"),
    ValueFormat.INT16: np.dtype("<i2"),
    ValueFormat.FLOAT32: np.dtype("<f4"),
}
Member = TypeVar("Member", bound=IntEnum)


def _member(kind: type[Member], code: int) -> Member:
    try:
        return kind(code)
    except ValueError:
        allowed = ", ".join(f"{m.value} {m.name.lower()}" for m in kind)
        raise LinkError(f"{kind.__name__} is {code}; allowed: {allowed}") from None


def pack_values(form: ValueFormat, arrays: Sequence[ArrayLike]) -> bytes:
    """The body of step or window: each input stream's rows in the contract's order, row by row.

    Integer formats take integer arrays that fit (LinkError otherwise); float32 takes finite numbers.
    """
    return b"".join(_pack(form, np.asarray(array)) for array in arrays)


def _pack(form: ValueFormat, array: NDArray[np.generic]) -> bytes:
    target = _DTYPES[form]
    packed: NDArray[Any] = array.astype(target)
    if form == ValueFormat.FLOAT32:
        if not np.isfinite(packed).all():
            raise LinkError("values for the target are not finite; cut or repair the recording there")
    elif not np.issubdtype(array.dtype, np.integer) or (packed != array).any():
        raise LinkError(
            f"values for the target must be integers that fit {target.name}; they are {array.dtype}"
        )
    return packed.tobytes()


def unpack_values(form: ValueFormat, body: bytes) -> NDArray[np.generic]:
    """The values of a body, shape (n,). LinkError if the body is no whole number of them."""
    if form == ValueFormat.NONE or len(body) % VALUE_BYTES[form]:
        raise LinkError(f"{len(body)} bytes are not values of format {form.name.lower()}")
    values: NDArray[np.generic] = np.frombuffer(body, _DTYPES[form])
    return values


@dataclass(frozen=True)
class Request:
    """One request to a target. ``model`` is the first 4 bytes of the model hash, all 0 for any model."""

    TYPE: ClassVar[int] = PacketType.REQUEST
    operation: Operation
    format: ValueFormat = ValueFormat.NONE
    body: bytes = b""
    model: bytes = bytes(MODEL_PREFIX_BYTES)

    def __post_init__(self) -> None:
        object.__setattr__(self, "operation", _member(Operation, self.operation))
        object.__setattr__(self, "format", _member(ValueFormat, self.format))
        require_size("model prefix", self.model, MODEL_PREFIX_BYTES)
        require("size of the request", len(self.body) + REQUEST_HEADER_BYTES, 1, MAX_MESSAGE_BYTES)

    def __bytes__(self) -> bytes:
        return _REQUEST.pack(self.operation, self.format, self.model) + self.body

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """Parse; LinkError says what is wrong."""
        reader = Reader(payload, "request")
        operation, form, model = _REQUEST.unpack(reader.bytes(_REQUEST.size))
        return cls(operation, form, payload[_REQUEST.size :], model)

    @classmethod
    def tensor(cls, index: int, offset: int, length: int, model: bytes = bytes(4)) -> Self:
        """A request for ``length`` bytes (at most 480) from ``offset`` of tensor ``index``."""
        require("tensor index", index, 0, 0xFFFF)
        require("offset", offset, 0, _U32)
        require("length", length, 1, MAX_TENSOR_BYTES)
        return cls(Operation.TENSOR, ValueFormat.NONE, _TENSOR.pack(index, offset, length), model)


@dataclass(frozen=True)
class Reply:
    """One reply of a target; it names its request. ``count``: counter ticks of the operation, 0 without counter."""

    TYPE: ClassVar[int] = PacketType.REPLY
    operation: Operation
    error: TargetError
    format: ValueFormat
    request_boot: int
    request_sequence: int
    count: int = 0
    body: bytes = b""

    def __post_init__(self) -> None:
        object.__setattr__(self, "operation", _member(Operation, self.operation))
        object.__setattr__(self, "error", _member(TargetError, self.error))
        object.__setattr__(self, "format", _member(ValueFormat, self.format))
        require("request_boot", self.request_boot, 0, 255)
        require("request_sequence", self.request_sequence, 0, _U32)
        require("count", self.count, 0, _U32)
        require("size of the reply", len(self.body) + REPLY_HEADER_BYTES, 1, MAX_MESSAGE_BYTES)
        if self.error != TargetError.NONE and self.body:
            raise LinkError(
                f"reply with error {self.error.name.lower()} has a body of {len(self.body)} bytes"
            )

    def __bytes__(self) -> bytes:
        head = _REPLY.pack(
            self.operation, self.error, self.format, self.request_boot, self.request_sequence, self.count
        )
        return head + self.body

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """Parse; LinkError says what is wrong. An operation the host does not know is an error of the target."""
        reader = Reader(payload, "reply")
        operation, error, form, boot, sequence, count = _REPLY.unpack(reader.bytes(_REPLY.size))
        return cls(operation, error, form, boot, sequence, count, payload[_REPLY.size :])

    @property
    def unasked(self) -> bool:
        """Whether this is the identify reply that a target sends when it has booted."""
        return self.request_boot == 0 and self.request_sequence == UNASKED_SEQUENCE

    def answers(self, boot: int, sequence: int) -> bool:
        """Whether the request of that host boot session and number is meant."""
        return (self.request_boot, self.request_sequence) == (boot, sequence)

    def values(self) -> NDArray[np.generic]:
        """The body's values, shape (n,)."""
        return unpack_values(self.format, self.body)


@dataclass(frozen=True)
class Identity:
    """What a target is: the body of an identify reply. Hashes are 32 bytes; ``graphs``, ``formats`` are bits."""

    clock_hz: int
    counter: CounterKind
    counter_step: float
    graphs: int
    self_test: SelfTest
    formats: int
    window: int
    max_frame: int
    max_message: int
    channels: tuple[int, ...]
    outputs: int
    output_format: ValueFormat
    contract_hash: bytes
    model_hash: bytes
    board: str
    core: str
    build: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "counter", _member(CounterKind, self.counter))
        object.__setattr__(self, "self_test", _member(SelfTest, self.self_test))
        object.__setattr__(self, "output_format", _member(ValueFormat, self.output_format))
        require("clock_hz", self.clock_hz, 0, _U32)
        require("graphs", self.graphs, 0, 3)
        require("formats", self.formats, 0, 7)
        require("window", self.window, 0, 0xFFFF)
        require("max_frame", self.max_frame, MIN_FRAME_BYTES, MAX_FRAME_BYTES)
        require("max_message", self.max_message, 1, _U32)
        require("number of input streams", len(self.channels), 1, MAX_STREAMS)
        require("outputs", self.outputs, 1, MAX_OUTPUTS)
        require_size("contract hash", self.contract_hash, HASH_BYTES)
        require_size("model hash", self.model_hash, HASH_BYTES)
        if not (math.isfinite(self.counter_step) and self.counter_step >= 0):
            raise LinkError(f"counter step is {self.counter_step}; it must be 0 or more")
        for count in self.channels:
            require("channels of an input stream", count, 1, 255)

    def __bytes__(self) -> bytes:
        head = _IDENTIFY.pack(
            self.clock_hz,
            self.counter,
            self.graphs,
            self.self_test,
            self.formats,
            self.counter_step,
            self.window,
            self.max_frame,
            self.max_message,
            len(self.channels),
            self.outputs,
            self.output_format,
            self.contract_hash,
            self.model_hash,
        )
        texts = (text_bytes(getattr(self, name), name, 0) for name in ("board", "core", "build"))
        return head + bytes(self.channels) + b"".join(texts)

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Parse and check all; LinkError says what is wrong."""
        reader = Reader(body, "identify reply")
        fields = _IDENTIFY.unpack(reader.bytes(_IDENTIFY.size))
        clock, counter, graphs, self_test, formats, step, window, max_frame, max_message = fields[:9]
        streams, outputs, output_format, contract_hash, model_hash = fields[9:]
        require("number of input streams", streams, 1, MAX_STREAMS)
        channels = tuple(reader.bytes(streams))
        board, core, build = reader.text(), reader.text(), reader.text()
        reader.end()
        return cls(
            clock_hz=clock,
            counter=counter,
            counter_step=step,
            graphs=graphs,
            self_test=self_test,
            formats=formats,
            window=window,
            max_frame=max_frame,
            max_message=max_message,
            channels=channels,
            outputs=outputs,
            output_format=output_format,
            contract_hash=contract_hash,
            model_hash=model_hash,
            board=board,
            core=core,
            build=build,
        )


@dataclass(frozen=True)
class SelfTestResult:
    """Body of a self-test reply: golden vectors run and failed; ``first_failed`` is None if none did."""

    run: int
    failed: int
    first_failed: int | None

    def __bytes__(self) -> bytes:
        return _SELF_TEST.pack(
            self.run, self.failed, NO_FAILURE if self.first_failed is None else self.first_failed
        )

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Parse; LinkError says what is wrong."""
        require_size("self-test reply", body, _SELF_TEST.size)
        run, failed, first = _SELF_TEST.unpack(body)
        if failed > run or (failed == 0) != (first == NO_FAILURE):
            raise LinkError(f"self-test reply says {failed} of {run} vectors failed, the first is {first}")
        return cls(run, failed, None if first == NO_FAILURE else first)


@dataclass(frozen=True)
class StackUse:
    """Body of a stack reply: bytes of the stack, and the most that were in use since boot."""

    size: int
    high_water: int

    def __bytes__(self) -> bytes:
        return _STACK.pack(self.size, self.high_water)

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Parse; LinkError says what is wrong."""
        require_size("stack reply", body, _STACK.size)
        return cls(*_STACK.unpack(body))
