"""What ``edgetool run --check`` finds out without sensors."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runtime.daemon.model import load_model
from runtime.pipeline.intake import Intake
from runtime.server import server_class
from runtime.server.access import Access
from runtime.settings import ServerSettings, Settings
from runtime.sinks import open_sink
from runtime.sinks.places import why_not_a_folder
from toolkit.errors import LinkError, UsageError


def check(settings: Settings, holds: bool = False) -> list[str]:
    """What ``edgetool run --check`` says beyond the file: the bundle is whole, the engine runs, inputs and sinks fit it, and
    what the sinks, the recording and the server need is there and free.

    ``holds``: this daemon may run already and hold its port and files; whether those are free is not asked. Raises the error
    of the first that does not. Sensors are not asked: they may be off.
    """
    model = load_model(settings.model)
    contract = model.bundle.contract
    intake = Intake(contract, settings.inputs, settings.alignment, settings.rules)
    sinks = [open_sink(sink, contract.outputs) for sink in settings.sinks]
    for sink in sinks:
        sink.mass_kg = settings.person.mass_kg
        sink.check()
        if not holds:
            sink.check_free()
    if settings.recording is not None:
        why = why_not_a_folder(settings.recording.folder)
        if why is not None:
            raise UsageError(f"recording.folder {settings.recording.folder}: {why}; choose another")
        if settings.recording.markers:
            from firmware_bridge.sources.lsl import load_pylsl

            load_pylsl()
    lines = [
        f"model     {settings.model.bundle} {model.hash[:12]}, signed with {model.bundle.signer or 'no key'}",
        f"engine    {model.engine.name} {model.engine.version} {settings.model.scheme}",
        f"outputs   {', '.join(c.name for c in contract.outputs)} at {contract.grid_rate_hz:g} Hz",
    ]
    for item in contract.inputs:
        streams = ", ".join(intake.inputs[item.stream.name].streams)
        lines.append(
            f"input     {item.stream.name}: {len(item.stream.channels)} channels at {item.stream.rate_hz:g} Hz from {streams}"
        )
        lines += [f"          {words}" for words in intake.inputs[item.stream.name].words()]
    lines += [f"source    {url}" for url in settings.sources]
    lines += [f"sink      {sink.name}" for sink in sinks]
    if settings.server is not None:
        lines.append(f"server    {_server(settings.server, holds)}")
    if settings.recording is not None:
        lines.append(f"recording {settings.recording.folder / settings.recording.prefix}-*")
        lines += [f"markers   lsl://{name}" for name in settings.recording.markers]
    lines += [f"warning   {warning}" for warning in open_secrets(settings)]
    return lines


def open_secrets(settings: Settings) -> Iterator[str]:
    """Files with passwords or tokens that everybody on this computer may read, a line each."""
    files = {"server.token_file": settings.server.token_file} if settings.server is not None else {}
    for place, sink in enumerate(settings.sinks, 1):
        if isinstance(sink, Mapping):
            files |= {f"{name} of sink {place}": _path(sink.get(name)) for name in ("password_file", "key")}
    for what, path in files.items():
        try:
            if path is not None and stat.S_IMODE(path.stat().st_mode) & stat.S_IROTH:
                yield f"{what} {path} can be read by everybody on this computer: chmod o-r {path}"
        except OSError:
            continue  # whoever reads it says so


def _path(value: Any) -> Path | None:
    return Path(value) if isinstance(value, str) else None


def _server(settings: ServerSettings, holds: bool) -> str:
    """Where it would listen. LinkError if it could not."""
    server_class()
    access = Access.of(settings)
    if not holds:
        _require_free(access)
    host = f"[{access.host}]" if ":" in access.host else access.host
    return f"http://{host}:{access.port}/{' with a token' if access.token else ''}"


def _require_free(access: Access) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            access.host, access.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except (OSError, UnicodeError) as error:
        raise LinkError(
            f"the dashboard cannot listen at {access.host}:{access.port}: {getattr(error, 'strerror', None) or error}; "
            "choose another host or port in [server]"
        ) from None
