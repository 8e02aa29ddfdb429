"""The dataset TOML as validated records. docs/DATA.md describes the format for users."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

from toolkit.data.frames_file import (
    EventsUse,
    FramesUse,
    PlatesUse,
    Side,
    read_events,
    read_frames,
    read_plates,
    sides_of,
)
from toolkit.data.skeleton import Segment, Skeleton, Turn
from toolkit.data.toml_section import Section, vector_of
from toolkit.errors import RecordingError
from toolkit.printable import terminal_text
from toolkit.reading import read_toml
from toolkit.records import DataKind

FORMAT = "edgetool dataset 1"
#: Seconds in each unit that a time column may have; a date and time is read as seconds.
TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
#: Rows in a row that may be filled: what is longer is not known.
MOST_FILLED = 20


@dataclass(frozen=True)
class ColumnUse:
    """Channel ``channel`` is ``column`` times ``scale``, in ``unit``. ``file``: of another file than its stream's."""

    channel: str
    column: str
    unit: str
    scale: float
    file: str | None = None


@dataclass(frozen=True)
class StreamUse:
    """A stream read from the columns of file ``file`` (a key of a recording's files) at ``rate_hz``.

    A channel whose standard deviation is under ``dead_below``, or that stands at ``railed_at`` either way, is missing; both
    in the column's unit. ``time_unit``, ``fill_rows`` and ``jitter_ms`` say what its time axis is, and what is mended
    (:mod:`toolkit.data.regular`).
    """

    name: str
    file: str
    rate_hz: float
    time: str
    columns: tuple[ColumnUse, ...]
    low_pass_hz: float | None = None
    dead_below: float | None = None
    railed_at: float | None = None
    time_unit: str = "s"
    fill_rows: int = 0
    jitter_ms: float | None = None

    def files(self) -> tuple[str, ...]:
        """The keys of all files that its channels are in, each once."""
        return tuple(dict.fromkeys(column.file or self.file for column in self.columns))


@dataclass(frozen=True)
class VirtualImuUse:
    """The stream "imu" computed from the angles in file ``file``."""

    file: str
    rate_hz: float
    time: str
    unit: str
    low_pass_hz: float | None
    skeleton: Skeleton


@dataclass(frozen=True)
class RecordingUse:
    """One recording and its files (key -> path relative to the root). ``mass_kg`` may be a parameter of its C3D file.

    ``side`` is the leg whose points and channels are read, where columns are named for both.
    """

    name: str
    person: str
    task: str
    mass_kg: float | str
    files: Mapping[str, str]
    heel_strikes_s: tuple[float, ...] | None
    valid_s: tuple[tuple[float, float], ...] | None = None
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    side: Side | None = None


@dataclass(frozen=True)
class DatasetFile:
    """A dataset TOML, read and valid in itself. ``root`` is absolute or relative to the working folder."""

    path: Path
    root: Path
    kind: DataKind
    source: str
    recordings: tuple[RecordingUse, ...]
    streams: tuple[StreamUse, ...]
    virtual_imu: VirtualImuUse | None
    frames: FramesUse | None = None
    plates: PlatesUse | None = None
    events: EventsUse | None = None


def read_dataset_file(path: Path, root: Path | None = None) -> DatasetFile:
    """Read and validate a dataset TOML; ``root`` takes the place of its own. RecordingError names the fault."""
    top = Section(str(path), read_toml(path, "TOML", RecordingError)[0])
    found = top.take("format", str)
    if found != FORMAT:
        raise RecordingError(f"{path}: format is {found!r}; this version reads {FORMAT!r}")
    kind = top.take("kind", str)
    if kind not in get_args(DataKind):
        raise RecordingError(f"{path}: kind is {kind!r}; allowed: {', '.join(get_args(DataKind))}")
    own_root = path.parent / top.take("root", str, ".")
    source = top.take("source", str, terminal_text(path.stem))
    mass_kg = top.take("mass_kg", str, None)
    recordings = _recordings(path, top.take("recording", list), mass_kg)
    tables = {name: top.take(name, dict, None) for name in ("imu", "emg", "moments")}
    virtual = top.take("virtual_imu", dict, None)
    plates = top.take("force_plates", dict, None)
    events = top.take("events", dict, None)
    for of_a_network in (
        "model",
        "target",
    ):  # convert reads them, of a network that is imported (docs/IMPORT.md)
        top.take(of_a_network, dict, None)
    top.done()
    if virtual is not None and tables["imu"] is not None:
        raise RecordingError(f"{path}: both [imu] and [virtual_imu] define the stream imu; keep one")
    if virtual is not None and kind != "virtual-imu":
        raise RecordingError(f"{path}: with a table [virtual_imu], kind must be 'virtual-imu', not {kind!r}")
    streams = tuple(_stream(path, name, table) for name, table in tables.items() if table is not None)
    framed = virtual is not None and "frame" in virtual
    imu = None if virtual is None or framed else _virtual_imu(path, virtual)
    frames = read_frames(path, virtual) if virtual is not None and framed else None
    if not [s for s in streams if s.name != "moments"] and virtual is None:
        raise RecordingError(f"{path} has no sensor stream; give [imu], [emg] or [virtual_imu]")
    dataset = DatasetFile(
        path,
        root or own_root,
        kind,
        source,
        recordings,
        streams,
        imu,
        frames,
        None if plates is None else read_plates(path, plates),
        None if events is None else read_events(path, events),
    )
    _check_files(dataset)
    return dataset


