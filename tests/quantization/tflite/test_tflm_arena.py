"""Asking TFLM whether an arena is enough: no answer of it, a crash included, reaches the process that asks."""

from __future__ import annotations

import pytest

from quantization.converters import builtin
from quantization.tflite import tflm_arena as tflm_probe
from quantization.tflite.tflm_arena import ArenaProbe
from quantization.tflm_emitter import least_arena
from tests.quantization.small_models import SMALL, windows
from toolkit.errors import ModelFileError
from toolkit.model.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def content() -> bytes:
    pytest.importorskip("tflite_micro", reason="no tflite-micro: the arena was NOT probed")
    checkpoint = Checkpoint.random(SMALL, 3)
    files = builtin.build(checkpoint, windows(checkpoint, 20), scheme="int8")
    return next(f.content for f in files if (f.graph, f.scheme) == ("window", "int8"))


def test_sizes_that_crash_the_wheel_are_too_small_and_no_more(content: bytes) -> None:
    died = 0
    with ArenaProbe(content) as probe:
        for size in range(0, 512, 64):
            assert not probe.enough(size)
            died += probe._child is None
        assert probe.enough(1_000_000)
        assert not probe.enough(1000)
    assert died > 0, "no size crashed this wheel: this test cannot tell"


def test_the_least_arena_is_found_among_them(content: bytes) -> None:
    least = least_arena(content)
    with ArenaProbe(content) as probe:
        assert probe.enough(least)
        assert not probe.enough(least - 16)


def test_a_wheel_that_cannot_be_asked_is_no_small_arena(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tflm_probe, "_CHILD", "raise SystemExit(3)")
    with ArenaProbe(content) as probe, pytest.raises(ModelFileError, match=r"ended with 3; reinstall"):
        probe.enough(1_000_000)
