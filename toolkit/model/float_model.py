"""What convert, bench and bundle ask of a float model, whoever made it: our Cross-LSTM or an imported network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import SensorContract


class ModelSizes(Protocol):
    """Sizes of a model, for people and manifests."""

    @property
    def parameter_count(self) -> int:
        """Number of weights."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        ...


class FloatModel(Protocol):
    """A float model with its contract, split and provenance; see :class:`toolkit.model.checkpoint.Checkpoint`."""

    @property
    def config(self) -> ModelSizes: ...

    @property
    def contract(self) -> SensorContract: ...

    @property
    def weights(self) -> Mapping[str, NDArray[np.float32]]: ...

    @property
    def split(self) -> Mapping[str, Any] | None: ...

    @property
    def provenance(self) -> Mapping[str, Any]: ...

    @property
    def familiar(self) -> Mapping[str, Any] | None: ...

    @property
    def error_bars(self) -> Mapping[str, Any] | None: ...

    @property
    def hash(self) -> str:
        """SHA-256 of :meth:`to_bytes`, 64 hex digits."""
        ...

    def to_bytes(self) -> bytes:
        """The file's content; the same model gives the same bytes everywhere."""
        ...

    def save(self, path: str | Path) -> None:
        """Write the file whole or not at all; OutputError if it cannot be written."""
        ...
