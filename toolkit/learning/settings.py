"""All that a user chooses about a training run, validated before any data is read. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from toolkit.data.splits import Split
from toolkit.errors import CheckpointError, UsageError
from toolkit.filtering.mains import MAINS_HZ
from toolkit.learning.recipe import Recipe
from toolkit.model.config import ModelConfig, Norm

Precision = Literal["float32", "float16"]
#: What sensors go through before the filters: nothing, or a calibration on a walk of the person who wears them.
CalibrationKind = Literal["none", "walk"]


#: One sequence stands for so many windows of a batch, and so many windows lie from the start of one to the next: an epoch has
#: as many steps as one on windows, and a step costs less.
WINDOWS_A_SEQUENCE = 8
#: Windows: beyond it a sequence costs more memory and brings nothing.
LONGEST_SEQUENCE = 32


@dataclass(frozen=True)
class Settings:
    """``split``: None (by subject for three people or more, else chronological), a text of ``parse_split``, or a Split.

    Of the train and validation parts every ``stride``-th window is used. ``outputs``: which moments, None for all of the
    data. ``weights``: float16 rounds them after training; the scores are those of the rounded weights. ``calibration``:
    ``walk`` calibrates every person on a walk of theirs first (docs/CALIBRATION.md), and the contract then asks for a
    calibration of every session. ``sequence``: a loss at every row of sequences of so many windows, the state carried on, as
    the model runs live; 1: on windows, each from nothing. ``notch_hz``: 50 or 60 puts a notch for mains hum among the filters
    of raw EMG; 0: none. The others are the sizes of ``ModelConfig`` and the settings of
    ``Recipe``. Raises UsageError.
    """

    seed: int = 0
    split: str | Split | None = None
    epochs: int = 30
    batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    patience: int = 8
    stride: int = 2
    hidden: int = 64
    layers: int = 1
    heads: int = 1
    norm: Norm = "layer"
    head_hidden: int = 64
    window: int = 64
    rate_hz: float = 100.0
    horizon_ms: float = 0.0
    outputs: Sequence[str] | None = None
    weights: Precision = "float32"
    calibration: CalibrationKind = "none"
    sequence: int = 1
    notch_hz: int = 0

    def __post_init__(self) -> None:
        for name, allowed in (("calibration", CalibrationKind), ("weights", Precision)):
            if getattr(self, name) not in get_args(allowed):
                verb = "are" if name == "weights" else "is"
                raise UsageError(
                    f"{name} {verb} {getattr(self, name)!r}; allowed: {', '.join(get_args(allowed))}"
                )
        if self.stride < 1 or self.seed < 0:
            raise UsageError(
                f"stride is {self.stride} and seed {self.seed}; stride must be at least 1 and seed at least 0"
            )
        if not 1 <= self.sequence <= LONGEST_SEQUENCE:
            raise UsageError(
                f"sequence is {self.sequence} windows; it must be between 1 and {LONGEST_SEQUENCE}"
            )
        if self.notch_hz not in (0, *MAINS_HZ):
            raise UsageError(
                f"notch_hz is {self.notch_hz}; it must be the mains' frequency, 50 or 60, or 0 for none"
            )
        assert self.sizes and self.recipe

    @property
    def recipe(self) -> Recipe:
        """How to train."""
        batch = (
            max(1, self.batch // WINDOWS_A_SEQUENCE) if self.sequence > 1 and self.batch > 0 else self.batch
        )
        return Recipe(self.epochs, batch, self.learning_rate, self.weight_decay, patience=self.patience)

    @property
    def sizes(self) -> ModelConfig:
        """The config of the options alone; channels and outputs are the data's."""
        names = ("window", "rate_hz", "hidden", "layers", "heads", "norm", "head_hidden", "horizon_ms")
        try:
            return ModelConfig(**{name: getattr(self, name) for name in names})
        except CheckpointError as error:
            raise UsageError(str(error).removeprefix("model config: ")) from None

    @property
    def grid(self) -> dict[str, Any]:
        """What windows are cut by, as arguments of ``prepare``."""
        names = ("rate_hz", "window", "horizon_ms", "stride", "outputs", "notch_hz")
        return {name: getattr(self, name) for name in names}

    def to_json(self) -> Mapping[str, Any]:
        """Plain JSON of every setting but the split, whose text may draw people."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "split"}
        return {**values, "outputs": None if self.outputs is None else list(self.outputs)}
