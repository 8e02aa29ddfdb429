"""A stream's whole chain: filter stages onto the model's grid, then the normaliser."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import FilterStage, ModelInput, Normaliser
from toolkit.errors import ContractError
from toolkit.filtering.stages import Samples, build, rational


class Chain:
    """Runs one model input's filters with carried state. Rows in are at the stream's rate, rows out at the grid's.

    Output row k is at the time of the first input row plus k / grid rate. ``normaliser=None`` leaves the
    z-score out, as needed to fit it.
    """

    def __init__(
        self,
        filters: tuple[FilterStage, ...],
        channels: int,
        rate_hz: float,
        grid_rate_hz: float,
        normaliser: Normaliser | None = None,
    ) -> None:
        rate = rational(rate_hz)
        for stage in filters:
            if stage.kind == "resample":
                if rational(float(stage.parameters["from_hz"])) != rate:
                    raise ContractError(
                        f"filter stage 'resample' expects {stage.parameters['from_hz']} Hz and gets {float(rate):g} Hz"
                    )
                rate = rational(float(stage.parameters["to_hz"]))
        if rate != rational(grid_rate_hz):
            raise ContractError(
                f"the filter chain ends at {float(rate):g} Hz and the model's grid has {grid_rate_hz:g} Hz; "
                "add a 'resample' stage"
            )
        self.channels = channels
        self._stages = [build(stage, channels) for stage in filters]
        self._mean = None if normaliser is None else np.asarray(normaliser.mean, np.float32)
        # C multiplies by the same float32 reciprocal: a division costs 14 cycles on a Cortex-M4F.
        self._inverse_std = (
            None if normaliser is None else (1.0 / np.asarray(normaliser.std, np.float64)).astype(np.float32)
        )

    @classmethod
    def of(cls, item: ModelInput, grid_rate_hz: float, before: tuple[FilterStage, ...] = ()) -> Chain:
        """The chain of one input of a contract, normaliser included, after the stages ``before`` (a session's calibration)."""
        stream = item.stream
        return cls(
            (*before, *item.filters), len(stream.channels), stream.rate_hz, grid_rate_hz, item.normaliser
        )

    def push(self, samples: NDArray[np.floating]) -> Samples:
        """Take the next rows, shape (rows, ..., channels); return the grid rows now known, float32."""
        if samples.ndim < 2 or samples.shape[-1] != self.channels:
            raise ContractError(f"expected rows of {self.channels} channels, got shape {samples.shape}")
        values = samples.astype(np.float32, copy=False)
        for stage in self._stages:
            values = stage.push(values)
        if self._mean is None or self._inverse_std is None:
            return values
        return (values - self._mean) * self._inverse_std

    def reset(self) -> None:
        """Forget all samples: the next row is the first."""
        for stage in self._stages:
            stage.reset()
