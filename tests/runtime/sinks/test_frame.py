"""The compact frame: fixed bytes, what cannot be said in them, damage, and the C decoder of docs/SINKS.md."""

from __future__ import annotations

import ctypes
import math
import re
import socket
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.pipeline.estimate import Estimate, State
from runtime.sinks import open_sink
from runtime.sinks.frame import (
    UNKNOWN_US,
    EstimateFrame,
    frame_size,
    layout_of,
)
from tests.runtime.sinks.harness import OUTPUTS, estimate, run_sink
from tests.tools import require
from toolkit.contract import Channel
from toolkit.errors import UsageError
from toolkit.model import load_checkpoint

DOCS = Path(__file__).resolve().parents[3] / "docs" / "SINKS.md"


def test_the_bytes_are_those_of_the_page() -> None:
    layout = zlib.crc32(b"hip_flexion Nm/kg\nknee_extension Nm/kg")
    assert layout_of(OUTPUTS) == layout
    frame = bytes(EstimateFrame.of(estimate(3, State.DEGRADED), layout))
    body = (
        b"EM\x01\x01\x02\0\0\0"
        + struct.pack("<II", 3, layout)
        + (5_000_000).to_bytes(8, "little")
        + struct.pack("<III", 250, 6_500, 2_500)
        + struct.pack("<ff", 1.0, -0.1)
    )
    assert frame == body + struct.pack("<I", zlib.crc32(body)) and len(frame) == frame_size(2) == 48


def test_a_frame_says_run_and_model_if_it_is_asked_to() -> None:
    given = replace(estimate(3), run="6f1d0c2a9b3e", model="37fde1fa99f5")
    plain, named = (bytes(EstimateFrame.of(given, 77, identity=identity)) for identity in (False, True))
    assert (plain[2], named[2]) == (1, 3) and named[3:36] == plain[3:36] and named[60:-4] == plain[36:-4]
    assert named[36:60] == b"6f1d0c2a9b3e37fde1fa99f5" and len(named) == frame_size(2, identity=True) == 72


def test_a_sink_can_be_asked_for_run_and_model(tmp_path: Path) -> None:
    for url in ("udp://127.0.0.1:9?identity=2", f"unix://{tmp_path}/x?format=frames&identity=yes"):
        with pytest.raises(UsageError, match=r"identity is '(2|yes)'; allowed: 0, 1"):
            open_sink(url, OUTPUTS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(10)
        where = {"url": f"udp://127.0.0.1:{listener.getsockname()[1]}", "identity": 1}
        run_sink(open_sink(where, OUTPUTS), lambda sink: sink.publish(replace(estimate(1), run="abc")))
        assert EstimateFrame.from_bytes(listener.recv(2048)).identity == ("abc", "")


def test_the_page_states_the_shipped_model_s_layout() -> None:
    outputs = load_checkpoint("pretrained").contract.outputs
    assert f"{layout_of(outputs):#x} for the shipped model" in DOCS.read_text()


def test_what_is_not_known_or_too_long_says_so() -> None:
    odd = Estimate(1 << 33 | 5, 10, math.inf, 50, 20, State.INVALID, ("x",), ())
    frame = EstimateFrame.from_bytes(bytes(EstimateFrame.of(odd, 0)))
    assert (frame.sequence, frame.state, frame.values) == (5, State.INVALID, ())
    assert (frame.source_error_us, frame.age_us) == (UNKNOWN_US, 0)  # an age below 0 cannot be
    late = EstimateFrame.of(replace(odd, published_ns=10**16), 0)
    assert late.age_us == late.latency_us == UNKNOWN_US


def test_values_beyond_float32_become_infinity() -> None:
    frame = bytes(EstimateFrame.of(replace(estimate(0), values=(1e300, -1e300, math.nan)), 0))
    high, low, nan = EstimateFrame.from_bytes(frame).values
    assert (high, low) == (math.inf, -math.inf) and math.isnan(nan)


def test_any_damage_is_noticed() -> None:
    frame = bytes(EstimateFrame.of(estimate(3), layout_of(OUTPUTS)))
    for bit in range(8 * len(frame)):
        broken = bytearray(frame)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError):
            EstimateFrame.from_bytes(bytes(broken))
    for size in range(len(frame)):
        with pytest.raises(ValueError):
            EstimateFrame.from_bytes(frame[:size])


