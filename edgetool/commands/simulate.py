"""``edgetool simulate``: virtual sensor nodes with seeded faults; a thin wrapper around :func:`edgetool.simulate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from edgetool.commands.shared import PATH, SETTINGS, SOURCE, F, seconds_option


def _part(name: str, says: str) -> Callable[[F], F]:
    """Option of how long a part of the session lasts that comes before the walk."""
    return click.option(f"--{name}", default=0.0, type=click.FloatRange(0, 600), metavar="N", help=says)


@click.command(
    name="simulate",
    epilog="Example: edgetool simulate --serial node.port --fault drop=0.01",
    context_settings=SETTINGS,
)
@click.option("--serial", type=PATH, metavar="PATH", help="Act as a serial port at PATH.")
@click.option(
    "--ble", is_flag=True, help="Act as BLE nodes on a private D-Bus (needs dbus-daemon, dbus-fast)."
)
@click.option(
    "--data",
    default="synthetic",
    metavar="SOURCE",
    help=f"What the nodes play: {SOURCE}, or what edgetool record wrote.",
)
@click.option(
    "--nodes",
    default=1,
    type=click.IntRange(1, 64),
    metavar="N",
    help="Number of nodes; they play recordings, or the nodes of one, in turn.",
)
@click.option(
    "--emg-bits", default="16", type=click.Choice(["16", "24"]), help="Bits of an EMG sample in volts."
)
@click.option(
    "--fault", multiple=True, metavar="NAME=VALUE", help="A fault (docs/BRIDGE.md); may be repeated."
)
@click.option(
    "--speed",
    default=1.0,
    type=click.FloatRange(0.01, 100),
    metavar="N",
    help="Play N times as fast, like sensors with N times the rate.",
)
@click.option("--seed", default=0, type=click.IntRange(min=0), metavar="N", help="Seed for the faults.")
@click.option(
    "--mounting",
    default="",
    show_default=False,
    metavar="SEED|SEGMENT:X/Y/Z,...",
    help="Mount the IMUs turned: at random, or by so many degrees about their segment's x, y, z.",
)
@click.option(
    "--emg-gains",
    default="",
    show_default=False,
    metavar="SEED|CHANNEL:FACTOR,...",
    help="Scale EMG channels, as other electrodes would.",
)
@_part("stand", "The person stands still for N seconds first.")
@_part("swing", "Then he swings the leg with the sensors for N seconds.")
@_part("contraction", "Then he contracts every muscle, one after the other, for N seconds.")
@seconds_option
def command(emg_bits: str, **options: Any) -> None:
    """Play recordings as virtual sensor nodes that any program can open as a serial port, or find over BLE.

    Prints the source URLs for edgetool monitor and record, and for BLE the bus to set
    in their environment. Runs until Ctrl-C.
    """
    from edgetool.api.sensors import simulate
    from toolkit.terminal import say

    simulate(emg_bits=int(emg_bits), **options, show=say)
