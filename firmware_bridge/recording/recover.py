"""What is whole in a damaged recording, as a recording that can be read again (docs/RECORDING.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from firmware_bridge.items import Marker, Snapshot
from firmware_bridge.recording.checksums import Buffer
from firmware_bridge.recording.file import (
    Block,
    Damage,
    Kind,
    opened,
    pack_block,
    pack_snapshot,
    parse_snapshot,
    scan,
    unpack_chunks,
)
from toolkit.errors import OutputError, RecordingError


@dataclass
class RecoverReport:
    """What was found: whole blocks, damaged places, and the bytes skipped there."""

    blocks: int = 0
    chunks: int = 0
    damages: int = 0
    lost_bytes: int = 0
    #: Whether the recording had been closed and its end is there.
    closed: bool = False
    #: Whether the first snapshot was lost and another stands in.
    snapshot_replaced: bool = False


def recover(recording: Path, out: Path) -> RecoverReport:
    """Copy every whole block of ``recording`` to the new file ``out``, with a mark at each damage.

    Any file will do, truncated or changed at any byte. Raises RecordingError if nothing in it is whole, OutputError
    if ``out`` exists or cannot be written.
    """
    report = RecoverReport()
    with opened(recording) as content:
        pieces = mended(content, report, str(recording))
        first = next(pieces, None)
        if first is None:
            raise RecordingError(
                f"{recording} holds no whole block of a recording; there is nothing to recover"
            )
        _write(out, first, pieces)
    return report


def _write(out: Path, first: bytes, pieces: Iterator[bytes]) -> None:
    """Everything to the new file ``out``, or nothing: half a recovered recording would pass for all that is left."""
    try:
        file = out.open("xb")
    except FileExistsError:
        raise OutputError(f"cannot write {out}: it exists; choose another --out") from None
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}; choose another --out") from None
    try:
        with file:
            file.write(first)
            for piece in pieces:
                file.write(piece)
    except OSError as error:
        out.unlink(missing_ok=True)
        raise OutputError(f"cannot write {out}: {error.strerror or error}; choose another --out") from None
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def mended(content: Buffer, report: RecoverReport, where: str) -> Iterator[bytes]:
    """The blocks of the mended recording; fills in ``report`` on the way."""
    last = -1
    waiting: list[Damage] = []
    for part in scan(content):
        if isinstance(part, Damage):
            report.damages += 1
            report.lost_bytes += part.size
            waiting.append(part)
            continue
        if last >= 0 or part.kind is not Kind.SNAPSHOT:
            if last < 0:
                # Block 0 was the snapshot, so its number is free.
                report.snapshot_replaced, last = True, 0
                yield pack_block(Kind.SNAPSHOT, 0, pack_snapshot(_substitute(content, where)))
            yield from _marks(waiting, last)
        yield _count(part, report, where)
        last = part.number
    yield from _marks(waiting, last)


def _marks(damages: list[Damage], number: int) -> Iterator[bytes]:
    """A lost block for each damage since the last whole block; empties ``damages``."""
    for damage in damages if number >= 0 else ():
        lost = json.dumps({"offset": damage.offset, "bytes": damage.size}).encode()
        yield pack_block(Kind.LOST, number, lost)
    damages.clear()


def _count(block: Block, report: RecoverReport, where: str) -> bytes:
    report.blocks += 1
    report.closed |= block.kind is Kind.END
    if block.kind is Kind.CHUNKS:
        report.chunks += sum(not isinstance(each, Marker) for each in unpack_chunks(block.payload, where))
    return pack_block(block.kind, block.number, block.payload)


def _substitute(content: Buffer, where: str) -> Snapshot:
    """The first whole snapshot, or one that knows only how many links there were."""
    links, first_ns = 0, 0
    for part in scan(content):
        if isinstance(part, Damage):
            continue
        if part.kind is Kind.SNAPSHOT:
            return parse_snapshot(part.payload, where)
        if part.kind is Kind.CHUNKS:
            for item in unpack_chunks(part.payload, where):
                links = max(links, 0 if isinstance(item, Marker) else item.link + 1)
                first_ns = first_ns or item.arrival_ns
    return Snapshot(0, first_ns, tuple(f"link {index}" for index in range(links)))
