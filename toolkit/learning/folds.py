"""The folds of a comparison: which people train, validate and test, each fold a :class:`toolkit.data.splits.Split`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from toolkit.data.splits import Split, default_split
from toolkit.errors import UsageError
from toolkit.records import Recording

FoldKind = Literal["leave-one-person-out", "four-folds", "by-subject", "chronological"]

#: Share of the people who are not tested that validate.
_VALIDATING = 0.2


@dataclass(frozen=True)
class Fold:
    """``name`` says what is tested: a person, or the part of the data."""

    name: str
    split: Split


def folds(recordings: Sequence[Recording], kind: str | None = None, seed: int = 0) -> list[Fold]:
    """All folds of ``kind``; None is leave-one-person-out for three people or more, else chronological.

    Leave-one-person-out: each person is tested once; of the others, those who follow in alphabetical order validate (a fifth of
    them, at least one), the rest train. four-folds: the same with a quarter of the people tested at a time (one at least), so
    that many people take four trainings. UsageError if there are too few people.
    """
    people = sorted({recording.person for recording in recordings})
    kind = kind or ("leave-one-person-out" if len(people) >= 3 else "chronological")
    if kind not in get_args(FoldKind):
        raise UsageError(f"split {kind!r} is not known here; allowed: {', '.join(get_args(FoldKind))}")
    if kind == "by-subject":
        return [Fold("test people", default_split(recordings, "by-subject", seed))]
    if kind == "chronological":
        return [Fold("last 30 %", Split("chronological"))]
    if len(people) < 3:
        raise UsageError(
            f"{kind} needs at least 3 people; the data has {len(people)}: use --split chronological"
        )
    number = len(people) if kind == "leave-one-person-out" else min(4, len(people))
    result = []
    for first in range(number):
        tested = people[first::number]
        # Those after the first one tested come first.
        others = [one for one in people[first + 1 :] + people[:first] if one not in tested]
        held = max(1, round(_VALIDATING * len(others)))
        groups = tuple(sorted(others[held:])), tuple(sorted(others[:held])), tuple(tested)
        result.append(Fold(", ".join(tested), Split("by-subject", people=groups)))
    return result
