"""``edgetool scan``: what sensors can be reached; a face of ``firmware_bridge.tools.scan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from firmware_bridge.tools.scan import Found


@click.command(
    name="scan",
    epilog="Example: edgetool scan --seconds 3",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80, "show_default": True},
)
@click.option(
    "--seconds", default=5.0, type=click.FloatRange(0.1, 300), help="How long to listen for BLE and LSL."
)
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE", help="Write what was found.")
def command(seconds: float, json: Path | None) -> None:
    """List serial ports, BLE devices and LSL streams with the URL that opens each."""
    import asyncio
    from dataclasses import asdict

    from firmware_bridge.tools.scan import serial_ports
    from toolkit.files import write_json

    ports = serial_ports()
    nodes, streams, trouble = asyncio.run(_listen(seconds))
    found = [*ports, *nodes, *streams]
    for each in found:
        signal = "" if each.rssi_dbm is None else f"{each.rssi_dbm} dBm"
        mark = "edgetool node" if each.ours else ""
        what = f"{each.what[:22]:<24}{signal:<9}{mark}" if signal or mark else each.what
        click.echo(f"{each.url:<32}{what}".rstrip())
    if not ports:
        click.echo("no serial ports", err=True)
    if trouble is not None:
        click.echo(trouble, err=True)
    if json is not None:
        write_json(json, {"found": [asdict(each) for each in found], "ble_trouble": trouble})


async def _listen(seconds: float) -> tuple[list[Found], list[Found], str | None]:
    """BLE and LSL at the same time."""
    import asyncio

    from firmware_bridge.tools.scan import ble_nodes, lsl_streams

    (nodes, trouble), streams = await asyncio.gather(
        ble_nodes(seconds), asyncio.to_thread(lsl_streams, seconds)
    )
    return nodes, streams, trouble
