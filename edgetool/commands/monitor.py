"""``edgetool monitor``: how sensors and their links are doing; a face of ``firmware_bridge.tools.monitor.monitor``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from firmware_bridge.tools.monitor import Health


@click.command(
    name="monitor",
    epilog="Example: edgetool monitor 'sim://synthetic?drop=0.01' --seconds 10",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.argument("sources", nargs=-1, required=True, metavar="URL...")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after this long.")
@click.option(
    "--json", type=click.Path(path_type=Path), metavar="FILE", help="Write the last state at the end."
)
def command(sources: tuple[str, ...], seconds: float | None, json: Path | None) -> None:
    """Show streams, rates, the ledger and the clocks of sensors, live, until Ctrl-C or the sources end."""
    import asyncio
    import sys

    from rich.console import Console
    from rich.live import Live

    from edgetool.commands.monitor_tables import tables
    from toolkit.files import write_json

    if sys.stdout.isatty():
        console = Console()
        with Live("Listening ...", console=console, refresh_per_second=4) as live:

            def show(now: Health) -> None:
                live.update(tables(now.to_json(), console.height))

            health = asyncio.run(_monitor(sources, seconds, show))
            show(health)
    else:
        health = asyncio.run(_monitor(sources, seconds, None))
        Console(width=80).print(tables(health.to_json()))
    if json is not None:
        write_json(json, health.to_json())


async def _monitor(
    sources: tuple[str, ...], seconds: float | None, show: Callable[[Health], None] | None
) -> Health:
    """Ctrl-C and SIGTERM end it in order: the last state is shown and written."""
    import asyncio
    import signal

    from firmware_bridge.tools.monitor import monitor

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await monitor(sources, seconds, show, stop)
