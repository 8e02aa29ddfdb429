"""A split from its command-line form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toolkit.data.splits import Split, SplitKind, default_split
from toolkit.errors import UsageError
from toolkit.reading import read_json_object
from toolkit.records import Recording


def parse_split(text: str | None, recordings: Sequence[Recording], seed: int) -> Split:
    """A split from its command-line form.

    ``chronological`` (60, 10, 30 % of each recording), ``chronological:0.7,0.1,0.2`` (train, validation, test),
    ``by-subject`` (60, 20, 20 % of the people, drawn from ``seed``) or a JSON file as ``Split.to_json`` gives.
    None: by subject when there are three people or more. UsageError names what is allowed.
    """
    if text is None:
        return default_split(recordings, None, seed)
    kind, colon, rest = text.partition(":")
    if text in ("chronological", "by-subject"):
        known: SplitKind = "chronological" if text == "chronological" else "by-subject"
        return default_split(recordings, known, seed)
    if kind == "chronological" and colon:
        try:
            first, second, third = (float(part) for part in rest.split(","))
        except ValueError:
            raise UsageError(f"split {text!r}: give three fractions, as chronological:0.6,0.1,0.3") from None
        return Split("chronological", fractions=(first, second, third))
    if text.endswith(".json"):
        return Split.from_json(
            read_json_object(Path(text), "a split in JSON (docs/MODEL.md shows one)", UsageError)
        )
    raise UsageError(
        f"split {text!r} is not known; allowed: by-subject, chronological, chronological:TRAIN,VALIDATION,TEST, FILE.json"
    )
