"""The compact frame: fixed bytes, what cannot be said in them, damage, and the C decoder of docs/SINKS.md."""

from __future__ import annotations

import ctypes
import math
import re
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
from tests.runtime.sinks.harness import OUTPUTS, estimate
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
)
def test_c_reads_what_python_sends(
    decoder: ctypes.CDLL,
    sequence: int,
    source_ns: int,
    error_ms: float,
    took_ns: int,
    state: State,
    values: list[float],
) -> None:
    sent = Estimate(sequence, source_ns, error_ms, source_ns, source_ns + took_ns, state, (), tuple(values))
    frame = bytes(EstimateFrame.of(sent, 77))
    out = CMoment()
    assert decoder.moment_read(frame, ctypes.c_size_t(len(frame)), ctypes.byref(out)) == 1
    assert (out.sequence, out.layout, out.source_ns) == (sequence % 2**32, 77, source_ns)
    assert (out.state, out.count, list(out.values[: len(values)])) == (state.rank, len(values), values)
    assert out.age_us == out.latency_us == min(round(took_ns * 1e-3), 2**32 - 1)
    assert out.source_error_us == min(round(error_ms * 1e3), 2**32 - 1)
    python = EstimateFrame.from_bytes(frame)
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