def _check_files(dataset: DatasetFile) -> None:
    uses = [(s.name, file) for s in dataset.streams for file in s.files()]
    others = {
        "virtual_imu": dataset.virtual_imu or dataset.frames,
        "force_plates": dataset.plates,
        "events": dataset.events,
    }
    uses += [(name, use.file) for name, use in others.items() if use is not None]
    sideless = [recording.name for recording in dataset.recordings if recording.side is None]
    if dataset.plates is not None and sideless:
        raise RecordingError(
            f"{dataset.path}: [force_plates] needs to know whose foot stands on them, and recording {sideless[0]!r} has no "
            'sides; give it sides = ["right"], or both'
        )
    for recording in dataset.recordings:
        for table, key in uses:
            if key not in recording.files:
                raise RecordingError(
                    f"{dataset.path}: [{table}] reads file {key!r} and recording {recording.name!r} has only "
                    f"{', '.join(recording.files)}"
                )


def _recordings(path: Path, tables: list[Any], mass_kg: str | None) -> tuple[RecordingUse, ...]:
    result: list[RecordingUse] = []
    for number, table in enumerate(tables, 1):
        where = f"{path}, [[recording]] {number}"
        if not isinstance(table, dict):
            raise RecordingError(f"{where}: it must be a table")
        section = Section(where, table)
        sides = sides_of(section)
        one = _one_recording(section, mass_kg)
        section.done()
        result += [replace(one, name=f"{one.name}/{side}", side=side) for side in sides] if sides else [one]
    names = [r.name for r in result]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise RecordingError(
            f"{path}: each recording needs its own name; {twice[0]!r} is used twice"
            if twice
            else f"{path} has no [[recording]]; it needs at least one"
        )
    return tuple(result)


def _one_recording(section: Section, mass_kg: str | None) -> RecordingUse:
    where = section.where
    files = section.take("files", dict)
    if not files or not all(isinstance(v, str) for v in files.values()):
        raise RecordingError(f'{where}: files must name at least one file, as key = "path"')
    strikes = section.take("heel_strikes_s", list, None)
    if strikes is not None and not all(isinstance(t, int | float) and math.isfinite(t) for t in strikes):
        raise RecordingError(f"{where}: heel_strikes_s must be numbers, in seconds")
    if strikes is not None and any(b <= a for a, b in pairwise(strikes)):
        raise RecordingError(f"{where}: heel_strikes_s must ascend")
    return RecordingUse(
        name=section.take("name", str),
        person=section.take("person", str),
        task=section.take("task", str),
        mass_kg=_mass(section, mass_kg),
        files=files,
        heel_strikes_s=None if strikes is None else tuple(float(t) for t in strikes),
        valid_s=_spans(where, section.take("valid_s", list, None)),
        missing=_missing(where, section.take("missing", dict, {})),
    )


def _mass(section: Section, default: str | None) -> float | str:
    """A number, or the name of the parameter that holds it."""
    own = section.values.get("mass_kg")
    if isinstance(own, str) and ":" in own:
        return str(section.take("mass_kg", str))
    if default is not None and "mass_kg" not in section.values:
        return default
    return float(section.positive("mass_kg"))


def _spans(where: str, values: list[Any] | None) -> tuple[tuple[float, float], ...] | None:
    if values is None:
        return None
    for span in values:
        numbers = isinstance(span, list) and len(span) == 2 and all(isinstance(t, int | float) for t in span)
        if not numbers or not all(math.isfinite(t) for t in span) or span[1] < span[0]:
            raise RecordingError(f"{where}: valid_s must be a list of [start, stop] in seconds, not {span!r}")
    if any(b[0] <= a[1] for a, b in pairwise(values)):
        raise RecordingError(f"{where}: the spans of valid_s must ascend and must not touch")
    return tuple((float(start), float(stop)) for start, stop in values)


