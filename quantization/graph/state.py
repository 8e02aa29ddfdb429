"""What a stream graph carries from sample to sample, for whoever runs it.

Rings of hidden states and the mask of rows that have been written go out of one run and into the next; LSTM states lie in
tensors that the engine itself keeps. In a bundle the description is part of the manifest (docs/BUNDLE.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import ModelFileError

#: The mask's values in float32, which cap the scores: far beyond any score, and finite so that no engine computes
#: inf - inf. A row that exists keeps its score; an integer graph has the ends of its type in their place.
MASK_PRESENT = 1e9
MASK_ABSENT = -1e9


@dataclass(frozen=True)
class CarriedTensor:
    """Goes into a run as ``input`` and comes out of it, moved on, as ``output``; ``initial`` fills it at a reset.

    The places are those among the graph's inputs and outputs; ``initial`` is a stored value of ``dtype``.
    """

    input: str
    output: str
    input_place: int
    output_place: int
    shape: tuple[int, ...]
    dtype: str
    initial: float | int

    def start(self, windows: int | None = None) -> NDArray[Any]:
        """Its value after a reset: its own shape, or (windows, *shape)."""
        shape = self.shape if windows is None else (windows, *self.shape)
        return np.full(shape, self.initial, np.dtype(self.dtype))


@dataclass(frozen=True)
class StateVariable:
    """A tensor that the engine keeps itself and zeroes at a reset (its stored value for 0 is its zero point, 0 here)."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class StreamState:
    """Everything that a stream graph carries."""

    carried: tuple[CarriedTensor, ...]
    variables: tuple[StateVariable, ...] = ()

    def start(self, windows: int | None = None) -> dict[str, NDArray[Any]]:
        """Values after a reset by the name of the input they go into."""
        return {one.input: one.start(windows) for one in self.carried}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` inverts it."""
        return {
            part: [{**asdict(one), "shape": list(one.shape)} for one in getattr(self, part)]
            for part in ("carried", "variables")
        }

    @classmethod
    def from_json(cls, value: Any) -> StreamState:
        """Build from :meth:`to_json`'s form; ModelFileError says what of it is no description of a state."""
        if not isinstance(value, Mapping):
            raise ModelFileError(f"the stream's state is {value!r}; it must be an object: convert again")
        return cls(
            tuple(_carried(entry) for entry in _entries(value, "carried")),
            tuple(
                StateVariable(_entry(entry, "name", str), _shape(entry), _dtype(entry))
                for entry in _entries(value, "variables")
            ),
        )


def _carried(entry: Mapping[str, Any]) -> CarriedTensor:
    dtype, initial = _dtype(entry), _entry(entry, "initial", int, float)
    kind = np.dtype(dtype)
    fits = abs(initial) <= float(np.finfo(kind).max) if kind.kind == "f" else _fits(initial, kind)
    if not fits:
        raise ModelFileError(
            f"the stream's state begins with {initial!r}, which is not {dtype}: convert again"
        )
    return CarriedTensor(
        _entry(entry, "input", str),
        _entry(entry, "output", str),
        _entry(entry, "input_place", int),
        _entry(entry, "output_place", int),
        _shape(entry),
        dtype,
        initial,
    )


def _fits(value: float, kind: np.dtype[Any]) -> bool:
    limits = np.iinfo(kind)
    return value == value and limits.min <= value <= limits.max and value == int(value)


def _entries(value: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    entries = value.get(name)
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ModelFileError(f"the stream's state has {name} {entries!r}; it must be a list: convert again")
    return entries


def _entry(entry: Mapping[str, Any], name: str, *kinds: type) -> Any:
    found = entry.get(name)
    if isinstance(found, bool) or not isinstance(found, kinds):
        raise ModelFileError(f"the stream's state has {name} {found!r}: convert again")
    return found


def _shape(entry: Mapping[str, Any]) -> tuple[int, ...]:
    shape = _entry(entry, "shape", list)
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in shape):
        raise ModelFileError(f"the stream's state has shape {shape!r}: convert again")
    return tuple(shape)


def _dtype(entry: Mapping[str, Any]) -> str:
    name: str = _entry(entry, "dtype", str)
    if name not in ("float32", "int8", "int16"):
        raise ModelFileError(
            f"the stream's state has type {name!r}; allowed: float32, int8, int16: convert again"
        )
    return name
