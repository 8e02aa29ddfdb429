"""The daemon's config, TOML: read, checked whole, every error with its line. docs/DAEMON.md shows all keys.

A key is a line of :data:`SECTIONS`: its name, what it must be, and nothing else is known about it here. What values mean
is checked where they are used, and what is said there is said with the line as well.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from firmware_bridge.sources import open_source
from firmware_bridge.sources.lsl_markers import stream_name
from firmware_bridge.streams.alignment import AlignmentSettings
from runtime.config_inputs import read_input
from runtime.engines import DEFAULT_ENGINE, ENGINES
from runtime.pipeline.input_from import InputFrom
from runtime.pipeline.states import RULE_RANGES, Rules
from runtime.server.access import Access
from runtime.settings import (
    LogSettings,
    ModelSettings,
    PersonSettings,
    RecordingSettings,
    ServerSettings,
    ServiceSettings,
    Settings,
)
from runtime.sinks import open_sink
from toolkit.contract import Channel
from toolkit.errors import EdgetoolError, InputError
from toolkit.reading import read_text
from toolkit.toml_lines import Lines


@dataclass(frozen=True)
class Key:
    """What a value must be: its type in words, and for numbers and choices what is allowed. ``needed``: without a default."""

    kind: str
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()
    needed: bool = False

    @property
    def range(self) -> str:
        """The allowed numbers, without powers of ten."""
        return f"{self.low:.10g} to {self.high:.10g}"

    def trouble(self, value: Any) -> str | None:
        """What is wrong with ``value``, None if nothing is."""
        if self.kind == "own":
            return None
        if self.kind == "number":
            if isinstance(value, bool) or not isinstance(value, int | float):
                return f"it must be a number from {self.range}"
            return None if self.low <= value <= self.high else f"it must be from {self.range}"
        if self.kind == "integer":
            if isinstance(value, bool) or not isinstance(value, int):
                return f"it must be a whole number from {self.range}"
            return None if self.low <= value <= self.high else f"it must be from {self.range}"
        if self.kind == "true or false":
            return None if isinstance(value, bool) else "it must be true or false"
        if self.kind == "texts":
            good = isinstance(value, list) and value and all(isinstance(v, str) and v for v in value)
            if not good:
                return 'it must be a list of at least one text, such as ["foot/imu"]'
            twice = next((v for place, v in enumerate(value) if v in value[:place]), None)
            return f"{twice!r} is given twice; give each once" if twice is not None else None
        if not isinstance(value, str) or not value:
            return "it must be a text"
        if "\0" in value:
            return "it must not hold the character NUL"
        if self.choices and value not in self.choices:
            return f"allowed: {', '.join(self.choices)}"
        return None


def _text(*choices: str, needed: bool = False) -> Key:
    return Key("text", choices=choices, needed=needed)


_FLAG = Key("true or false")
#: The sections and their keys. ``inputs`` has one table an input of the model, ``sinks`` one a sink; labels are free.
SECTIONS: dict[str, dict[str, Key]] = {
    "model": {
        "bundle": _text(needed=True),
        "engine": _text(*ENGINES),
        "scheme": _text("int8", "float32"),
        "watch": _FLAG,
        "calibration": _text(),
        "uncalibrated": _text("refuse", "degraded"),
        "trusted_keys": Key("texts"),
    },
    "sources": {"urls": Key("texts", needed=True)},
    "alignment": {
        "gaps": _text("hold", "interpolate", "invalidate"),
        "reorder_ms": Key("number", 0, 10_000),
        "longest_gap_ms": Key("number", 0, 10_000),
    },
    "states": {name: Key("number", low, high) for name, (low, high) in RULE_RANGES.items()},
    "server": {"host": _text(), "port": Key("integer", 0, 65_535), "token_file": _text()},
    "recording": {
        "folder": _text(needed=True),
        "prefix": _text(),
        "max_gb": Key("number", 0, 1e6),
        "keep_days": Key("number", 0, 36_500),
        "markers": Key("texts"),
    },
    "service": {"nice": Key("integer", -20, 19), "realtime": Key("integer", 0, 50)},
    "person": {"mass_kg": Key("number", 1, 500, needed=True)},
    "log": {"level": _text("debug", "info", "warning", "error"), "form": _text("text", "json")},
}
#: What its values must be is said where they are read (:mod:`runtime.config_inputs`).
_OWN = Key("own")
_INPUT = {
    "from": Key("texts", needed=True),
    "check_names": _FLAG,
    "unit": _OWN,
    "scale": _OWN,
    "axes": _OWN,
    "channels": _OWN,
    "resample": _FLAG,
    "notch_hz": _OWN,
}
#: Options of sinks that name files which are read. (What a sink writes lies in the working folder.)
_SINK_READS = ("password_file", "ca", "cert", "key")
_NEEDED = ("model", "sources")
_ALL = (*SECTIONS, "inputs", "sinks", "labels")


class _Reader:
    """One file's values and lines; every complaint goes through :meth:`wrong`."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        try:
            self.values: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r" \(at line (\d+)", str(error))
            what = str(error)[: found.start()] if found is not None else str(error)
            line = found[1] if found is not None else str(len(text.splitlines()))
            raise InputError(f"{path}:{line}: not TOML: {what}; correct it there") from None
        except (ValueError, RecursionError):  # tomllib's own limits, without a place
            raise InputError(
                f"{path}:1: a number with thousands of digits, or brackets nested hundreds deep; simplify it"
            ) from None
        self._lines = Lines(text)

    def wrong(self, where: tuple[str | int, ...], what: str) -> InputError:
        """The error of the value at ``where``."""
        return InputError(f"{self.path}:{self._lines.of(where)}: {what}")

    def table(self, where: tuple[str | int, ...], value: Any, keys: Mapping[str, Key]) -> dict[str, Any]:
        """``value`` as a table of ``keys``, checked."""
        name = ".".join(map(str, where))
        if not isinstance(value, dict):
            raise self.wrong(where, f"{name} must be a table: write [{name}] on a line of its own")
        for key, given in value.items():
            if key not in keys:
                raise self.wrong((*where, key), f"{name} has no key {key!r}; allowed: {', '.join(keys)}")
            trouble = keys[key].trouble(given)
            if trouble is not None:
                raise self.wrong((*where, key), f"{name}.{key} is {given!r}; {trouble}")
        for key, rule in keys.items():
            if rule.needed and key not in value:
                raise self.wrong(where, f"[{name}] lacks {key!r}; add it")
        return value

    def checked(self, where: tuple[str | int, ...], make: Callable[[], Any]) -> Any:
        """What ``make`` gives; its complaint with the line of ``where``."""
        try:
            return make()
        except EdgetoolError as error:
            raise self.wrong(where, str(error)) from None

    def place(self, where: tuple[str | int, ...], text: str) -> Path:
        """A path in the config is relative to its folder."""
        try:
            return self.path.parent / Path(text).expanduser()
        except RuntimeError:
            raise self.wrong(
                where, f"{text!r} begins with the home of an unknown user; write the path in full"
            ) from None