def test_more_outputs_than_a_frame_holds_are_refused() -> None:
    many = tuple(Channel(f"joint{i}", "Nm/kg") for i in range(256))
    for url in ("udp://127.0.0.1:9", "unix:///tmp/x?format=frames"):
        with pytest.raises(UsageError, match="255 outputs at most, not 256; use ndjson"):
            open_sink(url, many)


class CMoment(ctypes.Structure):
    """moment_frame of the page."""

    _fields_ = [
        ("state", ctypes.c_uint8),
        ("count", ctypes.c_uint8),
        ("sequence", ctypes.c_uint32),
        ("layout", ctypes.c_uint32),
        ("source_ns", ctypes.c_uint64),
        ("source_error_us", ctypes.c_uint32),
        ("latency_us", ctypes.c_uint32),
        ("age_us", ctypes.c_uint32),
        ("values", ctypes.c_float * 255),
        ("half_width_count", ctypes.c_uint8),
        ("half_widths", ctypes.c_float * 255),
        ("run", ctypes.c_char * 13),
        ("model", ctypes.c_char * 13),
        ("mass_kg", ctypes.c_float),
    ]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """docs/SINKS.md's decoder, compiled with warnings as errors."""
    compiler = require("gcc")
    found = re.search(r"```c\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    folder = tmp_path_factory.mktemp("decoder")
    (folder / "decoder.c").write_text(found[1])
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "decoder.c", "-o", "decoder.so"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "decoder.so"))


@settings(max_examples=200, deadline=None)
@given(
    sequence=st.integers(0, 2**40),
    source_ns=st.integers(0, 2**63 - 1),
    error_ms=st.floats(0, 1e9),
    took_ns=st.integers(0, 10**13),
    state=st.sampled_from(list(State)),
    values=st.lists(st.floats(width=32, allow_nan=False), max_size=255),
    identity=st.booleans(),
)
def test_c_reads_what_python_sends(
    decoder: ctypes.CDLL,
    sequence: int,
    source_ns: int,
    error_ms: float,
    took_ns: int,
    state: State,
    values: list[float],
    identity: bool,
) -> None:
    sent = Estimate(sequence, source_ns, error_ms, source_ns, source_ns + took_ns, state, (), tuple(values))
    sent = replace(sent, run="6f1d0c2a9b3e", model="37fde1fa99f5")
    frame = bytes(EstimateFrame.of(sent, 77, identity=identity))
    assert len(frame) == frame_size(len(values), identity=identity)
    out = CMoment()
    assert decoder.moment_read(frame, ctypes.c_size_t(len(frame)), ctypes.byref(out)) == 1
    assert (out.sequence, out.layout, out.source_ns) == (sequence % 2**32, 77, source_ns)
    assert (out.state, out.count, list(out.values[: len(values)])) == (state.rank, len(values), values)
    assert out.age_us == out.latency_us == min(round(took_ns * 1e-3), 2**32 - 1)
    assert out.source_error_us == min(round(error_ms * 1e3), 2**32 - 1)
    assert (out.run, out.model) == ((b"6f1d0c2a9b3e", b"37fde1fa99f5") if identity else (b"", b""))
    python = EstimateFrame.from_bytes(frame)
    assert python.identity == (("6f1d0c2a9b3e", "37fde1fa99f5") if identity else None)
    assert (python.state, python.values, python.age_us) == (state, tuple(values), out.age_us)


def test_half_widths_make_version_2_and_c_reads_them(decoder: ctypes.CDLL) -> None:
    sent = replace(estimate(3), half_widths=(0.25, 0.5), level=0.9)
    frame = bytes(EstimateFrame.of(sent, 77))
    assert (frame[2], len(frame)) == (2, frame_size(4))
    assert EstimateFrame.from_bytes(frame).half_widths == (0.25, 0.5)
    out = CMoment()
    assert decoder.moment_read(frame, ctypes.c_size_t(len(frame)), ctypes.byref(out)) == 1
    assert (out.half_width_count, list(out.half_widths[:2])) == (2, [0.25, 0.5])
    assert list(out.values[:2]) == [1.0, pytest.approx(-0.1)]
    without = bytes(EstimateFrame.of(estimate(3), 77))
    assert decoder.moment_read(without, ctypes.c_size_t(len(without)), ctypes.byref(out)) == 1
    assert (without[2], out.half_width_count) == (1, 0)


