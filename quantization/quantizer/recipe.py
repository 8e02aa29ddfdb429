"""A recipe: every choice of a quantization, as data. It is in the manifest, and the same recipe gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from quantization.passes import PASSES
from toolkit.errors import UsageError

Method = Literal["minmax", "percentile", "mse"]
#: Parts of the graph that may be computed in 8 or 16 bits. The LSTMs are int8 by the op's definition. The attention is
#: always int16: shares of 1/256 cost more than any other rounding, and the stream graph's marks need the range of its scores.
Spot = Literal["norm", "head"]
SPOTS: tuple[Spot, ...] = get_args(Spot)


@dataclass(frozen=True)
class Recipe:
    """How a float graph becomes an int8 graph.

    ``calibration``: how the range of an int8 tensor follows from its values: all of them, the central ``percentile`` %, or the
    range with the least mean square error. ``wide``: the spots computed in int16. ``passes``: the graph rewrites.
    ``headroom``: int16 ranges are this factor wider than what calibration saw, because 15 bits have room to spare and a
    new person may exceed it. ``weight_rounding``: to the nearest, or with each row's error fed forward to the weights not
    yet rounded (``compensated``).
    """

    calibration: Method = "mse"
    percentile: float = 99.99
    wide: tuple[Spot, ...] = SPOTS
    passes: tuple[str, ...] = tuple(PASSES)
    headroom: float = 2.0
    weight_rounding: Literal["nearest", "compensated"] = "compensated"

    def __post_init__(self) -> None:
        for name in ("wide", "passes"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(each, str) for each in value):
                raise UsageError(f"recipe entry {name} is {value!r}; it must be a list of names")
        for name in ("percentile", "headroom"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UsageError(f"recipe entry {name} is {value!r}; it must be a number")
        if self.calibration not in get_args(Method):
            raise UsageError(
                f"calibration {self.calibration!r} is not known; allowed: {', '.join(get_args(Method))}"
            )
        wrong = [spot for spot in self.wide if spot not in SPOTS]
        if wrong:
            raise UsageError(
                f"recipe entry wide: {', '.join(wrong)} is not known; allowed: {', '.join(SPOTS)}"
            )
        unknown = [name for name in self.passes if name not in PASSES]
        if unknown:
            raise UsageError(f"pass {', '.join(unknown)} is not known; allowed: {', '.join(PASSES)}")
        if not 50 < self.percentile <= 100:
            raise UsageError(f"percentile is {self.percentile}; it must be above 50 and at most 100")
        if not 1 <= self.headroom <= 16:
            raise UsageError(f"headroom is {self.headroom}; it must be from 1 to 16")
        if self.weight_rounding not in ("nearest", "compensated"):
            raise UsageError(
                f"weight rounding {self.weight_rounding!r} is not known; allowed: nearest, compensated"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` inverts it."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        """Build from :meth:`to_json`'s form; missing entries take their default, unknown ones are refused."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(value) - known)
        if unknown:
            raise UsageError(
                f"recipe entry {', '.join(unknown)} is not known; allowed: {', '.join(sorted(known))}"
            )
        given: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in value.items()}
        return cls(**given)
