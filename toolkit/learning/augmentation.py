"""How training may change what it is shown: the interface between the loop and whoever augments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from toolkit.contract import SensorContract
from toolkit.learning.batches import Inputs

#: Changes one batch of normalised windows; all chance comes from the generator.
Augment = Callable[[Inputs, np.random.Generator], Inputs]


class Augmentation(Protocol):
    """A kind of augmentation: what it is, for provenance and resuming, and how it acts on a contract's windows."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that says everything it depends on."""

    def on(self, contract: SensorContract) -> Augment:
        """What changes a batch of windows of ``contract``."""
