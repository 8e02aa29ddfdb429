"""The Python and the C decoder on the same bad bytes: stored ones, and seeded mutations of the stored packets.

The long run is ``make fuzz``; this one is short, and always the same.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from firmware_bridge.protocol.codec_c import FOLDER as CODEC
from firmware_bridge.protocol.decoder import HOST_PACKETS, NODE_PACKETS, BlockSplitter
from firmware_bridge.protocol.framing import (
    Frame,
    FrameError,
    OtherVersionError,
    decode_frame,
    encode_frame,
)
from firmware_bridge.protocol.table import PacketType
from tests.tools import missing, require
from toolkit.errors import LinkError

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden" / "packets"
CORPUS = HERE / "corpus"
FLAGS = "-std=c99 -O1 -g -Wall -Wextra -Wpedantic -Wconversion -Werror -fsanitize=address,undefined -fno-sanitize-recover=all"
READERS = NODE_PACKETS | HOST_PACKETS
#: C leaves the content of texts, and operations it does not know, to the application.
LOOSER_IN_C = (PacketType.DESCRIPTOR, PacketType.REQUEST)


def python_counts(data: bytes) -> tuple[int, ...]:
    """Good frames, damaged blocks, other versions, valid payloads, and the sum of sequence numbers."""
    good = damaged = versions = valid = total = 0
    for block in BlockSplitter().split(data):
        try:
            frame = decode_frame(block)
        except OtherVersionError:
            versions += 1
        except FrameError:
            damaged += 1
        else:
            good += 1
            total += frame.sequence
            valid += frame.parts == 1 and frame.type not in LOOSER_IN_C and readable(frame)
    return good, damaged, versions, valid, total % 2**32


def readable(frame: Frame) -> bool:
    reader = READERS.get(frame.type)
    try:
        return reader is not None and bool(reader(frame.payload))
    except LinkError:
        return False


def mutations(count: int, seed: int = 2026) -> list[bytes]:
    """Wire bytes with changed, lost and inserted bytes; half of them changed before the CRC is made."""
    generator = random.Random(seed)
    stored = [path.read_bytes() for path in sorted(GOLDEN.glob("*.bin"))]
    frames = [decode_frame(block) for wire in stored for block in wire.split(b"\0") if block]
    result = []
    for _ in range(count):
        wire = bytearray()
        for _ in range(generator.randrange(1, 30)):
            frame = generator.choice(frames)
            payload = bytearray(frame.payload)
            for _ in range(generator.choice((0, 0, 1, 2, 9))):
                if payload:
                    payload[generator.randrange(len(payload))] = generator.randrange(256)
            if generator.random() < 0.1:
                payload = payload[: generator.randrange(len(payload) + 1)]
            wire += encode_frame(frame._replace(payload=bytes(payload), sequence=generator.randrange(2**32)))
        for _ in range(generator.choice((0, 1, 5, 40))):
            at = generator.randrange(len(wire))
            what = generator.randrange(3)
            wire[at : at + (what != 1)] = b"" if what == 0 else bytes((generator.randrange(256),))
        result.append(bytes(wire))
    return result


@pytest.fixture(scope="module", params=["gcc", "clang"])
def codec_counts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = require(request.param)
    program = tmp_path_factory.mktemp("fuzz") / f"counts_{request.param}"
    sources = [str(HERE / "codec_counts.c"), *map(str, sorted(CODEC.glob("*.c")))]
    subprocess.run(
        [compiler, *FLAGS.split(), f"-I{CODEC}", f"-I{HERE}", *sources, "-o", str(program)], check=True
    )
    return program


def test_both_decoders_find_the_same(codec_counts: Path, tmp_path: Path) -> None:
    cases = [path.read_bytes() for path in sorted(CORPUS.iterdir())] + mutations(400)
    files = []
    for place, case in enumerate(cases):
        files.append(tmp_path / f"{place}")
        files[-1].write_bytes(case)
    done = subprocess.run([str(codec_counts), *map(str, files)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(lines) == len(cases)
    totals = [0] * 4
    for place, (case, (good, damaged, versions, valid, _, total)) in enumerate(zip(cases, lines)):
        assert python_counts(case) == (good, damaged, versions, valid, total), place
        totals = [a + b for a, b in zip(totals, (good, damaged, valid, len(case)))]
    # The mutations reach all of it: many good frames, many damaged ones, and many good ones with bad payloads.
    assert totals[0] > 2000 and totals[1] > 500 and 500 < totals[2] < totals[0]


def test_a_short_run_of_the_c_fuzzer(tmp_path: Path) -> None:
    """20,000 inputs from the corpus on, with address and undefined-behaviour sanitizers; always the same ones."""
    compiler = require("clang")
    program = tmp_path / "fuzz_codec"
    flags = [
        "-std=c99",
        "-O1",
        "-g",
        "-fsanitize=fuzzer,address,undefined",
        "-fno-sanitize-recover=all",
        f"-I{CODEC}",
    ]
    sources = [str(HERE / "fuzz_codec.c"), *map(str, sorted(CODEC.glob("*.c")))]
    built = subprocess.run(
        [compiler, *flags, *sources, "-o", str(program)], capture_output=True, text=True, check=False
    )
    if "libclang_rt" in built.stderr:
        missing("clang's sanitizers", "sudo apt-get install libclang-rt-14-dev, or that of clang's version")
    assert built.returncode == 0, built.stderr
    (tmp_path / "new").mkdir()
    run = ["-runs=20000", "-seed=1", "-max_len=1024", str(tmp_path / "new"), str(CORPUS), str(GOLDEN)]
    done = subprocess.run([str(program), *run], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Done 20000 runs" in done.stderr


def test_the_corpus_is_small() -> None:
    files = list(CORPUS.iterdir())
    assert len(files) >= 20
    assert sum(path.stat().st_size for path in files) < 64_000
