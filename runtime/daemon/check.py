"""What ``edgetool run --check`` finds out without sensors."""

from __future__ import annotations

from runtime.daemon.model import load_model
from runtime.pipeline.intake import Intake
from runtime.server import server_class
from runtime.server.access import Access
from runtime.settings import ServerSettings, Settings
from runtime.sinks import open_sink
from toolkit.errors import UsageError


def check(settings: Settings) -> list[str]:
    """What ``edgetool run --check`` says beyond the file: the bundle is whole, the engine runs, inputs and sinks fit it, and
    what the sinks and the server need is there.

    Raises the error of the first that does not. Sensors are not asked: they may be off.
    """
    model = load_model(settings.model)
    contract = model.bundle.contract
    intake = Intake(contract, settings.inputs, settings.alignment, settings.rules)
    for sink in settings.sinks:
        open_sink(sink, contract.outputs).check()
    if (
        settings.recording is not None
        and settings.recording.folder.exists()
        and not settings.recording.folder.is_dir()
    ):
        raise UsageError(f"recording.folder {settings.recording.folder} is no folder; choose another")
    lines = [
        f"model     {settings.model.bundle} {model.hash[:12]}",
        f"engine    {model.engine.name} {model.engine.version} {settings.model.scheme}",
        f"outputs   {', '.join(c.name for c in contract.outputs)} at {contract.grid_rate_hz:g} Hz",
    ]
    for item in contract.inputs:
        streams = ", ".join(intake.inputs[item.stream.name].streams)
        lines.append(
            f"input     {item.stream.name}: {len(item.stream.channels)} channels at {item.stream.rate_hz:g} Hz from {streams}"
        )
    lines += [f"source    {url}" for url in settings.sources]
    lines += [f"sink      {open_sink(sink, contract.outputs).name}" for sink in settings.sinks]
    if settings.server is not None:
        lines.append(f"server    {_server(settings.server)}")
    if settings.recording is not None:
        lines.append(f"recording {settings.recording.folder / settings.recording.prefix}-*")
    return lines


def _server(settings: ServerSettings) -> str:
    """Where it would listen; whether the port is free is known when it does."""
    server_class()
    access = Access.of(settings)
    host = f"[{access.host}]" if ":" in access.host else access.host
    return f"http://{host}:{access.port}/{' with a token' if access.token else ''}"
