"""The long run of hostile text leaves out no test that draws such text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fuzz.fuzz_text import TESTS
from tests.hostile import PIECES, few_or_all

ROOT = Path(__file__).resolve().parents[2]


def test_it_runs_every_test_that_draws() -> None:
    drawing = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if "few_or_all(" in path.read_text() and path != Path(__file__).resolve()
    ]
    assert sorted(TESTS) == sorted(drawing)


def test_a_short_draw_is_of_all_kinds_and_a_long_one_is_as_long_as_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("EDGETOOL_HOSTILE", raising=False)
    few = few_or_all(12, 20)
    assert len(few) == 12 and len({PIECES.index(text) // 20 for text in few if text in PIECES}) > 4
    monkeypatch.setitem(os.environ, "EDGETOOL_HOSTILE", "1000")
    many = few_or_all(12, 20)
    assert len(many) == 1000 and {piece for piece in PIECES if piece} < set(many)