def _missing(where: str, table: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    for stream, channels in table.items():
        if not isinstance(channels, list) or not all(isinstance(name, str) for name in channels):
            raise RecordingError(
                f'{where}: missing must be a table of streams, each with a list of channels, as {{ emg = ["soleus"] }}; '
                f"{stream} is {channels!r}"
            )
    return {stream: tuple(channels) for stream, channels in table.items()}


def _stream(path: Path, name: str, table: dict[str, Any]) -> StreamUse:
    section = Section(f"{path}, [{name}]", table)
    file = section.take("file", str)
    rate_hz = section.positive("rate_hz")
    time = section.take("time", str, "time")
    time_unit = section.take("time_unit", str, "s")
    if time_unit not in TIME_UNITS:
        raise RecordingError(f"{section.where}: time_unit is {time_unit!r}; allowed: {', '.join(TIME_UNITS)}")
    fill_rows = section.take("fill_rows", int, 0)
    if isinstance(fill_rows, bool) or not 0 <= fill_rows <= MOST_FILLED:
        raise RecordingError(
            f"{section.where}: fill_rows is {fill_rows!r}; it must be 0 to {MOST_FILLED}: more rows are no gap to fill"
        )
    jitter_ms = section.positive("jitter_ms", None)
    unit = section.take("unit", str, None)
    # Zero-phase filtering looks ahead, so it is for labels only: no other stream has the key.
    low_pass_hz = section.positive("low_pass_hz", None) if name == "moments" else None
    dead_below = section.positive("dead_below", None) if name == "emg" else None
    railed_at = section.positive("railed_at", None) if name == "emg" else None
    channels = section.take("channels", dict)
    section.done()
    if not channels:
        raise RecordingError(f'{section.where}: channels is empty; give channel = "column"')
    columns = tuple(_column(f"{section.where} channels", key, value, unit) for key, value in channels.items())
    return StreamUse(
        name,
        file,
        rate_hz,
        time,
        columns,
        low_pass_hz,
        dead_below,
        railed_at,
        time_unit,
        fill_rows,
        jitter_ms,
    )


def _column(where: str, channel: str, value: Any, unit: str | None) -> ColumnUse:
    if isinstance(value, str):
        value = {"column": value}
    if not isinstance(value, dict):
        raise RecordingError(f'{where}: {channel} must be "column" or {{ column, unit, scale }}')
    section = Section(f"{where}, {channel}", value)
    column = section.take("column", str)
    own_unit = section.take("unit", str, unit)
    scale = section.take("scale", float, 1.0)
    file = section.take("file", str, None)
    section.done()
    if own_unit is None:
        raise RecordingError(f"{where}: {channel} has no unit; give unit for the stream or the channel")
    if scale == 0:
        raise RecordingError(f"{where}: {channel} has scale 0; it must not be 0")
    return ColumnUse(channel, column, own_unit, scale, file)


def _virtual_imu(path: Path, table: dict[str, Any]) -> VirtualImuUse:
    section = Section(f"{path}, [virtual_imu]", table)
    file = section.take("file", str)
    rate_hz = section.positive("rate_hz")
    time = section.take("time", str, "time")
    unit = section.take("unit", str)
    low_pass_hz = section.positive("low_pass_hz", None)
    segments = section.take("segment", list)
    section.done()
    if unit not in ("deg", "rad"):
        raise RecordingError(f"{section.where}: unit is {unit!r}; allowed: deg, rad")
    return VirtualImuUse(file, rate_hz, time, unit, low_pass_hz, _skeleton(section.where, segments))


def _skeleton(where: str, tables: list[Any]) -> Skeleton:
    segments: list[Segment] = []
    for number, table in enumerate(tables, 1):
        if not isinstance(table, dict):
            raise RecordingError(f"{where}: segment {number} must be a table")
        segment = _segment(f"{where} segment {number}", table)
        names = [s.name for s in segments]
        if segment.name in names:
            raise RecordingError(f"{where}: segment {segment.name!r} is defined twice")
        if segment.parent is not None and segment.parent not in names:
            raise RecordingError(
                f"{where}: segment {segment.name!r} has parent {segment.parent!r}, which must be defined before it; "
                f"defined so far: {', '.join(names) or 'none'}"
            )
        segments.append(segment)
    skeleton = Skeleton(tuple(segments))
    if not skeleton.sensed or not skeleton.angle_columns:
        raise RecordingError(f"{where}: it needs at least one turn and one segment with a sensor")
    return skeleton


def _segment(where: str, table: dict[str, Any]) -> Segment:
    section = Section(where, table)
    name = section.take("name", str)
    parent = section.take("parent", str, None)
    at = section.vector("at", None)
    translation = section.take("translation", list, [])
    turns = tuple(_turn(where, value) for value in section.take("turns", list, []))
    sensor = section.vector("sensor", None)
    section.done()
    if translation and (len(translation) != 3 or not all(isinstance(c, str) for c in translation)):
        raise RecordingError(f"{where}: translation must name three columns, x, y and z")
    if parent is None and at is not None:
        raise RecordingError(f"{where}: at is a joint's place in the parent, and {name!r} has no parent")
    if parent is not None and (at is None or translation):
        raise RecordingError(f"{where}: {name!r} has a parent, so it needs at and has no translation")
    return Segment(name, parent, at or (0.0, 0.0, 0.0), turns, sensor, tuple(translation))


def _turn(where: str, value: Any) -> Turn:
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[1], str)):
        raise RecordingError(f'{where}: a turn is [axis, "column"], not {value!r}')
    axis, column = value
    if isinstance(axis, str):
        if axis not in ("x", "y", "z"):
            raise RecordingError(f"{where}: axis {axis!r} is not known; allowed: x, y, z or three numbers")
        return Turn((float(axis == "x"), float(axis == "y"), float(axis == "z")), column)
    vector = vector_of(axis, f"{where}: axis")
    if not any(vector):
        raise RecordingError(f"{where}: axis {list(vector)} has no direction; give a vector that is not 0")
    return Turn(vector, column)
