"""Mutants of valid files: bytes, numbers, nesting and names of text, and the insides of ZIP, safetensors and recordings."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable

from firmware_bridge.recording.file import Damage, Kind, pack_block, scan
from tests.hostile import PIECES

#: Share of mutants with a piece of more than 100 kB in them.
RARELY = 0.01

Mutation = Callable[[bytes, random.Random], bytes]

#: Numbers that a reader may trip over.
NUMBERS = (
    b"-1", b"0", b"0.0", b"-0.0", b"1e400", b"-1e400", b"1e-400", b"NaN", b"Infinity", b"-inf", b"nan", b"1e308", b"1e38",
    b"5e-324", b"2147483648", b"4294967296", b"9223372036854775808", b"1000000000000", b"1" + b"0" * 400, b"9" * 5000,
    "²".encode(), "٣".encode(), b"1_0", b"0x10", b"1,5", b"true", b"null", b'"1"', b"[]", b"{}", b"''", b"1.5.5", b"+1", b"",
)  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")


def flip(content: bytes, rng: random.Random) -> bytes:
    """One to eight bits or bytes changed."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        if data:
            at = rng.randrange(len(data))
            data[at] = rng.choice((data[at] ^ (1 << rng.randrange(8)), rng.randrange(256), 0, 255, 127, 128))
    return bytes(data)


def cut(content: bytes, rng: random.Random) -> bytes:
    """Its end gone, a piece gone, a piece twice, or two pieces in each other's place."""
    size = len(content)
    first, second = sorted((rng.randint(0, size), rng.randint(0, size)))
    near = min(size, first + rng.randint(1, 64))
    return rng.choice(
        (
            content[:first],
            content[first:],
            content[:first] + content[near:],
            content[:near] + content[first:],
            content[second:] + content[first:second] + content[:first],
        )
    )


def number(content: bytes, rng: random.Random) -> bytes:
    """One number of a text replaced by an extreme one."""
    return _replaced(content, _NUMBER, rng.choice(NUMBERS), rng)


def word(content: bytes, rng: random.Random) -> bytes:
    """One word of a text replaced by a hostile one, by another of its words, or by nothing."""
    others = _WORD.findall(content[:100_000]) or [b""]
    piece = rng.choice(PIECES).encode("utf-8", rng.choice(("surrogatepass", "replace")))
    return _replaced(
        content, _WORD, rng.choice((piece, rng.choice(others), _rarely(b"x" * 200_000, rng))), rng
    )


def nest(content: bytes, rng: random.Random) -> bytes:
    """Deep nesting in the midst of a text, closed or not."""
    depth, at = rng.choice((3, 70, 1_000)), rng.randint(0, len(content))
    depth = 100_000 if rng.random() < RARELY else depth
    opened, closed = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"{a=", b"}"), (b'"', b'"')))
    return content[:at] + opened * depth + b"1" + closed * rng.choice((0, depth)) + content[at:]


def _rarely(long: bytes, rng: random.Random) -> bytes:
    """Long pieces are rare: most of the bytes of a run should be different mutants."""
    return long if rng.random() < RARELY else b""


def _replaced(content: bytes, what: re.Pattern[bytes], by: bytes, rng: random.Random) -> bytes:
    found = list(what.finditer(content))
    if not found:
        return flip(content, rng)
    chosen = rng.choice(found)
    return content[: chosen.start()] + by + content[chosen.end() :]


BYTES: tuple[Mutation, ...] = (flip, flip, cut)
TEXT: tuple[Mutation, ...] = (flip, cut, number, number, word, nest)


def one_of(*mutations: Mutation) -> Mutation:
    """One or two of ``mutations``, drawn."""

    def mutate(content: bytes, rng: random.Random) -> bytes:
        for _ in range(rng.randint(1, 2)):
            content = rng.choice(mutations)(content, rng)
        return content

    return mutate


text = one_of(*TEXT)
raw = one_of(*BYTES)


def npz(content: bytes, rng: random.Random) -> bytes:
    """An entry of the archive changed and its checksum made good, so that what lies in it is reached; or its bytes."""
    if rng.random() < 0.3:
        return raw(content, rng)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    name = rng.choice(list(entries))
    inner = entries[name]
    start = inner.index(b"\n") + 1  # the end of an .npy header
    head, body = inner[:start], inner[start:]
    action = rng.randrange(4)
    if action == 0:
        text_head = _replaced(head[10:], _NUMBER, rng.choice(NUMBERS), rng)
        head = head[:8] + struct.pack("<H", len(text_head) & 0xFFFF) + text_head
    elif action == 1:
        head = raw(head, rng)
    elif name == "recording.npy":
        value = json.dumps(body.decode("utf-32-le"))[1:-1].encode().decode("unicode_escape")
        changed = text(value.encode("utf-8", "replace"), rng).decode("utf-8", "replace")
        body = changed.encode("utf-32-le", "replace")
        head = re.sub(rb"<U\d+", b"<U%d" % (len(body) // 4), head)
    else:
        body = raw(body, rng)
    entries[name] = head + body
    buffer = io.BytesIO()
    method = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED))
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for each, inner in entries.items():
            archive.writestr(each, inner)
    return buffer.getvalue()


def pt2(content: bytes, rng: random.Random) -> bytes:
    """As :func:`npz`, of torch.export's archive: mostly its JSON changed, with a good checksum."""
    if rng.random() < 0.15:
        return raw(content, rng)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    documents = [name for name in entries if name.endswith(".json")]
    name = rng.choice(documents) if rng.random() < 0.8 else rng.choice(list(entries))
    entries[name] = text(entries[name], rng) if name in documents else raw(entries[name], rng)
    if rng.random() < 0.05:
        del entries[rng.choice(list(entries))]
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if rng.random() < 0.05 else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for each, inner in entries.items():
            archive.writestr(each, inner)
    return buffer.getvalue()


def safetensors(content: bytes, rng: random.Random) -> bytes:
    """The header changed and its length made good; or the bytes."""
    if rng.random() < 0.3:
        return raw(content, rng)
    length = struct.unpack("<Q", content[:8])[0]
    header, body = content[8 : 8 + length], content[8 + length :]
    if rng.random() < 0.7:  # the document inside, which is JSON in a JSON text
        outer = json.loads(header)
        inner = outer["__metadata__"]["edgetool"]
        outer["__metadata__"]["edgetool"] = text(inner.encode(), rng).decode("utf-8", "replace")
        header = json.dumps(outer).encode()
    else:
        header = text(header, rng)
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + body


def recording(content: bytes, rng: random.Random) -> bytes:
    """Payloads of blocks changed and their checksums made good; or the bytes."""
    if rng.random() < 0.3:
        return raw(content, rng)
    blocks = [block for block in scan(content) if not isinstance(block, Damage)]
    chosen = rng.randrange(len(blocks))
    out = bytearray()
    for index, block in enumerate(blocks):
        payload, kind = block.payload, block.kind
        if index == chosen:
            payload = (raw if kind is Kind.CHUNKS else text)(payload, rng)
            kind = rng.choice((kind, kind, kind, *Kind))
        out += pack_block(kind, block.number, payload[: 1 << 20])
    return bytes(out)
