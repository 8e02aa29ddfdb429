"""Where estimates go: one file a sink, one line of the table a scheme (docs/SINKS.md).

sink = open_sink("udp://192.168.1.20:9000", contract.outputs)
await sink.open()
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.sinks.interface import Sink
from runtime.sinks.settings import SinkSettings
from toolkit.contract import Channel
from toolkit.errors import ContractError, UsageError


@dataclass(frozen=True)
class Scheme:
    """A line of :data:`SCHEMES`: the module that is imported when it is asked for, its class, and words for help."""

    module: str
    sink: str
    form: str
    what: str


SCHEMES: dict[str, Scheme] = {
    "ndjson": Scheme(
        "runtime.sinks.ndjson",
        "NdjsonSink",
        "ndjson:-  or  ndjson:FILE",
        "one JSON object per line, on standard output or appended to a file",
    ),
    "udp": Scheme(
        "runtime.sinks.udp",
        "UdpSink",
        "udp://HOST:PORT",
        "one binary frame per datagram, for controllers",
    ),
    "unix": Scheme(
        "runtime.sinks.unix_socket",
        "UnixSocketSink",
        "unix:///PATH[?format=ndjson|frames]",
        "a socket that several programs on this machine can read",
    ),
    "mqtt": Scheme(
        "runtime.sinks.mqtt",
        "MqttSink",
        "mqtt://[USER@]HOST[:PORT]/TOPIC",
        "one JSON object per message, to an MQTT broker",
    ),
    "mqtts": Scheme(
        "runtime.sinks.mqtt",
        "MqttSink",
        "mqtts://[USER@]HOST[:PORT]/TOPIC",
        "the same over TLS",
    ),
    "lsl": Scheme(
        "runtime.sinks.lsl",
        "LslSink",
        "lsl://NAME",
        "an outlet of the Lab Streaming Layer",
    ),
    "recording": Scheme(
        "runtime.sinks.recording",
        "RecordingSink",
        "recording:FOLDER",
        "a new NDJSON file at each start, beside the recording of the sensors",
    ),
}


def open_sink(where: str | Mapping[str, Any], outputs: Sequence[Channel], **timing: Any) -> Sink:
    """The sink of ``where``, not yet open (``await sink.open()`` opens it).

    ``where`` is a URL, or a table with the key ``url`` and the sink's options as further keys; ``timing`` are keyword arguments
    of the sink's class, for who knows which it is. Raises UsageError for an unknown scheme or option or a bad value,
    ContractError if two outputs have one name, MissingDependencyError if the sink's package is not installed.
    """
    settings = SinkSettings.of(where)
    scheme = SCHEMES.get(settings.scheme)
    if scheme is None:
        forms = ", ".join(each.form for each in SCHEMES.values())
        raise UsageError(f"sink {settings.text!r}: {settings.scheme!r} is not known; allowed: {forms}")
    names = [channel.name for channel in outputs]
    if not names or len(set(names)) != len(names):
        raise ContractError(f"sink {settings.text!r}: outputs {names} must have names, each a different one")
    kind = getattr(importlib.import_module(scheme.module), scheme.sink)
    sink = kind(settings, tuple(outputs), **timing)
    assert isinstance(sink, Sink)
    return sink
