"""A draft of a dataset TOML from tables: which columns are time, sensors and moments, at what rate and in what unit.

It is a draft: names and units are read from the header row, and where that says nothing, the line says so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from toolkit.data import readers
from toolkit.data.dataset_file import FORMAT, TIME_UNITS
from toolkit.data.readers.table import TIME_TOLERANCE, Table
from toolkit.data.regular import NO_TIME
from toolkit.data.units import stream_of
from toolkit.errors import RecordingError
from toolkit.printable import terminal_text
from toolkit.reading import is_folder
from toolkit.toml_lines import toml_key, toml_text

_TABLES = (".csv", ".tsv", ".txt", ".sto", ".mot", ".npz")
_TIME = re.compile(r"(time(stamp)?s?|t|x|.*time series|seconds|date.?time)", re.I)
_UNIT = re.compile(r"\s*[\[(]([^\])]*)[\])]\s*$")
#: How units are written, and what edgetool calls them.
_UNITS = {
    "v": "V", "mv": "mV", "uv": "uV", "µv": "uV", "μv": "uV", "g": "g", "m/s^2": "m/s^2", "m/s2": "m/s^2", "m/s²": "m/s^2",
    "deg/s": "deg/s", "deg/sec": "deg/s", "°/s": "deg/s", "dps": "deg/s", "rad/s": "rad/s", "nm": "Nm", "n.m": "Nm",
    "nm/kg": "Nm/kg", "n.m/kg": "Nm/kg", "s": "s", "sec": "s", "seconds": "s", "ms": "ms", "us": "us", "µs": "us",
}  # fmt: skip
_STREAM_OF_NAME = (
    ("moments", re.compile(r"moment|torque", re.I)),
    ("imu", re.compile(r"acc|gyr", re.I)),
    ("emg", re.compile(r"emg", re.I)),
)
#: Rates that devices have and that times with few digits hide, Hz: Delsys Trigno's, exactly.
_KNOWN_RATES = (4000 / 27, 2000 / 27, 10000 / 27, 52000 / 27, 34000 / 27, 58000 / 27)
#: Columns belong to one stream if their rates are this alike.
_SAME_RATE = 2e-4


@dataclass(frozen=True)
class Drafted:
    """One column: which file, its name, the channel's name, and its unit; None: the header does not say."""

    file: str
    column: str
    channel: str
    unit: str | None


@dataclass
class DraftedStream:
    """The columns of one stream, on one time axis."""

    name: str
    rate_hz: float
    time: str
    time_unit: str
    columns: list[Drafted] = field(default_factory=list)


def suggest(source: Path, mass_kg: float | None = None, beside: Path | None = None) -> str:
    """The text of a dataset TOML of one recording: the table ``source``, or all tables of a folder.

    ``beside`` is the folder that the text will be in, which its root is relative to; None: the root is absolute.

    RecordingError if there is no table, no rate, or columns of one stream have different rates.
    """
    paths = _tables(source)
    keys = {path: re.sub(r"\W+", "_", path.stem) or "file" for path in paths}
    streams: dict[str, DraftedStream] = {}
    other: list[str] = []
    for path in paths:
        table = readers.read(path)
        for stream, name in _streams(table, keys[path]):
            if stream is None:
                other.append(f"{path.name}: {name}")
            else:
                _join(streams, stream, path)
    if not {"imu", "emg"} & set(streams):
        raise RecordingError(
            f"{source} has no column that its name or its unit tells to be of an IMU or EMG; found {', '.join(other) or 'none'}"
        )
    return "\n".join(_text(source, keys, streams, other, mass_kg, beside)) + "\n"


def _tables(source: Path) -> list[Path]:
    if not is_folder(source):
        return [source]
    found = sorted(path for path in source.iterdir() if path.suffix.lower() in _TABLES and path.is_file())
    if not found:
        raise RecordingError(f"{source} has no table; looked for {', '.join(_TABLES)}")
    return found


def _streams(table: Table, file: str) -> Iterator[tuple[DraftedStream | None, str]]:
    """Each column of a sensor or a moment as a stream of its own, and None with the name of what is neither."""
    time: int | None = None
    axis: tuple[float, str] | None = None
    for place, name in enumerate(table.names):
        if _TIME.fullmatch(_UNIT.sub("", name).strip()):
            time, axis = place, None
            continue
        if not np.isfinite(table.values[:, place]).any():
            continue
        unit = _unit(name)
        stream = stream_of(unit or "") or next((s for s, p in _STREAM_OF_NAME if p.search(name)), None)
        if stream is None:
            yield None, name
            continue
        axis = axis or _axis(table, time)
        named = table.names[time] if time is not None else NO_TIME
        drafted = Drafted(file, name, _channel(name), unit)
        yield DraftedStream(stream, axis[0], named, axis[1], [drafted]), name


