"""A recording as tables for others' tools: CSV, Parquet, OpenSim .sto, XDF, MCAP. Values are in physical units."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from firmware_bridge.recording.mcap_file import mcap_bytes
from firmware_bridge.recording.tracks import Track, Tracks, load_tracks
from firmware_bridge.recording.xdf import xdf_bytes
from toolkit.errors import MissingDependencyError, RecordingError, UsageError
from toolkit.files import new_folder, write_bytes, write_json
from toolkit.printable import spreadsheet_text, terminal_text

Format = Literal["csv", "parquet", "sto", "xdf", "mcap"]
Fill = Literal["none", "hold", "interpolate"]
LISTING = "recording.json"


@dataclass(frozen=True)
class ExportSummary:
    """The files written, and per stream what is in them."""

    files: tuple[Path, ...]
    streams: tuple[dict[str, Any], ...]
    undescribed_packets: int


def export(
    recording: Path,
    out: Path,
    format: Format,
    fill: Fill = "none",
    progress: Callable[[str, int, int], None] | None = None,
) -> ExportSummary:
    """Write ``recording`` in ``format``: a folder ``out`` with one table a stream and recording.json, or
    one file ``out`` (XDF, MCAP).

    ``fill`` says what stands for samples that were lost: nothing, the last value held, or a straight line between
    neighbours. ``progress`` is told the stage, what is done of it and what there is. Raises RecordingError if the file
    is none, damaged, or without samples; MissingDependencyError for Parquet without pyarrow and MCAP without mcap; OutputError
    if ``out`` cannot be written.
    """
    if format not in get_args(Format) or fill not in get_args(Fill):
        raise UsageError(
            f"format {format!r}, fill {fill!r}: allowed are {', '.join(get_args(Format))}, and {', '.join(get_args(Fill))}"
        )
    say = progress or (lambda _stage, _done, _total: None)
    loaded = load_tracks(recording, lambda done, total: say("reading", done, total))
    if not loaded.tracks:
        raise RecordingError(
            f"{recording} holds no samples with a descriptor ({loaded.undescribed_packets} packets without one); "
            "there is nothing to export"
        )
    listing = tuple(_describe(track) for track in loaded.tracks)
    if fill != "none":
        for track in loaded.tracks:
            _require_plausible(track, recording)
    tracks = [filled(track, fill) for track in loaded.tracks]
    if format in ("xdf", "mcap"):
        say("writing", 0, 1)
        content = xdf_bytes if format == "xdf" else mcap_bytes
        write_bytes(out, content(tracks, loaded.started_wall_ns, loaded.markers, loaded.about))
        return ExportSummary((out,), listing, loaded.undescribed_packets)
    writers: dict[str, Callable[[Track], bytes]] = {"csv": _csv, "sto": _sto, "parquet": _parquet}
    names = _file_names(tracks, format)
    with new_folder(out, replace_if=LISTING) as folder:
        for place, (name, track) in enumerate(zip(names, tracks)):
            say("writing", place, len(tracks))
            write_bytes(folder / name, writers[format](track))
        streams = [{"file": name, **entry} for name, entry in zip(names, listing)]
        write_json(folder / LISTING, _listing(loaded, streams, fill))
    return ExportSummary(tuple(out / name for name in names), listing, loaded.undescribed_packets)


def _require_plausible(track: Track, recording: Path) -> None:
    """RecordingError if filling would make more up than was measured: a counter that jumped, or next to nothing was received.

    The sample numbers of a boot session may say that it lasted twice as long as it did, and 10 s more; and for each value
    that came there may be 20 that did not, and a million more.
    """
    what = f"{recording}: stream {track.stream.name!r} of node {track.node_name!r}"
    rows = 0
    for of_session in track.sessions():
        rows += int(np.ptp(track.number[of_session])) + 1
        counted_s = float(np.ptp(track.number[of_session])) / track.stream.rate_hz
        lasted_s = float(np.ptp(track.host_s[of_session]))
        if counted_s > 2 * lasted_s + 10:
            raise RecordingError(
                f"{what}: its sample numbers span {counted_s:.0f} s, and it was received for {lasted_s:.0f} s: its counter "
                "jumped, and such a hole is not filled; use --fill none"
            )
    if rows * track.values.shape[1] > 20 * track.values.size + 1_000_000:
        raise RecordingError(
            f"{what}: {len(track.number):,} of {rows:,} samples were received, and such holes are not filled; use --fill none"
        )


def filled(track: Track, fill: Fill) -> Track:
    """``track`` with a row for every sample number of each boot session, as ``fill`` says."""
    if fill == "none" or track.missing == 0:
        return track
    parts: dict[str, list[np.ndarray]] = {n: [] for n in ("values", "number", "life", "time_s", "host_s")}
    for rows in track.sessions():
        have = track.number[rows]
        number = np.arange(have[0], have[-1] + 1)
        before = np.searchsorted(have, number, side="right") - 1
        after = np.minimum(np.searchsorted(have, number), len(have) - 1)
        span = np.maximum(have[after] - have[before], 1)
        weight = (number - have[before]) / span if fill == "interpolate" else np.zeros(len(number))
        values = track.values[rows]
        parts["values"].append(values[before] + weight[:, None] * (values[after] - values[before]))
        parts["number"].append(number)
        parts["life"].append(np.full(len(number), track.boot_session[rows][0]))
        for name in ("time_s", "host_s"):
            parts[name].append(np.interp(number, have, getattr(track, name)[rows]))
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return replace(
        track,
        values=joined["values"],
        number=joined["number"],
        boot_session=joined["life"],
        time_s=joined["time_s"],
        host_s=joined["host_s"],
    )


def _describe(track: Track) -> dict[str, Any]:
    return {
        "node": track.node_name,
        "link": track.link,
        "node_number": track.node,
        "stream": track.stream.name,
        "rate_hz": track.stream.rate_hz,
        "samples": len(track.number),
        "missing": track.missing,
        "lives": int(track.boot_session.max()) + 1,
        "channels": [{"name": c.name, "unit": c.unit, "scale": c.scale} for c in track.stream.channels],
    }


def _listing(loaded: Tracks, streams: list[dict[str, Any]], fill: Fill) -> dict[str, Any]:
    return {
        "format": "edgetool export 1",
        "started_wall_ns": loaded.started_wall_ns,
        "closed": loaded.closed,
        "lost_bytes": loaded.lost_bytes,
        "fill": fill,
        "about": dict(loaded.about),
        "markers": [{"time_s": round(time_s, 6), "text": text} for time_s, text in loaded.markers],
        "ledger": loaded.receiver.ledger(),
        "streams": streams,
    }


def _file_names(tracks: list[Track], suffix: str) -> list[str]:
    """NODE-STREAM.SUFFIX in letters that every file system takes; numbered where two would be alike."""
    names: list[str] = []
    for track in tracks:
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{track.node_name}-{track.stream.name}").strip("._-")
        name, count = f"{stem}.{suffix}", 1
        while name.lower() in (other.lower() for other in names):
            count += 1
            name = f"{stem}-{count}.{suffix}"
        names.append(name)
    return names


def _channels(track: Track) -> list[str]:
    return [channel.name for channel in track.stream.channels]


def _column_names(channels: Sequence[str], *taken: str) -> list[str]:
    """The channels' names, with ``_`` behind one that another column has: readers refuse, or mix up, two of a name."""
    names: list[str] = []
    for channel in channels:
        name = channel
        while name in taken or name in names or (name != channel and name in channels):
            name += "_"
        names.append(name)
    return names


