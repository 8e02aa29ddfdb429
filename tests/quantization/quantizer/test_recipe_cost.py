"""The order in which ``convert --max-rmse-increase`` tries recipes is that of what they cost on an emulated Cortex-M4."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import tests.quantization.c_emitter.test_models as test_c_models
from quantization.converters import builtin
from quantization.quantizer.recipe import Recipe
from quantization.quantizer.search import candidates
from toolkit.model import pretrained
from toolkit.model.checkpoint import Checkpoint


def test_recipes_are_tried_from_the_cheapest_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instructions of a step of the shipped model, int8 spots against int16 ones: the dearest takes a third more."""
    checkpoint = Checkpoint.load(pretrained())
    windows = test_c_models.drawn_windows(checkpoint.config, 40, 7)
    build = builtin.build
    costs = []
    for wide in dict.fromkeys(recipe.wide for recipe in candidates(Recipe())):
        monkeypatch.setattr(builtin, "build", partial(build, recipe=Recipe(wide=wide)))
        shipped = (checkpoint, windows, *test_c_models.graphs(checkpoint, windows))
        monkeypatch.setattr(test_c_models, "shipped", lambda shipped=shipped: shipped)
        folder = tmp_path / str(len(costs))
        folder.mkdir()
        figures = test_c_models.measured("cortex-m4", "speed", folder)
        assert figures["differing"] == 0
        costs.append(figures["step_instructions"])
    print(costs)
    assert len(costs) == 4
    assert costs == sorted(costs)
    assert costs[-1] > 1.25 * costs[0]
