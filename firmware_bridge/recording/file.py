"""The recording file (docs/RECORDING.md): blocks with marker and checksum, a writer that only appends, a scanner."""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, Self

from firmware_bridge.items import Chunk, Item, LinkChange, Lost, Marker, NodeDescriptor, Recorded, Snapshot
from firmware_bridge.recording.checksums import Buffer, Checksums
from toolkit.errors import OutputError, RecordingError
from toolkit.reading import parse_json_object

MARKER = b"\x89ETL\r\n\x1a\n"
VERSION = 1
MAX_PAYLOAD = 1 << 20
#: Chunks wait at most this long, or until there are this many bytes, before they are written.
FLUSH_NS = 50_000_000
FLUSH_BYTES = 1 << 16
SNAPSHOT_NS = 10_000_000_000
#: A node may describe itself anew with every packet, and a snapshot says what all nodes are: so many are written at once,
#: then one a second.
_SNAPSHOTS_AT_ONCE = 32
FORMAT = "edgetool recording"
_MAX_REASON = 1_000

_HEAD = struct.Struct("<8sBBxxIII")
_CHUNK = struct.Struct("<BBxxIQ")
HEAD_BYTES = _HEAD.size
assert (HEAD_BYTES, _CHUNK.size) == (24, 16)


class Kind(IntEnum):
    """What a block holds."""

    SNAPSHOT = 1
    CHUNKS = 2
    END = 3
    LOST = 4


class Event(IntEnum):
    """What a record of a chunks block says."""

    BYTES = 0
    UP = 1
    DOWN = 2
    MARKER = 3


@dataclass(frozen=True)
class Block:
    """A whole block: where it begins, its kind, number and payload."""

    offset: int
    kind: Kind
    number: int
    payload: bytes

    @property
    def stop(self) -> int:
        """Where the next block should begin."""
        return self.offset + HEAD_BYTES + len(self.payload)


@dataclass(frozen=True)
class Damage:
    """Bytes that are no block; ``at_end`` if nothing whole follows (a cut file)."""

    offset: int
    size: int
    at_end: bool


def pack_snapshot(snapshot: Snapshot) -> bytes:
    """The payload of a snapshot block."""
    value = {
        "format": FORMAT,
        "version": VERSION,
        "started_wall_ns": snapshot.started_wall_ns,
        "started_monotonic_ns": snapshot.started_monotonic_ns,
        "links": list(snapshot.links),
        "descriptors": [
            {"link": d.link, "node": d.node, "boot": d.boot, "payload": d.payload.hex()}
            for d in snapshot.descriptors
        ],
    }
    if snapshot.about:
        value["about"] = dict(snapshot.about)
    return json.dumps(value).encode()


def parse_snapshot(payload: bytes, where: str) -> Snapshot:
    """The snapshot of a block's payload; RecordingError names ``where`` if it is not what the page says."""
    value = _json(payload, f"{where}: a snapshot")
    try:
        if value["format"] != FORMAT:
            raise ValueError("another format")
        descriptors = tuple(
            NodeDescriptor(
                _whole(d["link"]), _whole(d["node"]), _whole(d["boot"]), bytes.fromhex(d["payload"])
            )
            for d in value["descriptors"]
        )
        return Snapshot(
            _whole(value["started_wall_ns"]),
            _whole(value["started_monotonic_ns"]),
            tuple(str(name) for name in value["links"]),
            descriptors,
            {str(key): str(text) for key, text in dict(value.get("about", {})).items()},
        )
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise RecordingError(
            f"{where}: a snapshot is not as docs/RECORDING.md says ({error}); it was written by another program"
        ) from None


def _whole(value: Any) -> int:
    """A number of the file's JSON; ValueError unless it is whole and below 2^64, as times in ns and sizes are."""
    if not isinstance(value, int) or not 0 <= value < 1 << 64:
        raise ValueError("a number is not whole or out of range")
    return value


def pack_block(kind: Kind, number: int, payload: bytes) -> bytes:
    """The bytes of one block."""
    head = _HEAD.pack(MARKER, VERSION, kind, number, len(payload), 0)[:20]
    return head + struct.pack("<I", zlib.crc32(payload, zlib.crc32(head))) + payload