def read_config(path: str | Path) -> Settings:
    """The settings of a file. InputError ``FILE:LINE: what, what is allowed, what to do`` for the first thing that is wrong."""
    path = Path(path)
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError(f"config {path} cannot be read: {reason}; docs/DAEMON.md shows one") from None
    reader = _Reader(path, text)
    for name in reader.values:
        if name not in _ALL:
            raise reader.wrong((name,), f"section {name!r} is not known; allowed: {', '.join(_ALL)}")
    for name in _NEEDED:
        if name not in reader.values:
            raise reader.wrong((), f"section [{name}] is missing; docs/DAEMON.md shows a complete config")
    return _settings(reader)


def _settings(reader: _Reader) -> Settings:
    sections = {
        name: reader.table((name,), reader.values.get(name, {}), keys if name in reader.values else {})
        for name, keys in SECTIONS.items()
    }
    model, alignment = sections["model"], sections["alignment"]
    for place, url in enumerate(sections["sources"]["urls"]):
        reader.checked(("sources", "urls", place), partial(open_source, url))
    rules = reader.checked(
        ("states",),
        lambda: Rules(**sections["states"], gaps_invalid=alignment.get("gaps") == "invalidate"),
    )
    settings = reader.checked(
        ("alignment",),
        lambda: AlignmentSettings(
            alignment.get("gaps", "hold"),
            alignment.get("reorder_ms", 20) * 1e-3,
            alignment.get("longest_gap_ms", 100) * 1e-3,
        ),
    )
    return Settings(
        model=ModelSettings(
            reader.place(("model", "bundle"), model["bundle"]),
            model.get("engine", DEFAULT_ENGINE),
            model.get("scheme", "int8"),
            model.get("watch", False),
            reader.place(("model", "calibration"), model["calibration"]) if "calibration" in model else None,
            model.get("uncalibrated", "refuse"),
            tuple(
                reader.place(("model", "trusted_keys", place), text)
                for place, text in enumerate(model.get("trusted_keys", ()))
            ),
        ),
        sources=tuple(sections["sources"]["urls"]),
        inputs=_inputs(reader),
        alignment=settings,
        rules=rules,
        sinks=_sinks(reader),
        server=_server(reader, sections["server"]),
        recording=_recording(reader, sections["recording"]),
        log=LogSettings(**sections["log"]),
        service=ServiceSettings(**sections["service"]),
        labels=_labels(reader),
        person=PersonSettings(**sections["person"]),
    )


