"""What an attribution of errors finds, as records: of the moments, of every tensor, of every rounding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class OutputError:
    """Moments of one computation: RMSE against the reference moments in Nm/kg, and against float in % of their deviation."""

    engine: str
    rmse: float
    rmse_increase_pct: float
    error_vs_float_pct: float


@dataclass(frozen=True)
class TensorErrors:
    """One tensor against float: ``error_pct`` by engine is 100 RMS(error) / standard deviation of the float values.

    ``over_time`` by engine is the same for each time step, for tensors that have one; both use the deviation
    over all steps. ``deviation`` is in the tensor's own unit.
    """

    name: str
    op: str
    type: str
    deviation: float
    error_pct: Mapping[str, float]
    over_time: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Loss:
    """What one rounding costs at the output, in % of the reference moments' deviation (error) or of the float RMSE.

    ``alone``: only this one is made. ``gain_16_bits``: all are made, and this one in 16 bits takes so much off
    the error (0 or less: nothing to gain; None: it has 16 bits already).
    """

    source: str
    kind: str
    op: str
    bits: int
    alone_error_pct: float
    alone_rmse_increase_pct: float
    gain_16_bits_error_pct: float | None
    gain_16_bits_rmse_pct: float | None


@dataclass(frozen=True)
class Attribution:
    """The whole finding. ``losses`` are ordered by their cost alone, ``tensors`` as the graph computes them."""

    graph: str
    data: str
    part: str
    windows: int
    notes: tuple[str, ...]
    outputs: tuple[OutputError, ...]
    tensors: tuple[TensorErrors, ...]
    losses: tuple[Loss, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "graph": self.graph,
            "data": self.data,
            "part": self.part,
            "windows": self.windows,
            "notes": list(self.notes),
            "outputs": [vars(item) for item in self.outputs],
            "losses": [vars(item) for item in self.losses],
            "tensors": [
                {
                    **vars(item),
                    "error_pct": dict(item.error_pct),
                    "over_time": {engine: list(values) for engine, values in item.over_time.items()},
                }
                for item in self.tensors
            ],
        }