def _csv(track: Track) -> bytes:
    """time, host_time, channels; numbers as the shortest text that reads back the same."""
    channels = [spreadsheet_text(name) for name in _channels(track)]
    names = ["time", "host_time", *_column_names(channels, "time", "host_time")]
    quoted = ['"' + n.replace('"', '""') + '"' if re.search(r'[",;\t]', n) else n for n in names]
    lines = [",".join(quoted)]
    for time_s, host_s, row in zip(track.time_s.tolist(), track.host_s.tolist(), track.values.tolist()):
        lines.append(f"{time_s:.6f},{host_s:.6f}," + ",".join(map(repr, row)))
    return ("\n".join(lines) + "\n").encode()


def _sto(track: Track) -> bytes:
    """OpenSim storage: time and channels; spaces in names become underscores, because a space ends a name there."""
    names = _column_names([re.sub(r"\s+", "_", terminal_text(name)) for name in _channels(track)], "time")
    degrees = any(channel.unit in ("deg", "deg/s") for channel in track.stream.channels)
    lines = [
        terminal_text(f"{track.node_name} {track.stream.name}"),
        "version=1",
        f"nRows={len(track.number)}",
        f"nColumns={len(names) + 1}",
        f"inDegrees={'yes' if degrees else 'no'}",
        "endheader",
        "\t".join(["time", *names]),
    ]
    for time_s, row in zip(track.time_s.tolist(), track.values.tolist()):
        lines.append(f"{time_s:.6f}\t" + "\t".join(map(repr, row)))
    return ("\n".join(lines) + "\n").encode()


def _parquet(track: Track) -> bytes:
    """Columns time, host_time, number, life (the boot session) and the channels as float64, each field with its unit."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDependencyError(
            "Parquet needs pyarrow, which is not installed; run: pip install 'edgetool[parquet]', or choose --format csv"
        ) from None
    columns: dict[str, tuple[Any, str]] = {
        "time": (track.time_s, "s"),
        "host_time": (track.host_s, "s"),
        "number": (track.number, ""),
        "life": (track.boot_session, ""),
    }
    arrays = [pyarrow.array(values) for values, _ in columns.values()]
    fields = [
        pyarrow.field(n, a.type, metadata={"unit": unit})
        for (n, (_, unit)), a in zip(columns.items(), arrays)
    ]
    for place, (name, channel) in enumerate(
        zip(_column_names(_channels(track), *columns), track.stream.channels)
    ):
        arrays.append(pyarrow.array(np.ascontiguousarray(track.values[:, place])))
        fields.append(pyarrow.field(name, arrays[-1].type, metadata={"unit": channel.unit}))
    metadata = {"node": track.node_name, "stream": track.stream.name, "rate_hz": repr(track.stream.rate_hz)}
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(arrays, schema=pyarrow.schema(fields, metadata=metadata)), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content
