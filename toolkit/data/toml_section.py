"""A TOML table taken key by key, so that a missing key, one of the wrong kind and one that is not known are each told."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from toolkit.errors import RecordingError

Vector = tuple[float, float, float]

_REQUIRED = object()
_WORDS = {str: "text", float: "a number", int: "a whole number", dict: "a table", list: "a list"}


@dataclass
class Section:
    """A TOML table whose keys are taken one by one; what is left over at the end is refused."""

    where: str
    values: dict[str, Any]
    allowed: list[str] = field(default_factory=list)

    def take(self, key: str, kind: type, default: Any = _REQUIRED) -> Any:
        self.allowed.append(key)
        value = self.values.get(key, default)
        if value is _REQUIRED:
            raise RecordingError(f"{self.where}: {key} is missing; it must be {_WORDS[kind]}")
        if key not in self.values:
            return value
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value) if abs(value) < 2**1023 else math.inf
        if not isinstance(value, kind) or (isinstance(value, float) and not math.isfinite(value)):
            raise RecordingError(f"{self.where}: {key} is {value!r}; it must be {_WORDS[kind]}")
        return value

    def positive(self, key: str, default: Any = _REQUIRED) -> Any:
        value = self.take(key, float, default)
        if value is not None and value <= 0:
            raise RecordingError(f"{self.where}: {key} is {value:g}; it must be above 0")
        return value

    def vector(self, key: str, default: Any = _REQUIRED) -> Vector | None:
        value = self.take(key, list, default)
        return None if value is None else vector_of(value, f"{self.where}: {key}")

    def done(self) -> None:
        unknown = [key for key in self.values if key not in self.allowed]
        if unknown:
            raise RecordingError(
                f"{self.where}: {unknown[0]} is not a known key; allowed: {', '.join(self.allowed)}"
            )


def vector_of(value: Any, where: str) -> Vector:
    good = isinstance(value, list) and len(value) == 3
    if not good or not all(isinstance(v, int | float) and math.isfinite(v) for v in value):
        raise RecordingError(f"{where} is {value!r}; it must be three numbers")
    return float(value[0]), float(value[1]), float(value[2])
