"""The folds of a comparison: which people train, validate and test, each fold a :class:`toolkit.data.splits.Split`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from toolkit.data.splits import Split, default_split
from toolkit.errors import UsageError
from toolkit.records import Recording

FoldKind = Literal["leave-one-person-out", "by-subject", "chronological"]

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
    them, at least one), the rest train. UsageError if there are too few people.
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
            f"leave-one-person-out needs at least 3 people; the data has {len(people)}: use --split chronological"
        )
    result = []
    for place, person in enumerate(people):
        others = people[place + 1 :] + people[:place]
        held = max(1, round(_VALIDATING * len(others)))
        groups = tuple(sorted(others[held:])), tuple(sorted(others[:held])), (person,)
        result.append(Fold(person, Split("by-subject", people=groups)))
    return result
