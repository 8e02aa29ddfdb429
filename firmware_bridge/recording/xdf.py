"""Writes XDF 1.0 (the Extensible Data Format of LabStreamingLayer), after its published specification.

No kept library writes it (pyxdf only reads), and a file of whole streams needs five kinds of chunk,
[length bytes][length][tag][content]: 1 file header, 2 stream header, 3 samples, 4 clock offset, 6 stream footer.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from xml.sax.saxutils import escape

import numpy as np

from firmware_bridge.recording.tracks import Track

_FILE_HEADER, _STREAM_HEADER, _SAMPLES, _CLOCK_OFFSET, _STREAM_FOOTER = 1, 2, 3, 4, 6
#: Rows in one samples chunk.
_ROWS = 4_096


def xdf_bytes(
    tracks: Sequence[Track],
    started_wall_ns: int,
    markers: Sequence[tuple[float, str]] = (),
    about: Mapping[str, str] | None = None,
) -> bytes:
    """A whole XDF file: one stream a track, double64 in physical units, each sample with its host time in s.

    ``markers`` (host time in s, text) are a stream of texts, as LSL's marker streams are; ``about`` stands in the file header.
    """
    started = datetime.fromtimestamp(started_wall_ns / 1e9, UTC).isoformat()
    parts = [
        b"XDF:",
        _chunk(
            _FILE_HEADER,
            _xml(f"<info><version>1.0</version><datetime>{started}</datetime>{_about(about or {})}</info>"),
        ),
    ]
    for number, track in enumerate(tracks, start=1):
        stream = struct.pack("<I", number)
        parts.append(_chunk(_STREAM_HEADER, stream + _xml(_header(track))))
        for start in range(0, len(track.number), _ROWS):
            parts.append(_chunk(_SAMPLES, stream + _samples(track, slice(start, start + _ROWS))))
        for row in (0, -1):
            # Times are on the host's clock already: its offset from itself is 0.
            parts.append(_chunk(_CLOCK_OFFSET, stream + struct.pack("<dd", track.host_s[row], 0.0)))
        parts.append(_chunk(_STREAM_FOOTER, stream + _xml(_footer(track))))
    if markers:
        parts += _marker_stream(len(tracks) + 1, markers)
    return b"".join(parts)


def _about(about: Mapping[str, str]) -> str:
    entries = "".join(
        f"<entry><name>{_text(name)}</name><value>{_text(value)}</value></entry>"
        for name, value in about.items()
    )
    return f"<about>{entries}</about>" if entries else ""


def _text(value: str) -> str:
    """As XML can hold it: no control characters, which no escape makes legal there."""
    return escape("".join(each if each.isprintable() else " " for each in value))


def _marker_stream(number: int, markers: Sequence[tuple[float, str]]) -> list[bytes]:
    stream = struct.pack("<I", number)
    header = (
        "<info><name>markers</name><type>Markers</type><channel_count>1</channel_count><nominal_srate>0</nominal_srate>"
        "<channel_format>string</channel_format><source_id>markers</source_id><desc></desc></info>"
    )
    samples = b""
    for time_s, text in markers:
        content = text.encode("utf-8", "replace")
        samples += struct.pack("<BdBI", 8, time_s, 4, len(content)) + content
    times = [time_s for time_s, _ in markers]
    footer = (
        f"<info><first_timestamp>{min(times)!r}</first_timestamp><last_timestamp>{max(times)!r}</last_timestamp>"
        f"<sample_count>{len(markers)}</sample_count></info>"
    )
    return [
        _chunk(_STREAM_HEADER, stream + _xml(header)),
        _chunk(_SAMPLES, stream + struct.pack("<BI", 4, len(markers)) + samples),
        _chunk(_STREAM_FOOTER, stream + _xml(footer)),
    ]


def _chunk(tag: int, content: bytes) -> bytes:
    """Length (of tag and content) in four bytes, tag, content."""
    return struct.pack("<BIH", 4, len(content) + 2, tag) + content


def _xml(text: str) -> bytes:
    return b'<?xml version="1.0"?>' + text.encode()


def _header(track: Track) -> str:
    """The stream's description.

    A stream with holes is declared irregular (rate 0), its rate stated beside its channels: readers take samples of a rate
    for evenly spaced and move their stamps (pyxdf by tens of ms about a hole), and our stamps are the measured ones.
    """
    regular = track.missing == 0 and track.boot_session[0] == track.boot_session[-1]
    rate_hz = repr(float(track.stream.rate_hz))
    channels = "".join(
        f"<channel><label>{escape(c.name)}</label><unit>{escape(c.unit)}</unit></channel>"
        for c in track.stream.channels
    )
    return (
        f"<info><name>{escape(track.node_name)} {escape(track.stream.name)}</name>"
        f"<type>{escape(track.stream.name)}</type><channel_count>{len(track.stream.channels)}</channel_count>"
        f"<nominal_srate>{rate_hz if regular else '0'}</nominal_srate><channel_format>double64</channel_format>"
        f"<source_id>link {track.link} node {track.node}</source_id><desc><channels>{channels}</channels>"
        f"<sampling><rate_hz>{rate_hz}</rate_hz><missing_samples>{track.missing}</missing_samples></sampling></desc></info>"
    )


def _footer(track: Track) -> str:
    first, last = (repr(float(track.host_s[place])) for place in (0, -1))
    return (
        f"<info><first_timestamp>{first}</first_timestamp><last_timestamp>{last}</last_timestamp>"
        f"<sample_count>{len(track.number)}</sample_count></info>"
    )


def _samples(track: Track, rows: slice) -> bytes:
    """Count, then for each sample: 8 (bytes of its time stamp), the time stamp, the values."""
    times, values = track.host_s[rows], track.values[rows]
    table = np.empty(
        len(times), np.dtype([("size", "u1"), ("time", "<f8"), ("values", "<f8", (values.shape[1],))])
    )
    table["size"], table["time"], table["values"] = 8, times, values
    return struct.pack("<BI", 4, len(times)) + table.tobytes()
