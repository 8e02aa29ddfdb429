"""``edgetool monitor``: how sensors and their links are doing; a face of ``firmware_bridge.monitor.monitor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Group


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

    from firmware_bridge.monitor import monitor
    from toolkit.files import write_json

    if sys.stdout.isatty():
        with Live(console=Console(), refresh_per_second=4) as live:
            health = asyncio.run(monitor(sources, seconds, lambda now: live.update(tables(now.to_json()))))
            live.update(tables(health.to_json()))
    else:
        health = asyncio.run(monitor(sources, seconds))
        Console(width=80).print(tables(health.to_json()))
    if json is not None:
        write_json(json, health.to_json())


def tables(state: dict[str, Any]) -> Group:
    """The state as tables of at most 80 columns."""
    from rich.console import Group
    from rich.table import Table

    streams = Table(
        "node", "stream", "ch", "Hz", "measured", "samples", "in gaps", title="Streams", min_width=60
    )
    for each in state["streams"]:
        measured = "" if each["measured_hz"] is None else f"{each['measured_hz']:.1f}"
        row = (each["node"], each["stream"], each["channels"], f"{each['nominal_hz']:g}", measured)
        streams.add_row(*map(str, row), str(each["samples"]), f"{each['rows_in_gaps']}/{each['rows']}")
    heads = ("sent", "delivered", "crc_failed", "gap", "duplicate", "reordered", "dropped_in_host")
    ledger = Table(
        "node", "sent", "deliv.", "crc", "gap", "dup", "reord", "drop", "clock, ms", "ppm", title="Ledger"
    )
    for name, terms in state["ledger"].items():
        if "sent" not in terms:
            continue
        clock = state["nodes"].get(name, {"error_ms": None, "skew_ppm": None})
        error = "" if clock["error_ms"] is None else f"±{clock['error_ms']:.2f}"
        skew = "" if clock["skew_ppm"] is None else f"{clock['skew_ppm']:.0f}"
        ledger.add_row(name, *(str(terms[head]) for head in heads), error, skew)
    links = [f"link {link} {text}" for link, text in state["links"].items()]
    return Group(streams, ledger, *links)
