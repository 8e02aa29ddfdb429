"""``edgetool run``: the daemon, sensors in and moments out; a face of ``runtime.daemon.daemon.Daemon``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from runtime.settings import Settings


@click.command(
    name="run",
    epilog="Example: edgetool run --demo",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.argument("config", required=False, type=click.Path(path_type=Path), metavar="[CONFIG]")
@click.option("--check", is_flag=True, help="Say what would run, and end; exit code 2 if it cannot.")
@click.option("--demo", is_flag=True, help="Simulated sensors, the shipped model, dashboard: no hardware.")
@click.option("--engine", metavar="NAME", help="For --demo: litert (default), native or tflite-runtime.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="For --demo: where the dashboard is (8765; 0: any)."
)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after this long.")
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE", help="Write the status at the end.")
def command(
    config: Path | None,
    check: bool,
    demo: bool,
    engine: str | None,
    port: int | None,
    seconds: float | None,
    json: Path | None,
) -> None:
    """Read sensors, estimate joint moments, publish them with their age and state, until Ctrl-C.

    CONFIG is a TOML file (docs/DAEMON.md, examples/run.toml). SIGTERM ends it in order,
    SIGHUP loads the model again in place.
    """
    import os

    # One thread for arithmetic: pools of threads cost memory and give these small products nothing.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    if demo == (config is not None):
        raise click.UsageError("give either a CONFIG file or --demo")
    if not demo and (engine is not None or port is not None):
        raise click.UsageError(
            "--engine and --port are for --demo; in a config they are model.engine and server.port"
        )
    settings = _demo(engine, port) if demo else _config(config)
    if check:
        from runtime.daemon.check import check as check_all

        click.echo("\n".join(check_all(settings)))
        return
    _run(settings, seconds, json)


def _config(path: Path | None) -> Settings:
    from runtime.config import read_config

    assert path is not None
    return read_config(path)


def _demo(engine: str | None, port: int | None) -> Settings:
    from runtime.daemon.demo import demo_bundle, demo_settings
    from runtime.engines import DEFAULT_ENGINE

    click.echo("The demo's data are synthetic: simulated sensors, no person and no hardware.", err=True)
    return demo_settings(demo_bundle(), engine or DEFAULT_ENGINE, 8765 if port is None else port)


def _run(settings: Settings, seconds: float | None, json: Path | None) -> None:
    import asyncio

    from runtime.daemon.process import serve
    from toolkit.files import write_json

    status = asyncio.run(serve(settings, seconds))
    if json is not None:
        write_json(json, status.to_json())
