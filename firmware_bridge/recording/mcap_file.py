"""Writes MCAP (mcap.dev), through its own library (extra ``mcap``): for Foxglove, PlotJuggler and what else reads it.

A topic a stream, ``/NODE/STREAM``, one JSON message a sample with a field for each channel; markers are a topic of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from firmware_bridge.recording.tracks import Track
from toolkit.errors import MissingDependencyError

MARKERS = "/markers"


def mcap_bytes(
    tracks: Sequence[Track],
    started_wall_ns: int,
    markers: Sequence[tuple[float, str]] = (),
    about: Mapping[str, str] | None = None,
) -> bytes:
    """A whole MCAP file; messages are in order of their time, Unix time in ns, of samples when they were taken.

    MissingDependencyError without the library.
    """
    try:
        from mcap.writer import Writer
    except ImportError:
        raise MissingDependencyError(
            "MCAP needs mcap, which is not installed; run: pip install 'edgetool[mcap]', or choose --format xdf"
        ) from None
    stream = BytesIO()
    writer = Writer(stream)
    writer.start(profile="", library="edgetool")
    writer.add_metadata("recording", dict(about or {}))
    messages: list[tuple[int, int, int, dict[str, Any]]] = []
    topics: list[str] = []
    for track in tracks:
        topic = _unused(f"/{_part(track.node_name)}/{_part(track.stream.name)}", (*topics, MARKERS))
        topics.append(topic)
        channel = writer.register_channel(
            topic,
            "json",
            writer.register_schema(topic[1:], "jsonschema", _schema(track)),
            {"rate_hz": repr(track.stream.rate_hz), "link": str(track.link), "node": str(track.node)},
        )
        names = [each.name for each in track.stream.channels]
        for number, time_s, row in zip(track.number.tolist(), track.host_s.tolist(), track.values.tolist()):
            messages.append(
                (_ns(started_wall_ns, time_s), channel, number % (1 << 32), dict(zip(names, row)))
            )
    if markers:
        schema = {"type": "object", "properties": {"text": {"type": "string"}}}
        channel = writer.register_channel(
            MARKERS, "json", writer.register_schema("marker", "jsonschema", json.dumps(schema).encode()), {}
        )
        for number, (time_s, text) in enumerate(markers):
            messages.append((_ns(started_wall_ns, time_s), channel, number, {"text": text}))
    for time_ns, channel, sequence, value in sorted(messages, key=lambda each: each[0]):
        writer.add_message(channel, time_ns, json.dumps(value).encode(), time_ns, sequence)
    writer.finish()
    return stream.getvalue()


def _ns(started_wall_ns: int, time_s: float) -> int:
    """Unix time in ns, within what the format holds."""
    return min(max(started_wall_ns + round(time_s * 1e9), 0), (1 << 64) - 1)


def _part(name: str) -> str:
    """A name as one part of a topic."""
    return name.replace("/", "_")


def _unused(topic: str, taken: Sequence[str]) -> str:
    count, name = 1, topic
    while name in taken:
        count += 1
        name = f"{topic}-{count}"
    return name


def _schema(track: Track) -> bytes:
    """JSON Schema of a sample: a number a channel, its unit in the description."""
    fields = {each.name: {"type": "number", "description": each.unit} for each in track.stream.channels}
    return json.dumps({"type": "object", "properties": fields}).encode()
