"""Whether sensors fit a model and what is doubted of them, as lines of at most 79 characters."""

from __future__ import annotations

import textwrap
from typing import Any

from toolkit.printable import terminal_text

_WIDTH = 79
#: Findings that are shown; more are counted.
_MOST = 6


def sensor_lines(said: dict[str, Any], *, ever: bool = False) -> list[str]:
    """Of :meth:`SensorCheck.to_json`: the state, or why there is none, then a finding each, or all that was ``ever`` found."""
    lines = _wrapped(f"Sensors: {_state(said, ever)}")
    findings = said["found" if ever else "findings"]
    for one in findings[:_MOST]:
        lines += _wrapped(one["text"], "  ")
    if len(findings) > _MOST:
        lines.append(f"  and {len(findings) - _MOST} more")
    return lines


def _state(said: dict[str, Any], ever: bool) -> str:
    if said["trouble"] is not None:
        return str(said["trouble"])
    if said["missing"]:
        return f"waiting for {', '.join(said['missing'])}"
    if not said["state"]:
        return "fit the model; no estimate yet"
    if not ever:
        reasons = ", ".join(said["reasons"])
        return f"{said['state']} ({reasons})" if reasons else str(said["state"])
    total = sum(said["states"].values())
    shares = ", ".join(f"{state} {100 * count / total:.0f} %" for state, count in said["states"].items())
    return f"{total} estimates, {shares}"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(terminal_text(text), _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")
