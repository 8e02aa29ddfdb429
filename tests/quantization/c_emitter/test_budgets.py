"""The shipped model on every emulated board: 200 windows bit for bit, and its figures within budgets.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.quantization.c_emitter.harness import BOARDS
from tests.quantization.c_emitter.test_models import measured

BUDGETS = tomllib.loads((Path(__file__).parent / "budgets.toml").read_text())


@pytest.mark.parametrize("core", BOARDS)
def test_speed_profile(core: str, tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    figures = measured(core, "speed", tmp_path)
    for name, value in figures.items():
        record_property(name, value)
    print(core, figures)
    budget = BUDGETS[core]
    assert figures["differing"] == 0
    assert figures["window_instructions"] <= budget["window_instructions"]
    assert figures["step_instructions"] <= budget["step_instructions"]
    assert figures["flash_bytes"] <= budget["flash_bytes_speed"]
    stack = max(figures["window_stack"], figures["step_stack"])
    assert figures["state_bytes"] + stack <= budget["ram_bytes"]


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55"])
def test_size_profile(core: str, tmp_path: Path) -> None:
    figures = measured(core, "size", tmp_path)
    print(core, figures)
    assert figures["differing"] == 0
    assert figures["flash_bytes"] <= BUDGETS[core]["flash_bytes_size"]
    stack = max(figures["window_stack"], figures["step_stack"])
    assert figures["state_bytes"] + stack <= BUDGETS[core]["ram_bytes"]
