"""One stream of a recording from the columns of its file: units, signs, mass, what is masked, what is dead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import UNITS, Channel, StreamSpec
from toolkit.data.dataset_file import RecordingUse, StreamUse
from toolkit.data.frames_file import Side, for_side
from toolkit.data.readers.c3d import C3d
from toolkit.data.readers.table import Spans, Table, runs, span_rows
from toolkit.data.regular import regular
from toolkit.data.smoothing import zero_phase_low_pass
from toolkit.data.units import conversion
from toolkit.errors import RecordingError
from toolkit.records import Signal

Float = NDArray[np.float64]

#: A sample counts as railed within this share of the amplifier's limit, and a channel with more than this share of such
#: samples is: a strong contraction that clips once or twice is still EMG.
_AT_THE_RAIL = 0.98
_RAILED_SHARE = 0.01
#: What streams must have in common to be one recording, s.
SHORTEST_S = 0.5


@dataclass(frozen=True)
class StreamContext:
    """Of which recording a stream is: ``where`` names its table in messages, ``spans`` are those of its moments."""

    where: str
    use: RecordingUse
    mass_kg: float
    spans: Spans | None


@dataclass(frozen=True, eq=False)
class ReadStream:
    """A stream's signal, the channels that are missing, and notes for the provenance: what was mended, what was moved."""

    signal: Signal
    missing: tuple[str, ...]
    notes: Mapping[str, str]


def read_stream(
    stream: StreamUse, opened: Callable[[str], Table | C3d], context: StreamContext
) -> ReadStream:
    """The signal, and the channels that are missing: those that the dataset says and those found dead or railed.

    ``opened`` gives the file of a key. Channels of several files are put side by side: all are cut to one start and one end.
    """
    parts = {}
    for file in stream.files():
        own = tuple(column for column in stream.columns if (column.file or stream.file) == file)
        parts[file] = _read_part(replace(stream, file=file, columns=own), opened(file), context)
    if len(parts) == 1:
        return next(iter(parts.values()))
    signals, moved = common_start({file: part.signal for file, part in parts.items()}, context.where)
    rows = min(len(signal.samples) for signal in signals.values())
    values = {
        channel: signal.samples[:rows, place]
        for signal in signals.values()
        for place, channel in enumerate(signal.spec.channels)
    }
    names = [column.channel for column in stream.columns]
    channels = tuple(sorted(values, key=lambda channel: names.index(channel.name)))
    notes = {f"{name}_{file}": text for file, part in parts.items() for name, text in part.notes.items()}
    return ReadStream(
        Signal(
            StreamSpec(stream.name, stream.rate_hz, channels),
            next(iter(signals.values())).start_s,
            np.column_stack([values[channel] for channel in channels]).astype(np.float64),
        ),
        tuple(name for part in parts.values() for name in part.missing),
        {**notes, **moved},
    )


def _read_part(stream: StreamUse, source: Table | C3d, context: StreamContext) -> ReadStream:
    """The channels of one file."""
    side, gone = context.use.side, set(context.use.missing.get(stream.name, ()))
    columns = [replace(column, column=for_side(column.column, side)) for column in stream.columns]
    there = [place for place, column in enumerate(columns) if column.channel not in gone]
    names = [columns[place].column for place in there]
    if isinstance(source, C3d):
        for place in there:
            _require_unit(source, columns[place].column, columns[place].unit, context.where)
        source = source.table(names or [columns[0].column])
    axis = regular(source, stream, names)
    source, times = axis.table, axis.times
    spans = context.spans if stream.name == "moments" else None
    values = np.zeros((len(times), len(columns)))
    values[:, there] = source.columns(names, times, spans)
    dead = unusable(values, stream.dead_below, stream.railed_at)
    channels, factors = [], []
    for column in columns:
        where = f"{context.where} {column.channel}"
        unit, factor = conversion(column.unit, context.mass_kg, stream.name, column.channel, where)
        channels.append(Channel(column.channel, unit))
        factors.append(factor * column.scale)
    values = values * np.array(factors)
    if stream.low_pass_hz is not None:
        values = _low_passed(values, times, stream.low_pass_hz, stream.rate_hz, spans)
    missing = tuple(c.channel for c, bad in zip(columns, dead) if bad or c.channel in gone)
    signal = Signal(StreamSpec(stream.name, stream.rate_hz, tuple(channels)), float(times[0]), values)
    return ReadStream(signal, missing, {f"mended_{stream.name}": axis.note} if axis.note else {})


def finite_spans(stream: StreamUse, source: C3d, side: Side | None, spans: Spans) -> Spans:
    """The parts of ``spans`` in which every column of ``stream`` is a number; a single row is no part."""
    table = source.table([for_side(column.column, side) for column in stream.columns])
    times, known = table.values[:, 0], np.asarray(np.isfinite(table.values).all(axis=1))
    found: list[tuple[float, float]] = []
    for rows in span_rows(times, spans):
        own = times[rows]
        found += [(float(own[a]), float(own[b - 1])) for a, b in runs(known[rows]) if b - a > 1]
    return tuple(found)


def unusable(values: Float, dead_below: float | None, railed_at: float | None) -> NDArray[np.bool_]:
    """Which columns of (rows, columns) are dead or railed; none where neither limit is given."""
    found = np.zeros(values.shape[1], np.bool_)
    if dead_below is not None:
        found |= values.std(axis=0) < dead_below
    if railed_at is not None:
        found |= (np.abs(values) >= _AT_THE_RAIL * railed_at).mean(axis=0) > _RAILED_SHARE
    return found


def _require_unit(trial: C3d, column: str, unit: str, where: str) -> None:
    said = trial.analog_units.get(column, "")
    if said in UNITS and said != unit:
        raise RecordingError(
            f"{trial.path}: analog channel {column!r} is in {said}, and {where} says {unit}; correct unit"
        )


def _low_passed(values: Float, times: Float, cutoff_hz: float, rate_hz: float, spans: Spans | None) -> Float:
    """Labels without delay; each valid span for itself, so that numbers without meaning do not leak into it."""
    if spans is None:
        return zero_phase_low_pass(values, cutoff_hz, rate_hz)
    result = np.array(values)
    for rows in span_rows(times, spans):
        result[rows] = zero_phase_low_pass(values[rows], cutoff_hz, rate_hz)
    return result


def common_start(signals: dict[str, Signal], where: str) -> tuple[dict[str, Signal], dict[str, str]]:
    """Cut ``signals`` to one start. A stream whose sample times fall between the others' is moved by at most
    half a sample period, and the notes say by how much."""
    start = max(signal.start_s for signal in signals.values())
    stop = min(signal.start_s + signal.duration_s for signal in signals.values())
    if stop - start < SHORTEST_S:
        spans = ", ".join(f"{n} {s.start_s:g} to {s.start_s + s.duration_s:g} s" for n, s in signals.items())
        raise RecordingError(
            f"{where}: its streams share {max(stop - start, 0.0):.3g} s and need at least {SHORTEST_S:g} s ({spans})"
        )
    cut: dict[str, Signal] = {}
    notes: dict[str, str] = {}
    for name, signal in signals.items():
        rate = signal.spec.rate_hz
        first = round((start - signal.start_s) * rate)
        moved = start - (signal.start_s + first / rate)
        if abs(moved) > 1e-6:
            notes[f"moved_{name}"] = f"{moved * 1e3:.3f} ms onto the common start"
        cut[name] = Signal(signal.spec, start, signal.samples[first:])
    return cut, notes
