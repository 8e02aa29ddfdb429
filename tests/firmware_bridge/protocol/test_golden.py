"""Stored packets, read and written by the Python codec and by the C codec (gcc and clang, sanitizers on)."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firmware_bridge.protocol.codec_c import FOLDER as CODEC
from firmware_bridge.protocol.codec_c import generate
from firmware_bridge.protocol.decoder import (
    HOST_PACKETS,
    NODE_PACKETS,
    LinkDecoder,
    Received,
)
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.packets import Data
from firmware_bridge.protocol.table import UNIT_CODES
from firmware_bridge.protocol.target_packets import Identity, Reply
from tests.tools import require

TESTS = Path(__file__).parents[2]
FOLDER = TESTS / "golden" / "packets"
LISTING: dict[str, dict[str, Any]] = json.loads((FOLDER / "packets.json").read_text(encoding="utf-8"))


def plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


def decoded(name: str) -> Received:
    packets = NODE_PACKETS | HOST_PACKETS
    received = LinkDecoder(packets).feed((FOLDER / f"{name}.bin").read_bytes(), 5)
    assert len(received) == 1
    return received[0]


def test_one_frame_by_hand() -> None:
    """Every byte of a small frame, worked out on paper; only the CRC is from a bitwise loop written here."""
    body = bytes.fromhex(
        "01"  # version
        "02"  # DATA
        "05"  # node
        "09"  # boot
        "04030201"  # sequence 0x01020304
        "40420f00"  # 1,000,000 us
        "03"  # stream
        "01"  # int16
        "02"  # channels
        "01"  # samples
        "0a000000"  # first sample is number 10
        "ff7f"  # 32767
        "0080"  # -32768
    )
    crc = 0xFFFF
    for byte in body:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1
    with_crc = body + bytes((crc & 0xFF, crc >> 8))
    # COBS by its definition: each run of non-zero bytes after a count that says where the next zero was.
    runs = with_crc.split(b"\0")
    wire = b"".join(bytes((len(run) + 1,)) + run for run in runs) + b"\0"

    received = LinkDecoder().feed(wire, 77)

    assert len(received) == 1
    got = received[0]
    assert got[:6] == (5, 9, 0x01020304, 1_000_000, 77, False)
    assert isinstance(got.packet, Data)
    assert (got.packet.stream, got.packet.first) == (3, 10)
    assert got.packet.values().tolist() == [[32767, -32768]]
    assert FrameWriter(5, 9, sequence=0x01020304).frames(got.packet, 1_000_000) == [wire]


@pytest.mark.parametrize("name", LISTING)
def test_python_reads_the_stored_packet(name: str) -> None:
    expected, received = LISTING[name], decoded(name)
    assert type(received.packet).__name__ == expected["type"]
    assert plain(received.packet) == expected["packet"]
    for field in ("node", "boot", "sequence", "device_us"):
        assert getattr(received, field) == expected[field], field


@pytest.mark.parametrize("name", LISTING)
def test_python_writes_the_stored_packet(name: str) -> None:
    expected = LISTING[name]
    writer = FrameWriter(expected["node"], expected["boot"], expected["max_frame"], expected["sequence"])
    frames = writer.frames(decoded(name).packet, expected["device_us"])
    assert b"".join(frames) == (FOLDER / f"{name}.bin").read_bytes()
    assert len(frames) == expected["frames"]
    assert all(len(frame) <= expected["max_frame"] for frame in frames)
    assert writer.sequence == (expected["sequence"] + expected["frames"]) % 2**32


def test_stored_values() -> None:
    """Extremes as a person reads them, so that a wrong golden file cannot hide."""
    values = {name: decoded(name).packet for name in LISTING if name.startswith("data")}
    assert values["data_int16"].values().tolist() == [[-32768, 32767, 0], [1, -1, 256]]
    assert values["data_int24"].values().tolist() == [[-8388608, 8388607], [0, -1], [65536, -65536]]
    assert values["data_float32"].values()[0, 0] == 0.25
    reply = decoded("reply_identify").packet
    assert isinstance(reply, Reply) and reply.unasked
    identity = Identity.from_bytes(reply.body)
    assert (identity.board, identity.counter_step, identity.channels) == ("mps3-an547", 31.25, (24, 9))


def test_the_files_are_what_their_script_writes() -> None:
    spec = importlib.util.spec_from_file_location("make_packets", TESTS / "golden" / "make_packets.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, (packet, settings) in module.goldens().items():
        writer = FrameWriter(settings["node"], settings["boot"], settings["max_frame"], settings["sequence"])
        frames = writer.frames(packet, settings["device_us"])
        assert b"".join(frames) == (FOLDER / f"{name}.bin").read_bytes(), name
    assert set(module.goldens()) == set(LISTING) == {path.stem for path in FOLDER.glob("*.bin")}


FLAGS = "-std=c99 -O1 -g -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Werror"
SANITIZE = "-fsanitize=address,undefined -fno-sanitize-recover=all"


@pytest.fixture(scope="session", params=["gcc", "clang"])
def codec_golden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = require(request.param)
    program = tmp_path_factory.mktemp("codec") / f"golden_{request.param}"
    sources = [Path(__file__).with_name("codec_golden.c"), *sorted(CODEC.glob("*.c"))]
    command = [
        compiler,
        *FLAGS.split(),
        *SANITIZE.split(),
        f"-I{CODEC}",
        *map(str, sources),
        "-o",
        str(program),
    ]
    subprocess.run(command, check=True)
    return program


def compare(expected: Any, actual: Any, where: str) -> None:
    """Equal, floats in single precision, which is what the wire holds."""
    if isinstance(expected, float):
        assert np.float32(expected) == np.float32(actual), where
    elif isinstance(expected, list):
        assert len(expected) == len(actual), where
        for place, (one, other) in enumerate(zip(expected, actual)):
            compare(one, other, f"{where}[{place}]")
    elif isinstance(expected, dict):
        for key, value in expected.items():
            if key == "unit":
                assert UNIT_CODES[value] == actual["unit_code"], where
            elif key == "raw":
                continue  # compared as values
            else:
                compare(value, actual[key], f"{where}.{key}")
    else:
        assert expected == actual, where


def test_c_reads_and_writes_the_stored_packets(codec_golden: Path) -> None:
    for name, expected in LISTING.items():
        wire = (FOLDER / f"{name}.bin").read_bytes()
        done = subprocess.run(
            [str(codec_golden), str(expected["max_frame"])], input=wire, capture_output=True, check=False
        )
        assert done.returncode == 0, f"{name}: {done.stderr.decode()}"
        fields, rewritten = done.stdout.decode().splitlines()
        assert bytes.fromhex(rewritten) == wire, name
        actual = json.loads(fields)
        compare(expected["packet"], actual, name)
        if "values" in actual:
            data = decoded(name).packet
            assert isinstance(data, Data)
            assert np.array_equal(
                np.array(actual["values"], np.float32), data.values().ravel().astype(np.float32)
            )


def test_the_c_header_is_up_to_date() -> None:
    assert generate.HEADER.read_text() == generate.header_text(), (
        "run: python -m firmware_bridge.protocol.codec_c.generate"
    )


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55"])
def test_the_c_codec_compiles_for_a_node(core: str, tmp_path: Path) -> None:
    compiler = require("arm-none-eabi-gcc")
    for source in sorted(CODEC.glob("*.c")):
        output = tmp_path / f"{source.stem}.o"
        flags = f"-mcpu={core} -mthumb -Os {FLAGS}".replace("-O1 -g ", "").split()
        subprocess.run([compiler, *flags, "-c", str(source), "-o", str(output)], check=True)
        undefined = subprocess.run(
            ["arm-none-eabi-nm", "--undefined-only", str(output)], capture_output=True, text=True, check=True
        )
        names = {line.split()[-1] for line in undefined.stdout.splitlines()}
        # No heap and no stdio: beside its own functions only what every C library has, and float helpers without an FPU.
        foreign = {name for name in names if not name.startswith(("etf_", "mem", "str", "__aeabi_"))}
        assert not foreign, foreign
