"""The command line that repeats what a function of the API did."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any


def command_line(given: dict[str, Any], function: Callable[..., object]) -> str:
    """The options that differ from their defaults, as they would be typed; of an absolute path, only the name."""
    words = [f"edgetool {function.__name__}"]
    for name, parameter in inspect.signature(function).parameters.items():
        value = given[name]
        if name == "progress" or value is None or value == parameter.default:
            continue
        if value is True:
            words.append(f"--{name.replace('_', '-')}")
            continue
        word = "" if parameter.kind is not inspect.Parameter.KEYWORD_ONLY else f"--{name.replace('_', '-')} "
        words.append(word + _text(value))
    return " ".join(words)


def _text(value: object) -> str:
    if not isinstance(value, str | int | float | Path):
        return "..."  # recordings or a split in memory
    return value.name if isinstance(value, Path) and value.is_absolute() else str(value)
