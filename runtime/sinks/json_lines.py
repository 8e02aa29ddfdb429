"""An estimate as a line of JSON, and back (docs/SINKS.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from runtime.pipeline.estimate import Estimate, State
from toolkit.contract import Channel
from toolkit.errors import InputError, RecordingError
from toolkit.reading import parse_json_object


def estimate_line(estimate: Estimate, outputs: Sequence[Channel], unix_s: float | None = None) -> bytes:
    """One line with its newline. Numbers read back exactly; what is not finite is null; ``moments`` is null if empty.

    ``unix_s``: the wall clock now, for readers on other machines; left out if None.
    """
    moments = {c.name: _number(v) for c, v in zip(outputs, estimate.values)} if estimate.values else None
    value = {
        "sequence": estimate.sequence,
        "state": estimate.state.value,
        "reasons": list(estimate.reasons),
        "moments": moments,
        **_intervals(estimate, outputs),
        **_in_nm(estimate, outputs),
        "unit": outputs[0].unit,
        "age_ms": round(estimate.age_ms, 4),
        "source_ns": estimate.source_ns,
        "source_error_ms": _number(estimate.source_error_ms),
        "arrival_ns": estimate.arrival_ns,
        "published_ns": estimate.published_ns,
    }
    if estimate.valid_until_ns:
        value["valid_until_ns"] = estimate.valid_until_ns
    if estimate.run:
        value["run"] = estimate.run
    if estimate.model:
        value["model"] = estimate.model
    if unix_s is not None:
        value["unix_s"] = round(unix_s, 6)
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def estimate_of(line: bytes | str) -> Estimate:
    """The estimate of a line; ValueError if it is none. What was not finite comes back as NaN."""
    try:
        value = parse_json_object(line, "the line", "an estimate")
        values = value["moments"]
        return Estimate(
            int(value["sequence"]),
            int(value["source_ns"]),
            _back(value["source_error_ms"]),
            int(value["arrival_ns"]),
            int(value["published_ns"]),
            State(value["state"]),
            tuple(str(reason) for reason in value["reasons"]),
            tuple(_back(v) for v in values.values()) if values is not None else (),
            int(value.get("valid_until_ns", 0)),
            str(value.get("run", "")),
            str(value.get("model", "")),
            tuple(_back(v) for v in value.get("half_widths", {}).values()),
            _back(value.get("level", 0.0)),
            mass_kg=float(value.get("mass_kg", 0.0)),
        )
    except InputError as error:
        raise ValueError(f"not an estimate: {error}") from None
    except (ArithmeticError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an estimate: {type(error).__name__} at {error}") from None


def read_estimates(path: Path) -> Iterator[Estimate]:
    """The estimates of an NDJSON file. RecordingError names the first bad line; a last line without its end is left out."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield estimate_of(line)
                except ValueError as error:
                    raise RecordingError(
                        f"{path}, line {number}: {error}; cut the line out to read the rest"
                    ) from None
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror or error}") from None


def _in_nm(estimate: Estimate, outputs: Sequence[Channel]) -> dict[str, object]:
    """The moments in Nm and the body mass that they come from; nothing without one."""
    if not estimate.mass_kg:
        return {}
    moments = {c.name: _number(v) for c, v in zip(outputs, estimate.newton_metres)}
    return {"moments_nm": moments or None, "mass_kg": estimate.mass_kg}


def _intervals(estimate: Estimate, outputs: Sequence[Channel]) -> dict[str, object]:
    """The half widths by joint moment and the share of moments that they are meant to hold; nothing where there are none."""
    if not estimate.half_widths:
        return {}
    widths = {c.name: _number(v) for c, v in zip(outputs, estimate.half_widths)}
    return {"half_widths": widths, "level": estimate.level}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _back(value: float | None) -> float:
    return math.nan if value is None else float(value)
