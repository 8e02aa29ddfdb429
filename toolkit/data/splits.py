"""Which part of the data trains, which validates and which tests, without leakage.

A split travels in the checkpoint, so that calibration, search and bench use the same parts as training did.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from toolkit.errors import RecordingError, UsageError
from toolkit.records import Recording

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
SplitKind = Literal["chronological", "by-subject"]


@dataclass(frozen=True)
class Split:
    """``chronological``: fractions of each recording's time, in order. ``by-subject``: person names a part."""

    kind: SplitKind
    fractions: tuple[float, float, float] = (0.6, 0.1, 0.3)
    people: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]] = ((), (), ())

    def __post_init__(self) -> None:
        if self.kind not in get_args(SplitKind):
            raise UsageError(f"split {self.kind!r} is unknown; allowed: {', '.join(get_args(SplitKind))}")
        if any(f < 0 for f in self.fractions) or not math.isclose(sum(self.fractions), 1.0, abs_tol=1e-9):
            raise UsageError(
                f"split fractions {self.fractions} must be three numbers of at least 0 that sum to 1"
            )
        flat = [person for part in self.people for person in part]
        twice = sorted({person for person in flat if flat.count(person) > 1})
        if twice:
            raise UsageError(
                f"split puts {', '.join(twice)} in more than one part; each person belongs to one"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` inverts it."""
        if self.kind == "chronological":
            return {"kind": self.kind, "fractions": list(self.fractions)}
        return {"kind": self.kind, "people": dict(zip(PARTS, map(list, self.people)))}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Split:
        """Build from :meth:`to_json`'s form."""
        try:
            if value["kind"] == "chronological":
                train, validation, test = (float(f) for f in value["fractions"])
                return cls("chronological", fractions=(train, validation, test))
            groups = value["people"]
            if not all(isinstance(person, str) for part in PARTS for person in groups[part]):
                raise TypeError("a person's name, which must be text")
            return cls(
                value["kind"],
                people=(tuple(groups["train"]), tuple(groups["validation"]), tuple(groups["test"])),
            )
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise UsageError(
                f"not a split: {type(error).__name__} at {error}; it needs kind and fractions or people"
            ) from None


@dataclass(frozen=True, eq=False)
class Segment:
    """The rows of a recording with start_s <= time < stop_s; no window reaches outside it."""

    recording: Recording
    start_s: float
    stop_s: float


def default_split(recordings: Sequence[Recording], kind: SplitKind | None = None, seed: int = 0) -> Split:
    """By subject (60, 20, 20 % of the people, drawn from the seed) if there are three or more, else chronological."""
    people = sorted({recording.person for recording in recordings})
    kind = kind or ("by-subject" if len(people) >= 3 else "chronological")
    if kind == "chronological":
        return Split("chronological")
    if len(people) < 3:
        raise UsageError(
            f"a by-subject split needs at least 3 people; the data has {len(people)}: use a chronological split"
        )
    order = [people[i] for i in np.random.default_rng(seed).permutation(len(people))]
    held = max(1, round(0.2 * len(people)))
    test, validation, train = order[:held], order[held : 2 * held], order[2 * held :]
    return Split("by-subject", people=(tuple(sorted(train)), tuple(sorted(validation)), tuple(sorted(test))))


def select(recordings: Sequence[Recording], split: Split, part: Part) -> list[Segment]:
    """The segments of ``part``, in the recordings' order; RecordingError if there are none.

    With a by-subject split, a person whom the split does not name is new to the model and belongs to the test part.
    """
    segments = []
    place = PARTS.index(part)
    for recording in recordings:
        start, stop = recording.span_s
        if split.kind == "chronological":
            edges = np.concatenate([[0.0], np.cumsum(split.fractions)])
            edges[-1] = 1.0
            low, high = (start + float(e) * (stop - start) for e in edges[place : place + 2])
            if high > low:
                segments.append(Segment(recording, low, high))
        elif _part_of(recording.person, split) == place:
            segments.append(Segment(recording, start, stop))
    if not segments:
        known = sorted({recording.person for recording in recordings})
        raise RecordingError(
            f"the {part} part of the data is empty: people are {', '.join(known)} and the split is {split.to_json()}"
        )
    return segments


def _part_of(person: str, split: Split) -> int:
    return next((i for i, names in enumerate(split.people) if person in names), PARTS.index("test"))
