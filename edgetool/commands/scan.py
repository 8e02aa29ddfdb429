"""``edgetool scan``: what sensors can be reached; a thin wrapper around :func:`edgetool.scan`."""

from __future__ import annotations

from pathlib import Path

import click

from edgetool.commands.shared import SETTINGS, json_option


@click.command(name="scan", epilog="Example: edgetool scan --seconds 3", context_settings=SETTINGS)
@click.option(
    "--seconds",
    default=5.0,
    type=click.FloatRange(0.1, 300),
    metavar="N",
    help="Listen for BLE and LSL for N seconds.",
)
@json_option("Write what was found.")
def command(seconds: float, json: Path | None) -> None:
    """List serial ports, BLE devices and LSL streams with the URL that opens each."""
    from edgetool.api.sensors import scan
    from toolkit.printable import terminal_text
    from toolkit.terminal import say

    reachable = scan(seconds=seconds, json=json)
    for each in reachable.found:
        signal = "" if each.rssi_dbm is None else f"{each.rssi_dbm} dBm"
        mark = "edgetool node" if each.ours else ""
        name = terminal_text(each.what)
        what = f"{name[:22]:<24}{signal:<9}{mark}" if signal or mark else name
        say(f"{terminal_text(each.url):<32}{what}".rstrip())
    if not any(each.url.startswith("serial://") for each in reachable.found):
        say("no serial ports", err=True)
    if reachable.ble_trouble is not None:
        say(reachable.ble_trouble, err=True)
