"""A short run of ``tests.fuzz.fuzz_readers``: the same mutants every time, through every reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.fuzz_readers import all_readers, run

NAMES = list(all_readers(Path()))


@pytest.mark.parametrize("name", NAMES)
def test_mutants_are_read_or_refused_in_order(name: str, tmp_path: Path) -> None:
    outcome = run(all_readers(tmp_path)[name](), seed=1, count=150)
    assert outcome.failures == []
    least = 5 if name == "recover" else 30  # recovering takes nearly anything: that is its purpose
    assert outcome.refused >= least, "mutants that are hardly ever refused do not test a reader"
