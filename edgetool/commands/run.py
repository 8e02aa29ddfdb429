"""``edgetool run``: the daemon, sensors in and joint moments out; a thin wrapper around :func:`edgetool.run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgetool.commands.shared import PATH, SETTINGS, json_option, seconds_option


@click.command(name="run", epilog="Example: edgetool run --demo", context_settings=SETTINGS)
@click.argument("config", required=False, type=PATH, metavar="[CONFIG]")
@click.option("--check", is_flag=True, help="Say what would run, then exit, with code 2 if it cannot.")
@click.option(
    "--demo", is_flag=True, help="Simulated sensors, the shipped model and a dashboard; no hardware."
)
@click.option("--engine", metavar="NAME", help="For --demo: litert (default), native or tflite-runtime.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    metavar="N",
    help="For --demo: port of the dashboard. Default: 8765; 0: any free port.",
)
@click.option(
    "--realtime",
    is_flag=True,
    help="Go before all ordinary programs (SCHED_FIFO), so that moments are in time on a busy computer.",
)
@seconds_option
@json_option("Write the status at the end.")
def command(config: Path | None, demo: bool, **options: Any) -> None:
    """Read sensors, estimate joint moments, publish them with their age and state, until Ctrl-C.

    CONFIG is a TOML file (docs/DAEMON.md, examples/run.toml). SIGTERM shuts it down cleanly,
    SIGHUP reloads the model in place.
    """
    import os

    # One thread for arithmetic: pools of threads cost memory and give these small products nothing.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from edgetool.api.live import run
    from toolkit.progress import shown
    from toolkit.terminal import say

    if demo and config is None:
        say("The demo's data are synthetic: simulated sensors, no person and no hardware.", err=True)
    with shown(quiet=not demo) as progress:
        run(config, demo=demo, **options, show=say, progress=progress)
