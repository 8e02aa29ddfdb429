"""The models of a comparison by name, and baseline networks as large as a given Cross-LSTM. Needs torch where it builds one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toolkit.errors import UsageError
from toolkit.model.config import ModelConfig

if TYPE_CHECKING:
    from toolkit.learning.baselines.network import Baseline

#: How far a baseline's number of weights may lie from the Cross-LSTM's.
BUDGET = 0.10


@dataclass(frozen=True)
class Row:
    """A model: its name in tables, what it is, and for a baseline network its class, options and the step of its width."""

    title: str
    module: str = ""
    network: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    step: int = 1


CROSS_LSTM = "cross-lstm"
RIDGE = "ridge"
AVERAGE = "average-curve"

MODELS: dict[str, Row] = {
    CROSS_LSTM: Row("Cross-LSTM"),
    "lstm": Row("LSTM", "recurrent", "Recurrent", (("cell", "lstm"),)),
    "bilstm": Row("BiLSTM", "recurrent", "Recurrent", (("cell", "lstm"), ("both", True))),
    "gru": Row("GRU", "recurrent", "Recurrent", (("cell", "gru"),)),
    "cnn-lstm": Row("CNN-LSTM", "recurrent", "CnnLstm"),
    "tcn": Row("TCN", "convolutional", "Tcn"),
    "transformer": Row("Transformer", "transformer", "Transformer", step=4),
    "mlp": Row("MLP", "perceptron", "Mlp"),
    RIDGE: Row("ridge, lags"),
    AVERAGE: Row("avg. curve"),
}


def is_network(name: str) -> bool:
    """Whether the model is trained from a seed and converts; a floor is fitted, and has no graph."""
    return name == CROSS_LSTM or bool(MODELS[name].module)


def require_models(names: list[str]) -> list[str]:
    """``names``, each known and given once; UsageError says which there are."""
    for name in names:
        if name not in MODELS or names.count(name) > 1:
            raise UsageError(
                f"model {name!r} is not known, or given twice; the models are {', '.join(MODELS)}"
            )
    return names


def baseline(name: str, config: ModelConfig) -> Baseline:
    """The network ``name`` for the inputs and outputs of ``config``, with as many weights as that Cross-LSTM within 10 %.

    UsageError if no width gives that.
    """
    import torch

    from toolkit.learning.baselines.network import weight_count

    row, budget = MODELS[name], config.parameter_count

    def weights(width: int) -> int:
        with torch.device("meta"):  # counted, not built: no memory and no chance is used
            return weight_count(_build(row, config, width))

    width = _solve(weights, budget, row.step)
    found = weights(width)
    if abs(found - budget) > BUDGET * budget:
        raise UsageError(
            f"no width gives a {row.title} {budget:,} weights within {100 * BUDGET:.0f} % (nearest: {found:,}); "
            f"leave {name} out, or give the Cross-LSTM more --hidden"
        )
    return _build(row, config, width)


def _build(row: Row, config: ModelConfig, width: int) -> Baseline:
    import importlib

    module = importlib.import_module(f"toolkit.learning.baselines.{row.module}")
    network: Baseline = getattr(module, row.network)(config, width, **dict(row.options))
    return network


def _solve(weights: Callable[[int], int], budget: int, step: int) -> int:
    """The multiple of ``step`` whose number of weights, which grows with it, is nearest to ``budget``."""
    low, high = 1, 2
    while weights(high * step) < budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if weights(middle * step) < budget else (low, middle)
    return min((low, high), key=lambda n: abs(weights(n * step) - budget)) * step
