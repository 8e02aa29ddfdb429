"""The daemon: sensors in, joint moments out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.api.waiting import until_stopped
from toolkit.errors import UsageError
from toolkit.files import write_json
from toolkit.progress import Progress

if TYPE_CHECKING:
    from runtime.settings import Settings
    from runtime.status.status import DaemonStatus

DEMO_PORT = 8765


def run(
    config: str | Path | None = None,
    *,
    check: bool = False,
    demo: bool = False,
    engine: str | None = None,
    port: int | None = None,
    realtime: bool = False,
    seconds: float | None = None,
    json: str | Path | None = None,
    show: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> DaemonStatus | None:
    """Read sensors, estimate joint moments and publish them with their age and state, until Ctrl-C or for ``seconds``.

    ``config`` is a TOML file (docs/DAEMON.md); ``demo`` needs none: simulated sensors, the shipped model and a dashboard at
    ``port`` (None: 8765, 0: any free one) on ``engine`` (``litert``, ``native`` or ``tflite-runtime``). ``check`` only
    passes what would run, line by line, to ``show``, and returns None. ``progress`` is called while the demo's model
    is converted, which is done once. ``realtime`` asks for real-time priority, so that moments are in time on a busy
    computer (docs/DAEMON.md; without permission a warning). ``json`` writes the status at the
    end, which is also returned.

    Raises InputError for a config with a mistake, BundleError for a model that was changed, LinkError if no
    source can be opened.
    """
    if demo == (config is not None):
        raise UsageError("give either a CONFIG file or --demo")
    if not demo and (engine is not None or port is not None):
        raise UsageError(
            "--engine and --port are for --demo; in a config they are model.engine and server.port"
        )
    settings = _settings(config, engine, port, progress)
    if realtime and settings.service.realtime is None:
        from runtime.daemon.priority import REALTIME

        settings = replace(settings, service=replace(settings.service, realtime=REALTIME))
    if check:
        from runtime.daemon.check import check as checked

        for line in checked(settings):
            if show is not None:
                show(line)
        return None
    from runtime.daemon.process import serve

    status = until_stopped(lambda stop: serve(settings, seconds, stop))
    if json is not None:
        write_json(Path(json), status.to_json())
    return status


def _settings(
    config: str | Path | None, engine: str | None, port: int | None, progress: Progress | None
) -> Settings:
    if config is not None:
        from runtime.config import read_config

        return read_config(config)
    from runtime.daemon.demo import demo_bundle, demo_settings
    from runtime.engines import DEFAULT_ENGINE

    bundle = demo_bundle(progress=progress)
    return demo_settings(bundle, engine or DEFAULT_ENGINE, DEMO_PORT if port is None else port)