def _inputs(reader: _Reader) -> dict[str, InputFrom]:
    inputs = reader.values.get("inputs", {})
    if not isinstance(inputs, dict):
        raise reader.wrong(("inputs",), "inputs must be tables: write [inputs.imu] on a line of its own")
    result = {}
    for name, value in inputs.items():
        table = reader.table(("inputs", name), value, _INPUT)
        result[name] = read_input(table, partial(_below, reader, ("inputs", name)))
    return result


def _below(
    reader: _Reader, where: tuple[str | int, ...], keys: tuple[str, ...], make: Callable[[], Any]
) -> Any:
    return reader.checked((*where, *keys), make)


def _sinks(reader: _Reader) -> tuple[Mapping[str, Any], ...]:
    """Sinks are checked by their own room; a table's line is known here."""
    sinks = reader.values.get("sinks", [])
    if not isinstance(sinks, list):
        raise reader.wrong(("sinks",), "sinks must be a list of tables: write [[sinks]] on a line of its own")
    result = []
    for place, sink in enumerate(sinks):
        if not isinstance(sink, dict):
            raise reader.wrong(
                ("sinks", place), 'a sink must be a table with a key url: [[sinks]] url = "ndjson:-"'
            )
        if any(isinstance(value, str) and "\0" in value for value in sink.values()):
            raise reader.wrong(("sinks", place), "a sink's texts must not hold the character NUL")
        if sink in sinks[:place]:
            raise reader.wrong(("sinks", place), f"sink {sink.get('url')!r} is given twice; give each once")
        read = {
            key: str(reader.place(("sinks", place), sink[key]))
            for key in _SINK_READS
            if isinstance(sink.get(key), str)
        }
        reader.checked(("sinks", place), partial(open_sink, sink | read, [Channel("moment", "Nm/kg")]))
        result.append(sink | read)
    return tuple(result)


def _server(reader: _Reader, table: Mapping[str, Any]) -> ServerSettings | None:
    if "server" not in reader.values:
        return None
    token_file = table.get("token_file")
    settings = ServerSettings(
        table.get("host", "127.0.0.1"),
        table.get("port", 8765),
        None if token_file is None else reader.place(("server", "token_file"), token_file),
    )
    reader.checked(("server", "host" if token_file is None else "token_file"), partial(Access.of, settings))
    return settings


def _recording(reader: _Reader, table: Mapping[str, Any]) -> RecordingSettings | None:
    if "recording" not in reader.values:
        return None
    prefix = table.get("prefix", "session")
    if "/" in prefix:
        raise reader.wrong(
            ("recording", "prefix"), f"recording.prefix is {prefix!r}; it must not be a path: use folder"
        )
    folder = reader.place(("recording", "folder"), table["folder"])
    urls = dict.fromkeys(table.get("markers", ()))
    markers = tuple(reader.checked(("recording", "markers"), partial(stream_name, url)) for url in urls)
    return RecordingSettings(folder, prefix, table.get("max_gb", 0.0), table.get("keep_days", 0.0), markers)


def _labels(reader: _Reader) -> dict[str, str]:
    labels = reader.values.get("labels", {})
    if not isinstance(labels, dict):
        raise reader.wrong(("labels",), 'labels must be a table of texts, such as place = "lab 2"')
    for name, value in labels.items():
        if not isinstance(value, str):
            raise reader.wrong(
                ("labels", name), f'labels.{name} is {value!r}; labels must be texts, such as place = "lab 2"'
            )
    return dict(labels)
