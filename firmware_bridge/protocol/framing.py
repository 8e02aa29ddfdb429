"""Frames of PROTOCOL.md sections 1 and 2: COBS, CRC-16, header, and messages split over frames."""

from __future__ import annotations

import struct
from binascii import crc_hqx
from collections.abc import Iterator
from typing import ClassVar, NamedTuple, Protocol

from cobs import cobs

from firmware_bridge.protocol.table import (
    CRC_BYTES,
    CRC_INITIAL,
    FRAGMENT_BIT,
    FRAGMENT_HEADER_BYTES,
    HEADER_BYTES,
    MAX_BODY_BYTES,
    MAX_FRAME_BYTES,
    MAX_MESSAGE_BYTES,
    MIN_FRAME_BYTES,
    VERSION,
)
from toolkit.errors import LinkError

_HEADER = struct.Struct("<BBBBII")
assert _HEADER.size == HEADER_BYTES
_U16 = struct.Struct("<H")
_U32_MASK = 0xFFFFFFFF


class Frame(NamedTuple):
    """One intact frame: ``part`` of ``parts`` (a whole message: 0 of 1). ``payload`` is without the fragment header."""

    type: int
    node: int
    boot: int
    sequence: int
    device_us: int
    payload: bytes
    part: int = 0
    parts: int = 1


class FrameError(ValueError):
    """A block between two delimiters is no intact frame. Only this package sees it."""


class OtherVersionError(FrameError):
    """An intact frame of another protocol version."""


class Packet(Protocol):
    """What a message carries: a class of packets.py."""

    TYPE: ClassVar[int]

    def __bytes__(self) -> bytes: ...


def encode_frame(frame: Frame) -> bytes:
    """Wire bytes of ``frame``, delimiter included. LinkError if it is larger than a frame can be."""
    fragment = frame.parts > 1
    head = _HEADER.pack(
        VERSION,
        frame.type | FRAGMENT_BIT if fragment else frame.type,
        frame.node,
        frame.boot,
        frame.sequence & _U32_MASK,
        frame.device_us & _U32_MASK,
    )
    if fragment:
        head += bytes((frame.part, frame.parts))
    body = head + frame.payload
    if len(body) + CRC_BYTES > MAX_BODY_BYTES:
        raise LinkError(
            f"a frame of {len(body) + CRC_BYTES} bytes is over {MAX_BODY_BYTES}; split the message (FrameWriter does)"
        )
    encoded: bytes = cobs.encode(body + _U16.pack(crc_hqx(body, CRC_INITIAL)))
    return encoded + b"\0"


def decode_frame(block: bytes) -> Frame:
    """The frame in ``block``, which is what lies between two delimiters. FrameError says why there is none."""
    try:
        body = cobs.decode(block)
    except cobs.DecodeError as error:
        raise FrameError(f"COBS: {error}") from None
    size = len(body) - CRC_BYTES
    if not HEADER_BYTES <= size <= MAX_BODY_BYTES - CRC_BYTES:
        raise FrameError(f"{len(body)} bytes after COBS")
    if crc_hqx(body[:size], CRC_INITIAL) != body[size] | body[size + 1] << 8:
        raise FrameError("CRC")
    version, kind, node, boot, sequence, device_us = _HEADER.unpack_from(body)
    if version != VERSION:
        raise OtherVersionError(f"version {version}")
    if not kind & FRAGMENT_BIT:
        return Frame(kind, node, boot, sequence, device_us, body[HEADER_BYTES:size])
    if size < HEADER_BYTES + FRAGMENT_HEADER_BYTES:
        raise FrameError("fragment without its header")
    index, count = body[HEADER_BYTES], body[HEADER_BYTES + 1]
    if count < 2 or index >= count:
        raise FrameError(f"part {index} of {count}")
    payload = body[HEADER_BYTES + FRAGMENT_HEADER_BYTES : size]
    return Frame(kind & ~FRAGMENT_BIT, node, boot, sequence, device_us, payload, index, count)


def largest_body(max_frame: int) -> int:
    """Header, payload and CRC that fit a wire frame of ``max_frame`` bytes whatever their values (COBS at its worst)."""
    body = min(max_frame, MAX_FRAME_BYTES) - 2
    while body + body // 254 + 2 > max_frame:
        body -= 1
    return min(body, MAX_BODY_BYTES)


class FrameWriter:
    """Numbers and frames what one sender says: a node (simulated, or made of an LSL stream), or a host.

    ``max_frame`` is what the link carries in one piece, in wire bytes, 64 to 512.
    """

    def __init__(self, node: int, boot: int, max_frame: int = MAX_FRAME_BYTES, sequence: int = 0) -> None:
        if not 0 <= node <= 255 or not 0 <= boot <= 255:
            raise LinkError(f"node {node}, boot {boot}: both must be 0 to 255")
        if not MIN_FRAME_BYTES <= max_frame <= MAX_FRAME_BYTES:
            raise LinkError(
                f"largest frame is {max_frame} bytes; it must be {MIN_FRAME_BYTES} to {MAX_FRAME_BYTES}"
            )
        self.node = node
        self.boot = boot
        #: Number of the next frame.
        self.sequence = sequence & _U32_MASK
        self._room = largest_body(max_frame) - HEADER_BYTES - CRC_BYTES

    @property
    def room(self) -> int:
        """Payload bytes that fit one frame."""
        return self._room

    def frames(self, packet: Packet, device_us: int) -> list[bytes]:
        """Wire frames of one packet, split if it must be. LinkError over 16,384 bytes or 255 parts."""
        return [encode_frame(frame) for frame in self._split(packet.TYPE, bytes(packet), device_us)]

    def _split(self, kind: int, payload: bytes, device_us: int) -> Iterator[Frame]:
        size = self._room if len(payload) <= self._room else self._room - FRAGMENT_HEADER_BYTES
        count = max(1, -(-len(payload) // size))
        if len(payload) > MAX_MESSAGE_BYTES or count > 255:
            raise LinkError(
                f"a message of {len(payload)} bytes in {count} frames is too large; allowed: "
                f"{MAX_MESSAGE_BYTES} bytes in 255 frames; use fewer channels or larger frames"
            )
        for index in range(count):
            part = payload[index * size : (index + 1) * size]
            yield Frame(kind, self.node, self.boot, self.sequence, device_us, part, index, count)
            self.sequence = (self.sequence + 1) & _U32_MASK
