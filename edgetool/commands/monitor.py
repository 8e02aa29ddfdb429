"""``edgetool monitor``: how sensors and their links are doing; a thin wrapper around :func:`edgetool.monitor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetool.commands.shared import SETTINGS, config_option, json_option, seconds_option

if TYPE_CHECKING:
    from firmware_bridge.tools.monitor import Health


@click.command(
    name="monitor",
    epilog="Example: edgetool monitor 'sim://synthetic?drop=0.01' --seconds 10",
    context_settings=SETTINGS,
)
@click.argument("sources", nargs=-1, metavar="[URL]...")
@config_option
@seconds_option
@json_option("Write the last state at the end.")
def command(sources: tuple[str, ...], config: Path | None, seconds: float | None, json: Path | None) -> None:
    """Show streams, rates, the ledger and the clocks of sensors, live, until Ctrl-C or the sources end.

    With --config also whether the sensors fit the model, and what is doubted of them.
    """
    import sys

    from rich.live import Live

    from edgetool.api.sensors import monitor
    from edgetool.commands.monitor_tables import tables
    from toolkit.terminal import console

    if not sys.stdout.isatty():
        health = monitor(sources, config=config, seconds=seconds, json=json)
        console(markup=True).print(tables(health.to_json()))
        return
    screen = console(width=None, markup=True)
    with Live("Listening ...", console=screen, refresh_per_second=4) as live:

        def show(now: Health) -> None:
            live.update(tables(now.to_json(), screen.height))

        show(monitor(sources, config=config, seconds=seconds, json=json, show=show))
