"""A recording played again by virtual nodes: what sensors once sent, from ports and over links that can be disturbed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.protocol.table import Format
from firmware_bridge.recording.file import MARKER
from firmware_bridge.recording.tracks import Track, load_tracks
from firmware_bridge.simulator.virtual_node import Programme
from firmware_bridge.streams.receiver import NodeKey
from toolkit.errors import RecordingError

#: All of it is held in memory: 24 channels at 200 Hz and 9 at 1 kHz are 0.8 GB then.
_LONGEST_S = 4 * 3600.0


def is_recording(path: Path) -> bool:
    """Whether ``path`` is a file that begins as :mod:`firmware_bridge.recording.file` writes it."""
    try:
        with path.open("rb") as file:
            return file.read(len(MARKER)) == MARKER
    except (OSError, ValueError):
        return False


def programmes_of(path: Path) -> list[Programme]:
    """One a node, in the order of links and numbers, with the node's own descriptor and raw values.

    They begin when all streams had come and end with the first that ended. A sample that is missing repeats the one before
    it. Raises RecordingError if that leaves nothing, or more than four hours.
    """
    loaded = load_tracks(path)
    if not loaded.tracks:
        raise RecordingError(f"{path} holds no samples with a descriptor; there is nothing to play")
    start_s = max(float(track.time_s.min()) for track in loaded.tracks)
    stop_s = min(float(track.time_s.max()) + 1 / track.stream.rate_hz for track in loaded.tracks)
    if not 0 < stop_s - start_s <= _LONGEST_S:
        raise RecordingError(
            f"{path} has {stop_s - start_s:.1f} s in which all its streams are there; virtual nodes play up to "
            f"{_LONGEST_S:.0f} s; as it is: replay://{path}"
        )
    nodes: dict[NodeKey, list[Track]] = {}
    for track in loaded.tracks:
        nodes.setdefault(NodeKey(track.link, track.node), []).append(track)
    return [
        Programme(
            replace(loaded.receiver.descriptors[key], streams=tuple(track.stream for track in tracks)),
            {track.stream.stream: _table(track, start_s, stop_s) for track in tracks},
        )
        for key, tracks in sorted(nodes.items())
    ]


def _table(track: Track, start_s: float, stop_s: float) -> NDArray[np.int32] | NDArray[np.float32]:
    """Raw values at start + k / rate, shape (rows, channels)."""
    rate_hz = track.stream.rate_hz
    rows = max(1, int((stop_s - start_s) * rate_hz + 1e-6))
    place = np.rint((track.time_s - start_s) * rate_hz).astype(np.int64)
    inside = np.flatnonzero((place >= 0) & (place < rows))
    if not len(inside):  # a silence from before the start to after the end
        inside, place = np.array([0]), np.zeros_like(place)
    came = np.full(rows, -1)
    came[place[inside]] = inside
    held = np.maximum.accumulate(came)
    held[held < 0] = inside[0]
    scales = np.array([channel.scale for channel in track.stream.channels])
    raw = track.values[held] / scales
    if track.stream.format is Format.FLOAT32:
        return np.asarray(raw, np.float32)
    return np.asarray(np.rint(raw), np.int32)
