"""What a contract that asks for calibration carries: the walk of the training people and how strong their EMG was."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from toolkit.calibration.template import WalkTemplate
from toolkit.contract import SensorContract, json_hash
from toolkit.errors import ContractError


@dataclass(frozen=True, eq=False)
class CalibrationReference:
    """The template that IMUs are turned onto (None without IMUs) and each EMG channel's usual amplitude, in its unit."""

    template: WalkTemplate | None
    amplitudes: Mapping[str, float]

    def __post_init__(self) -> None:
        bad = [name for name, value in self.amplitudes.items() if not (math.isfinite(value) and value > 0)]
        if bad:
            raise ContractError(
                f"calibration reference: the amplitude of {', '.join(bad)} must be finite and above 0"
            )
        object.__setattr__(self, "amplitudes", MappingProxyType(dict(self.amplitudes)))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` inverts it."""
        return {
            "template": None if self.template is None else self.template.to_json(),
            "amplitudes": {name: float(f"{value:.6g}") for name, value in self.amplitudes.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CalibrationReference:
        """Build from :meth:`to_json`'s form; ContractError says what is wrong."""
        try:
            template = None if value["template"] is None else WalkTemplate.from_json(value["template"])
            return cls(template, {str(k): float(v) for k, v in value["amplitudes"].items()})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ContractError(f"not a calibration reference: {type(error).__name__} at {error}") from None

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, 64 hex digits: what a calibration file names."""
        return json_hash(self.to_json())


def reference_of(contract: SensorContract) -> CalibrationReference | None:
    """What ``contract`` asks a session to be calibrated on; None if it takes sensors as they are."""
    return None if contract.calibration is None else CalibrationReference.from_json(contract.calibration)