def test_half_widths_and_identity_make_version_4_and_c_reads_them(decoder: ctypes.CDLL) -> None:
    sent = replace(estimate(3), half_widths=(0.25, 0.5), level=0.9, run="a", model="b")
    frame = bytes(EstimateFrame.of(sent, 77, identity=True))
    assert (frame[2], len(frame)) == (4, frame_size(4, identity=True))
    python = EstimateFrame.from_bytes(frame)
    assert (python.half_widths, python.identity) == ((0.25, 0.5), ("a", "b")) and bytes(python) == frame
    out = CMoment()
    assert decoder.moment_read(frame, ctypes.c_size_t(len(frame)), ctypes.byref(out)) == 1
    assert (out.half_width_count, list(out.half_widths[:2])) == (2, [0.25, 0.5])
    assert (out.run, out.model, out.values[0]) == (b"a", b"b", 1.0)
    assert out.mass_kg == 0.0
    # Whatever else the version says, the size no longer fits.
    for version in (0, 1, 2, 3, 5, 255):
        other = bytearray(frame)
        other[2] = version
        other[-4:] = struct.pack("<I", zlib.crc32(other[:-4]))
        with pytest.raises(ValueError, match="not an estimate frame"):
            EstimateFrame.from_bytes(bytes(other))
        assert decoder.moment_read(bytes(other), ctypes.c_size_t(len(other)), ctypes.byref(out)) == 0


@pytest.mark.parametrize(
    ("identity", "half_widths", "version", "size"),
    [(False, (), 5, 52), (False, (0.25, 0.5), 6, 60), (True, (), 7, 76), (True, (0.25, 0.5), 8, 84)],
)
def test_the_body_mass_gives_both_units_and_c_reads_it(
    decoder: ctypes.CDLL, identity: bool, half_widths: tuple[float, ...], version: int, size: int
) -> None:
    """1.0 and -0.1 Nm/kg of somebody of 72.5 kg are 72.5 and -7.25 Nm; a reader of version 1 refuses the frame, unread."""
    sent = replace(estimate(3), half_widths=half_widths, level=0.9, run="a", model="b", mass_kg=72.5)
    frame = bytes(EstimateFrame.of(sent, 77, identity=identity, mass=True))
    assert (frame[2], len(frame)) == (version, size)
    python = EstimateFrame.from_bytes(frame)
    assert (python.mass_kg, python.half_widths) == (72.5, half_widths) and bytes(python) == frame
    assert python.newton_metres == pytest.approx((72.5, -7.25))
    out = CMoment()
    assert decoder.moment_read(frame, ctypes.c_size_t(len(frame)), ctypes.byref(out)) == 1
    assert (out.mass_kg, out.values[0], out.half_width_count) == (72.5, 1.0, len(half_widths))
    assert list(out.half_widths[: len(half_widths)]) == list(half_widths)
    assert out.run == (b"a" if identity else b"")
    # Who did not ask for it gets what he always got, whatever the daemon knows of its wearer.
    plain = bytes(EstimateFrame.of(sent, 77, identity=identity))
    assert plain == bytes(EstimateFrame.of(replace(sent, mass_kg=0.0), 77, identity=identity))


def test_every_frame_fits_a_datagram_of_any_path() -> None:
    """IPv6: 1,280 bytes, of which 40 and 8 are heads."""
    for count in range(256):
        bars = (1.0,) * count
        sent = replace(estimate(0), values=bars, half_widths=bars, level=0.9, mass_kg=70.0)
        assert len(bytes(EstimateFrame.of(sent, 0, identity=True, mass=True))) <= 1_280 - 48


def test_half_widths_that_would_not_fit_a_datagram_are_left_out() -> None:
    many = replace(estimate(0), values=(0.0,) * 149, half_widths=(1.0,) * 149, level=0.9)
    assert EstimateFrame.from_bytes(bytes(EstimateFrame.of(many, 0))).half_widths == ()


def test_c_refuses_damage(decoder: ctypes.CDLL) -> None:
    frame = bytes(EstimateFrame.of(estimate(3), layout_of(OUTPUTS)))
    out = CMoment()
    for bit in range(8 * len(frame)):
        broken = bytearray(frame)
        broken[bit // 8] ^= 1 << bit % 8
        assert decoder.moment_read(bytes(broken), ctypes.c_size_t(len(broken)), ctypes.byref(out)) == 0
    for size in range(len(frame)):
        assert decoder.moment_read(frame[:size], ctypes.c_size_t(size), ctypes.byref(out)) == 0