def _axis(table: Table, time: int | None) -> tuple[float, str]:
    """Rate in Hz and unit of a time column: as its name says, else what gives a rate between 5 Hz and 20 kHz."""
    if time is None:
        raise RecordingError(
            f"{table.path} has no time column; add one, or write the dataset TOML yourself with time = {NO_TIME!r}"
        )
    values = table.values[:, time]
    values = values[np.isfinite(values)]
    steps = np.diff(values)
    if len(values) < 3 or not np.median(steps) > 0:
        raise RecordingError(f"{table.path}: the times of column {table.names[time]!r} do not ascend")
    said = _unit(table.names[time])
    median = float(np.median(steps))
    unit = (
        said
        if said in TIME_UNITS
        else next((u for u, f in TIME_UNITS.items() if 5 <= 1 / (median * f) <= 20_000), "s")
    )
    gapless = steps[steps < 1.5 * median]
    return _likely_rate(1.0 / (float(gapless.mean()) * TIME_UNITS[unit]), len(values)), unit


def _likely_rate(rate: float, rows: int) -> float:
    """The whole or known rate that ``rate`` is, if over all rows the times do not tell them apart."""
    likely = min((max(1.0, float(round(rate))), *_KNOWN_RATES), key=lambda known: abs(rate - known))
    return likely if abs(rate / likely - 1) * rows < TIME_TOLERANCE else rate


def _unit(name: str) -> str | None:
    found = _UNIT.search(name)
    return _UNITS.get(found.group(1).strip().lower()) if found else None


def _channel(name: str) -> str:
    """The column's name without its unit, in lower case, with underscores."""
    return re.sub(r"\W+", "_", _UNIT.sub("", name).strip().lower()).strip("_") or "channel"


def _join(streams: dict[str, DraftedStream], one: DraftedStream, path: Path) -> None:
    into = streams.setdefault(one.name, one)
    if into is one:
        return
    if abs(into.rate_hz / one.rate_hz - 1) > _SAME_RATE:
        raise RecordingError(
            f"{path}: column {one.columns[0].column!r} has {one.rate_hz:.6g} Hz and {into.columns[0].column!r} "
            f"{into.rate_hz:.6g} Hz; the columns of {one.name} must have one rate: leave some out"
        )
    if (into.time, into.time_unit) != (one.time, one.time_unit) and into.columns[0].file != one.columns[
        0
    ].file:
        raise RecordingError(
            f"{path}: its time column must be called {into.time!r}, as in {into.columns[0].file}"
        )
    names = [column.channel for column in into.columns]
    (drafted,) = one.columns
    if drafted.channel in names:
        prefix = f"{drafted.file}_{drafted.channel}".lower()
        drafted = Drafted(drafted.file, drafted.column, prefix, drafted.unit)
    into.columns.append(drafted)


def _text(
    source: Path,
    keys: dict[Path, str],
    streams: Mapping[str, DraftedStream],
    other: Sequence[str],
    mass_kg: float | None,
    beside: Path | None,
) -> Iterator[str]:
    root = (source if is_folder(source) else source.parent).resolve()
    yield "# Drafted by edgetool data --suggest: read every line; docs/DATA.md says what each means."
    yield f"format = {toml_text(FORMAT)}"
    yield 'kind = "measured"'
    yield f"root = {toml_text(str(root) if beside is None else os.path.relpath(root, beside.resolve()))}"
    yield ""
    yield "[[recording]]"
    yield f"name = {toml_text(source.stem)}"
    yield 'person = "person-1" # groups recordings: one name for each person'
    yield 'task = "level"      # or what was done'
    yield "# mass_kg = 71.4    # TODO: the body mass" if mass_kg is None else f"mass_kg = {mass_kg:g}"
    files = ", ".join(f"{toml_key(key)} = {toml_text(path.name)}" for path, key in keys.items())
    yield f"files = {{ {files} }}"
    for stream in streams.values():
        yield from _stream_text(stream)
    if other:
        yield ""
        yield "# Left out, neither a sensor's nor a moment's by name or unit:"
        yield from (f"#   {terminal_text(name)}" for name in other)


def _stream_text(stream: DraftedStream) -> Iterator[str]:
    first = stream.columns[0].file
    yield ""
    yield f"[{stream.name}]"
    yield f"file = {toml_text(first)}"
    yield f"rate_hz = {stream.rate_hz:.9g}"
    yield f"time = {toml_text(stream.time)}"
    if stream.time_unit != "s":
        yield f"time_unit = {toml_text(stream.time_unit)}"
    yield f"# jitter_ms = {1e3 * TIME_TOLERANCE / stream.rate_hz:.2g}   # times may be so far off; and rows that may be filled:"
    yield "# fill_rows = 1"
    yield f"[{stream.name}.channels]"
    for column in stream.columns:
        entry = [f"column = {toml_text(column.column)}"]
        entry += [f"unit = {toml_text(column.unit)}"] if column.unit else []
        entry += [f"file = {toml_text(column.file)}"] if column.file != first else []
        todo = "" if column.unit else " # TODO: unit, the header does not say"
        yield f"{toml_key(column.channel)} = {{ {', '.join(entry)} }}{todo}"
