"""From a source string to recordings: ``synthetic``, a dataset TOML, an NPZ, or a folder of them."""

from __future__ import annotations

import math

from toolkit.errors import UsageError
from toolkit.records import Recording

_OPTIONS = "people=8, seconds=12, tasks=level+incline+decline+stairs-up+stairs-down, seed=0"


def load(source: str) -> list[Recording]:
    """Recordings of ``source``.

    ``synthetic`` may carry options: ``synthetic:people=3,seconds=6,tasks=level+stairs-up,seed=1``.
    Raises UsageError for a source or option that is not known, RecordingError for bad data.
    """
    kind, _, options = source.partition(":")
    if kind == "synthetic":
        return _synthetic(options)
    raise UsageError(f"data source {source!r} is not known; allowed: synthetic[:options]")


def _synthetic(text: str) -> list[Recording]:
    from toolkit.data.synthetic.generate import Options, generate
    from toolkit.data.synthetic.tasks import TASKS

    values: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals or key not in ("people", "seconds", "tasks", "seed") or key in values:
            raise UsageError(f"synthetic option {part!r} is not allowed; options, each once: {_OPTIONS}")
        values[key] = value
    tasks = tuple(values.get("tasks", "+".join(TASKS)).split("+"))
    unknown = [name for name in tasks if name not in TASKS]
    if unknown:
        raise UsageError(f"synthetic task {unknown[0]!r} is not known; allowed: {', '.join(TASKS)}")
    try:
        people, seed = int(values.get("people", "8")), int(values.get("seed", "0"))
        seconds = float(values.get("seconds", "12"))
    except ValueError as error:
        raise UsageError(f"synthetic options {text!r}: {error}; options: {_OPTIONS}") from None
    if not 1 <= people <= 1000 or seed < 0 or not (math.isfinite(seconds) and 1 <= seconds <= 3600):
        raise UsageError(
            f"synthetic options {text!r}: people must be 1 to 1000, seconds 1 to 3600, seed 0 or more"
        )
    return generate(Options(people, seconds, tasks, seed))