def read_block(content: Buffer, offset: int) -> Block | None:
    """The block at ``offset``, or None if there is no whole one."""
    return _block(content, offset, Checksums(content))


def _block(content: Buffer, offset: int, checksums: Checksums) -> Block | None:
    head = content[offset : offset + HEAD_BYTES]
    if len(head) < HEAD_BYTES:
        return None
    marker, version, kind, number, size, checksum = _HEAD.unpack(head)
    start = offset + HEAD_BYTES
    if marker != MARKER or version != VERSION or kind not in _KINDS or size > MAX_PAYLOAD:
        return None
    if start + size > len(content) or checksums.of(start, start + size, zlib.crc32(head[:20])) != checksum:
        return None
    return Block(offset, Kind(kind), number, content[start : start + size])


_KINDS = frozenset(int(kind) for kind in Kind)


def scan(content: Buffer) -> Iterator[Block | Damage]:
    """Whole blocks in order, and the damage between them. Any bytes will do."""
    offset, last, checksums = 0, -1, Checksums(content)
    while offset < len(content):
        block = _block(content, offset, checksums)
        if block is None or not _follows(block, last):
            found, block = _next_block(content, offset + 1, last, checksums)
            yield Damage(offset, found - offset, block is None)
        if block is not None:
            yield block
            offset, last = block.stop, block.number
        else:
            return


def _follows(block: Block, last: int) -> bool:
    """A lost block has the number of the block before it, any other a higher one."""
    return block.number > last or (block.kind is Kind.LOST and block.number == last)


def _next_block(content: Buffer, offset: int, last: int, checksums: Checksums) -> tuple[int, Block | None]:
    """Where the next whole block with a number above ``last`` begins, and that block; the end if there is none."""
    while (offset := content.find(MARKER, offset)) >= 0:
        block = _block(content, offset, checksums)
        if block is not None and _follows(block, last):
            return offset, block
        offset += 1
    return len(content), None


@contextmanager
def opened(path: Path) -> Iterator[Buffer]:
    """The bytes of a file without loading them; RecordingError if it cannot be read."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                yield b""
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                yield content
    except OSError as error:
        raise RecordingError(f"cannot read recording {path}: {error.strerror or error}") from None


def unpack_chunks(payload: bytes, where: str) -> Iterator[Item | Marker]:
    """The records of a chunks block; RecordingError if they do not fit it."""
    at = 0
    while at < len(payload):
        stop = at + _CHUNK.size
        link, event, size, arrival_ns = (
            _CHUNK.unpack_from(payload, at) if stop <= len(payload) else (0, 255, 0, 0)
        )
        if event > Event.MARKER or stop + size > len(payload):
            raise RecordingError(
                f"{where}: a chunks block is not as docs/RECORDING.md says; it was written by another program"
            )
        data = payload[stop : stop + size]
        at = stop + size
        if event == Event.BYTES:
            yield Chunk(link, arrival_ns, data)
        elif event == Event.MARKER:
            yield Marker(arrival_ns, data.decode("utf-8", "replace"))
        else:
            yield LinkChange(link, arrival_ns, event == Event.UP, data.decode("utf-8", "replace"))


def pack_item(item: Item | Marker) -> bytes:
    """One record of a chunks block."""
    if isinstance(item, Marker):
        text = item.text.encode("utf-8", "replace")[:_MAX_REASON]
        return _CHUNK.pack(0, Event.MARKER, len(text), item.arrival_ns) + text
    if isinstance(item, Chunk):
        event, data = Event.BYTES, item.data
    else:
        event, data = Event.UP if item.up else Event.DOWN, item.reason.encode()[:_MAX_REASON]
    return _CHUNK.pack(item.link, event, len(data), item.arrival_ns) + data


@dataclass
class RecordingReader:
    """A recording read from front to back.

    ``snapshot`` is the first one found; ``closed`` and ``end`` are known after all items were read.
    """

    path: Path
    snapshot: Snapshot
    closed: bool = False
    end: Mapping[str, Any] = field(default_factory=dict)
    #: Bytes behind the last whole block of a file that ends early.
    cut_bytes: int = 0

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the first snapshot. RecordingError if there is none."""
        with opened(path) as content:
            if content[: len(MARKER)] != MARKER:
                raise RecordingError(
                    f"{path} does not begin as an edgetool recording; if it is a damaged one, run: edgetool recover"
                )
            for part in scan(content):
                if isinstance(part, Block) and part.kind is Kind.SNAPSHOT:
                    return cls(path, parse_snapshot(part.payload, str(path)))
        raise RecordingError(f"{path} holds no whole snapshot; nothing in it can be read")

    def items(self) -> Iterator[Recorded]:
        """All items in order, with the snapshots and known losses between them.

        Raises RecordingError at damage in the middle; a file that ends early is only noted (``closed``, ``cut_bytes``).
        """
        with opened(self.path) as content:
            for part in scan(content):
                if isinstance(part, Damage):
                    self._damage(part)
                elif part.kind is Kind.CHUNKS:
                    yield from unpack_chunks(part.payload, f"{self.path}, block {part.number}")
                elif part.kind is Kind.SNAPSHOT:
                    yield parse_snapshot(part.payload, f"{self.path}, block {part.number}")
                elif part.kind is Kind.LOST:
                    yield _lost(part, self.path)
                else:
                    self.closed, self.end = True, _json(part.payload, f"{self.path}, block {part.number},")

    def _damage(self, damage: Damage) -> None:
        if not damage.at_end:
            raise RecordingError(
                f"{self.path} is damaged: {damage.size} bytes at offset {damage.offset} are not a block; "
                f"run: edgetool recover {self.path} --out FILE"
            )
        self.cut_bytes = damage.size


