"""The half width of an estimate's interval, from the estimate itself: a few float32 numbers, computed alike here and in C.

For joint j of an estimate m, with weights w found on people that the model did not learn from:

    half_j = w[j, 0] + sum over k of (w[j, 2k+1] * max(m_k, 0) + w[j, 2k+2] * max(-m_k, 0))

The joint moments together tell where in the stride a leg is; large ones are estimated worse than small ones. No weight is
below 0, so a half width never is. Products and sums are float32, in the order written, without fused multiply-add.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import SensorContract
from toolkit.errors import ContractError

Float = NDArray[np.float64]

#: Share of moments that lie inside, unless another one is asked for.
LEVEL = 0.9
#: Levels that can be asked for: beyond them so few values lie outside that they say nothing.
LEVELS = (0.5, 0.99)


@dataclass(frozen=True, eq=False)
class ErrorBars:
    """``weights`` (outputs, 1 + 2 outputs), float32, Nm/kg and 1; ``level`` is the share of moments meant to lie inside.

    ``outputs`` names the joint moments. ``people`` is how many people it rests on, ``basis`` whose estimates were judged, in
    words. ContractError for what cannot be an interval.
    """

    outputs: tuple[str, ...]
    weights: NDArray[np.float32]
    level: float
    people: int
    basis: str

    def __post_init__(self) -> None:
        weights = np.array(self.weights, np.float32)
        count = len(self.outputs)
        if weights.shape != (count, 1 + 2 * count) or not np.isfinite(weights).all() or (weights < 0).any():
            raise ContractError(
                f"error bars of {count} joint moments need {count} rows of {1 + 2 * count} finite weights of at least 0; "
                f"they have shape {weights.shape}"
            )
        if not LEVELS[0] <= self.level <= LEVELS[1]:
            raise ContractError(
                f"error bars have level {self.level:g}; it must be between {LEVELS[0]:g} and {LEVELS[1]:g}"
            )
        weights.flags.writeable = False
        object.__setattr__(self, "weights", weights)

    def half_widths(self, moments: NDArray[Any]) -> NDArray[np.float32]:
        """Half widths (..., outputs), Nm/kg, of estimates (..., outputs); the same bits as the generated C gives."""
        values = np.asarray(moments, np.float32)
        above, below = np.maximum(values, np.float32(0)), np.maximum(-values, np.float32(0))
        result = np.broadcast_to(self.weights[:, 0], values.shape)
        for place in range(len(self.outputs)):
            result = result + self.weights[:, 2 * place + 1] * above[..., place, None]
            result = result + self.weights[:, 2 * place + 2] * below[..., place, None]
        return np.ascontiguousarray(result, np.float32)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; :meth:`from_json` gives the same bits back."""
        return {
            "level": self.level,
            "people": self.people,
            "basis": self.basis,
            "outputs": list(self.outputs),
            "weights": [[float(f"{value:.9g}") for value in row] for row in self.weights],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ErrorBars:
        """Build from :meth:`to_json`'s form; ContractError says what is missing or wrong."""
        try:
            level, people = float(value["level"]), int(value["people"])
            if not math.isfinite(level):
                raise ValueError(f"level {level}")
            return cls(
                tuple(str(name) for name in value["outputs"]),
                np.array(value["weights"], np.float64).astype(np.float32),
                level,
                people,
                str(value["basis"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ContractError(f"not error bars: {type(error).__name__} at {error}") from None


def require_error_bars_fit(error_bars: ErrorBars, contract: SensorContract) -> None:
    """ContractError unless they are of the contract's joint moments, in its order."""
    require_outputs(error_bars, [channel.name for channel in contract.outputs])


def require_outputs(error_bars: ErrorBars, names: Sequence[str]) -> None:
    """ContractError unless they are of the joint moments ``names``, in that order."""
    if list(error_bars.outputs) != list(names):
        raise ContractError(
            f"error bars are of {', '.join(error_bars.outputs)} and the model gives {', '.join(names)}; convert again"
        )
