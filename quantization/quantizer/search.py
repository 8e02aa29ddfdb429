"""The cheapest recipe that holds a bound: ``edgetool convert --max-rmse-increase PCT``.

Recipes are tried from the cheapest on (figures: docs/CONVERTER.md; among equals, what is usually nearest)
by the integer reference on windows of the validation part of the split. The test part is never looked at: what bench measures
there stays a measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization import passes
from quantization.graph.ir import Graph
from quantization.importers.network import float_moments, window_graph
from quantization.quantizer.calibration import Calibration, calibrate
from quantization.quantizer.quantize import quantize
from quantization.quantizer.recipe import Method, Recipe, Spot
from quantization.reference.integer_graph import Interpreter
from quantization.tflite.run import quantize as stored_input
from toolkit.errors import BudgetError, RecordingError, UsageError
from toolkit.model.float_model import FloatModel
from toolkit.records import Windows

#: Cheapest first, by instructions of a step on a Cortex-M4. 8 bits cost more than 16 here: what surrounds these spots is int16,
#: so each spot in 8 bits adds conversions at its edges, and its norm more ops; the matrices behind the LSTMs are small.
_WIDE: tuple[tuple[Spot, ...], ...] = (("norm", "head"), ("norm",), ("head",), ())
#: All cost the same to run.
_METHODS: tuple[Method, ...] = ("mse", "percentile", "minmax")


@dataclass(frozen=True)
class Trial:
    """A recipe and the increase of its RMSE over the float model's on the validation part, in percent."""

    recipe: Recipe
    rmse_increase_pct: float

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"recipe": self.recipe.to_json(), "rmse_increase_pct": self.rmse_increase_pct}


@dataclass(frozen=True)
class Found:
    """The recipe that was chosen and all that were tried, in order."""

    recipe: Recipe
    tried: tuple[Trial, ...]


def candidates(start: Recipe) -> list[Recipe]:
    """Every recipe of the search, cheapest first; what is not searched is as in ``start``."""
    return [replace(start, wide=wide, calibration=method) for wide in _WIDE for method in _METHODS]


def search(
    checkpoint: FloatModel,
    calibration: Windows,
    validation: Windows,
    max_rmse_increase: float,
    start: Recipe | None = None,
    tell: Callable[[Trial], None] | None = None,
) -> Found:
    """The first of :func:`candidates` whose RMSE on ``validation`` is at most ``max_rmse_increase`` percent over float's.

    Raises BudgetError with the best that was found if none holds the bound, UsageError for a bound that is not a number of
    at least 0, RecordingError if there are no validation windows.
    """
    if not (np.isfinite(max_rmse_increase) and max_rmse_increase >= 0):
        raise UsageError(f"--max-rmse-increase is {max_rmse_increase}; it must be a number of at least 0")
    if not len(validation):
        raise RecordingError("the validation part of the data has no window; searching a recipe needs some")
    start = start or Recipe()
    judge = _Judge(checkpoint, calibration, validation, start.passes)
    tried = []
    for recipe in candidates(start):
        trial = Trial(recipe, judge.rmse_increase(recipe))
        tried.append(trial)
        if tell is not None:
            tell(trial)
        if trial.rmse_increase_pct <= max_rmse_increase:
            return Found(recipe, tuple(tried))
    best = min(tried, key=lambda trial: trial.rmse_increase_pct)
    raise BudgetError(
        f"no recipe holds an RMSE increase of {max_rmse_increase:g} % on the validation part; the best of {len(tried)} "
        f"reaches {best.rmse_increase_pct:.2f} %: allow more, or train longer; 16 bits beside attention, ranges, increase: "
        + "; ".join(_in_short(trial) for trial in tried)
    )


def _in_short(trial: Trial) -> str:
    wide = "+".join(trial.recipe.wide) or "none"
    return f"{wide}, {trial.recipe.calibration}, {trial.rmse_increase_pct:+.2f} %"


def reference_moments(integer: Graph, inputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    """Moments (n, outputs) in Nm/kg of an int8 window graph, by the integer reference; ``inputs`` are normalised (n, T, C)."""
    stored = {}
    for index in integer.inputs:
        tensor = integer.tensors[index]
        assert tensor.quantization is not None
        scale, zero_point = float(tensor.quantization.scale[0]), int(tensor.quantization.zero_point[0])
        stored[tensor.name] = stored_input(inputs[tensor.name], scale, zero_point)[:, None]
    (raw,) = Interpreter(integer).run(stored)
    output = integer.tensors[integer.outputs[0]].quantization
    assert output is not None
    result: NDArray[np.float64] = raw.reshape(len(raw), -1).astype(np.float64) * float(output.scale[0])
    return result


class _Judge:
    """What candidates share: the float graph, its moments of the validation windows, and calibrations."""

    def __init__(
        self, checkpoint: FloatModel, calibration: Windows, validation: Windows, passes_used: Sequence[str]
    ) -> None:
        self._validation = validation
        self._streams = [item.stream.name for item in checkpoint.contract.inputs]
        self._calibration = {stream: calibration.inputs[stream] for stream in self._streams}
        self._graph = passes.apply(window_graph(checkpoint), passes_used)
        #: By whether windows with an outlier are part of it.
        self._prepared: dict[bool, Calibration] = {}
        moments = float_moments(checkpoint, {s: validation.inputs[s] for s in self._streams})
        self._float_rmse = self._rmse(moments)

    def rmse_increase(self, recipe: Recipe) -> float:
        """Percent over the float model's RMSE."""
        every_window = recipe.calibration == "minmax"
        if every_window not in self._prepared:
            self._prepared[every_window] = calibrate(
                self._graph, self._calibration, method=recipe.calibration
            )
        integer = quantize(self._graph, self._prepared[every_window], recipe)
        moments = reference_moments(integer, {s: self._validation.inputs[s] for s in self._streams})
        return 100.0 * (self._rmse(moments) / self._float_rmse - 1.0)

    def _rmse(self, moments: Any) -> float:
        return float(np.sqrt(np.mean((moments - self._validation.targets) ** 2)))