def _json(payload: bytes, where: str) -> dict[str, Any]:
    try:
        return parse_json_object(payload, where, "JSON as docs/RECORDING.md says", RecordingError)
    except RecordingError as error:
        raise RecordingError(f"{error}; it was written by another program") from None


def _lost(block: Block, path: Path) -> Lost:
    try:
        return Lost(_whole(_json(block.payload, f"{path}, block {block.number},").get("bytes", 0)))
    except ValueError:
        raise RecordingError(
            f"{path}, block {block.number}: its size is not a number; it was written by another program"
        ) from None


class RecordingWriter:
    """Appends to a new recording. Give it items as they come and call :meth:`tick` at least every 50 ms.

    Each block is one ``write`` to the file, so that what was flushed survives the death of the process. Time is
    injected: ``monotonic_ns`` is on the clock of the items' arrival times, ``now_ns`` on any that goes on. ``about`` says
    what is recorded (person, trial). OutputError if the file exists or the disk is full.
    """

    def __init__(
        self,
        path: Path,
        links: Sequence[str],
        wall_ns: int,
        monotonic_ns: int,
        about: Mapping[str, str] | None = None,
    ) -> None:
        if len(links) > 256:
            raise OutputError(
                f"a recording holds at most 256 links and has {len(links)}; record fewer at once"
            )
        self.path = path
        self._snapshot = Snapshot(wall_ns, monotonic_ns, tuple(links), about=dict(about or {}))
        self._descriptors: dict[tuple[int, int], NodeDescriptor] = {}
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._oldest_ns = 0
        self._number = 0
        self._newest_ns = monotonic_ns
        self.chunks = 0
        self.bytes = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except FileExistsError:
            raise OutputError(
                f"cannot write {path}: it exists, and a recording is never overwritten; choose another --out"
            ) from None
        except OSError as error:
            raise OutputError(
                f"cannot write {path}: {error.strerror or error}; choose a place that can be written"
            ) from None
        self._snapshot_ns: int | None = None
        self._undescribed = False
        self._snapshots_left = float(_SNAPSHOTS_AT_ONCE)
        self._now_ns = self._earned_ns = monotonic_ns
        self._write_snapshot()

    @property
    def newest_ns(self) -> int:
        """Arrival of the newest item; the start before the first."""
        return self._newest_ns

    @property
    def seconds(self) -> float:
        """From the start to the newest item's arrival."""
        return (self._newest_ns - self._snapshot.started_monotonic_ns) * 1e-9

    def append(self, item: Item | Marker, now_ns: int) -> None:
        """Add one item, or a marker among them; written with the next block."""
        if isinstance(item, Chunk) and len(item.data) > FLUSH_BYTES:
            for at in range(0, len(item.data), FLUSH_BYTES):
                self.append(Chunk(item.link, item.arrival_ns, item.data[at : at + FLUSH_BYTES]), now_ns)
            return
        record = pack_item(item)
        if not self._waiting:
            self._oldest_ns = now_ns
        self._waiting.append(record)
        self._waiting_bytes += len(record)
        self._newest_ns = max(self._newest_ns, item.arrival_ns)
        self.chunks += not isinstance(item, Marker)
        if isinstance(item, Chunk):
            self.bytes += len(item.data)
        self.tick(now_ns)

    def describe(self, descriptor: NodeDescriptor) -> None:
        """A descriptor has come; a new or changed one is written as a snapshot, soon."""
        key = (descriptor.link, descriptor.node)
        if self._descriptors.get(key) != descriptor:
            self._descriptors[key] = descriptor
            self._undescribed = True
            self._describe_all()

    def tick(self, now_ns: int) -> None:
        """Write what has waited long enough."""
        if self._waiting and (self._waiting_bytes >= FLUSH_BYTES or now_ns - self._oldest_ns >= FLUSH_NS):
            self._flush()
        self._now_ns = now_ns
        self._describe_all()
        if self._snapshot_ns is None:
            self._snapshot_ns = now_ns
        elif now_ns - self._snapshot_ns >= SNAPSHOT_NS:
            self._snapshot_ns = now_ns
            self._flush()
            self._write_snapshot()

    def sync(self) -> None:
        """Ask the system to put everything written on the disk; may be called from another thread.

        OutputError if the disk says that it cannot.
        """
        file = self._file
        if file < 0:
            return
        try:
            os.fsync(file)
        except OSError as error:
            if self._file == file:  # not closed meanwhile
                raise self._unwritten(error) from None

    def close(self, ledger: Mapping[str, Any]) -> None:
        """Write what waits and the end block. OutputError if that cannot be; the file is closed all the same."""
        if self._file < 0:
            return
        try:
            self._flush()
            if self._undescribed:
                self._write_snapshot()
            end = {
                "blocks": self._number + 1,
                "chunks": self.chunks,
                "bytes": self.bytes,
                "ledger": dict(ledger),
            }
            self._write(Kind.END, json.dumps(end).encode())
            self.sync()
        finally:
            file, self._file = self._file, -1
            try:
                os.close(file)
            except OSError as error:
                raise self._unwritten(error) from None

    def _describe_all(self) -> None:
        """Write what nodes say of themselves, unless it has changed too often of late: then later."""
        if not self._undescribed:
            return
        earned = (self._now_ns - self._earned_ns) * 1e-9
        self._snapshots_left = min(self._snapshots_left + earned, _SNAPSHOTS_AT_ONCE)
        self._earned_ns = self._now_ns
        if self._snapshots_left >= 1:
            self._snapshots_left -= 1
            self._undescribed = False
            self._flush()
            self._write_snapshot()

    def _flush(self) -> None:
        if self._waiting:
            payload = b"".join(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
            self._write(Kind.CHUNKS, payload)

    def _write_snapshot(self) -> None:
        room = MAX_PAYLOAD // 4  # in hex, with the rest, that is under the limit whatever nodes send
        kept = []
        for key in sorted(self._descriptors):
            room -= len(self._descriptors[key].payload) + 100
            if room >= 0:
                kept.append(self._descriptors[key])
        self._write(Kind.SNAPSHOT, pack_snapshot(replace(self._snapshot, descriptors=tuple(kept))))

    def _write(self, kind: Kind, payload: bytes) -> None:
        block = pack_block(kind, self._number, payload)
        try:
            done = os.write(self._file, block)
            while done < len(block):
                done += os.write(self._file, block[done:])
        except OSError as error:
            raise self._unwritten(error) from None
        self._number += 1

    def _unwritten(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot write on {self.path}: {error.strerror or error}; what was recorded before is kept"
        )
