"""``edgetool scan``: what sensors can be reached; a face of ``firmware_bridge.scan``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    name="scan",
    epilog="Example: edgetool scan --seconds 3",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80, "show_default": True},
)
@click.option("--seconds", default=5.0, type=click.FloatRange(0.1, 300), help="How long to listen for BLE.")
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE", help="Write what was found.")
def command(seconds: float, json: Path | None) -> None:
    """List serial ports and BLE devices with the URL that opens each."""
    import asyncio
    from dataclasses import asdict

    from firmware_bridge.scan import ble_nodes, serial_ports
    from toolkit.files import write_json

    ports = serial_ports()
    nodes, trouble = asyncio.run(ble_nodes(seconds))
    for each in [*ports, *nodes]:
        signal = "" if each.rssi_dbm is None else f"{each.rssi_dbm} dBm"
        mark = "edgetool node" if each.ours else ""
        click.echo(f"{each.url:<32}{each.what[:22]:<24}{signal:<9}{mark}".rstrip())
    if not ports:
        click.echo("no serial ports", err=True)
    if trouble is not None:
        click.echo(trouble, err=True)
    if json is not None:
        write_json(json, {"found": [asdict(each) for each in [*ports, *nodes]], "ble_trouble": trouble})
