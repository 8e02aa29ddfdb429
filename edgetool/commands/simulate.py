"""``edgetool simulate``: virtual nodes on a pseudo-terminal, with seeded faults; a face of ``firmware_bridge.simulator``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    name="simulate",
    epilog="Example: edgetool simulate --serial node.port --fault drop=0.01",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80, "show_default": True},
)
@click.option(
    "--serial",
    "port",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Be a serial port that is found at PATH.",
)
@click.option("--ble", is_flag=True, help="Be BLE nodes on a private D-Bus (needs dbus-daemon, dbus-fast).")
@click.option(
    "--data",
    default="synthetic",
    help="What the nodes play: synthetic, a dataset TOML, an NPZ, a folder, or what edgetool record wrote.",
)
@click.option(
    "--nodes",
    default=1,
    type=click.IntRange(1, 64),
    help="How many nodes; they play recordings, or the nodes of one, in turn.",
)
@click.option(
    "--emg-bits", default="16", type=click.Choice(["16", "24"]), help="Size of EMG samples in volts."
)
@click.option(
    "--fault", "faults", multiple=True, metavar="NAME=VALUE", help="See docs/BRIDGE.md; may be repeated."
)
@click.option(
    "--speed",
    default=1.0,
    type=click.FloatRange(0.01, 100),
    help="Play N times as fast, as sensors of N times the rate.",
)
@click.option("--seed", default=0, type=click.IntRange(min=0), help="Seed of the faults.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after this long.")
def command(
    port: Path | None,
    ble: bool,
    data: str,
    nodes: int,
    emg_bits: str,
    faults: tuple[str, ...],
    speed: float,
    seed: int,
    seconds: float | None,
) -> None:
    """Play recordings as virtual sensor nodes that any program can open as a serial port, or find over BLE.

    Prints the source URLs for edgetool monitor and record, and for BLE the bus to set
    in their environment. Runs until Ctrl-C.
    """
    import asyncio
    import time

    from firmware_bridge.protocol.table import MAX_FRAME_BYTES
    from firmware_bridge.simulator import ble_node, pseudo_terminal
    from firmware_bridge.simulator.fake_bluez import PrivateBus
    from firmware_bridge.simulator.faults import Faults
    from firmware_bridge.simulator.source import programmes
    from firmware_bridge.simulator.virtual_link import VirtualLink
    from firmware_bridge.simulator.virtual_node import VirtualNode

    if (port is None) == (not ble):
        raise click.UsageError("give either --serial PATH or --ble")
    size = ble_node.MAX_FRAME if ble else MAX_FRAME_BYTES
    parsed = Faults.parse(dict(_pair(text) for text in faults))
    played = [each.faster(speed) for each in programmes(data, nodes, int(emg_bits))]
    links = [
        VirtualLink(VirtualNode(programme, index, parsed, seed, max_frame=size, streaming=False), index)
        for index, programme in enumerate(played)
    ]
    started, until = time.monotonic(), seconds or float("inf")

    def clock() -> float:
        return time.monotonic() - started

    if port is not None:
        with pseudo_terminal.PseudoTerminal(port.absolute()) as terminal:
            click.echo(f"serial://{terminal.path}")
            asyncio.run(pseudo_terminal.serve(terminal, links, clock, until))
        return
    with PrivateBus() as address:
        lines = [f"export DBUS_SYSTEM_BUS_ADDRESS={address!r}"]
        lines += [f"ble://{ble_node.address_of(index)}" for index in range(nodes)]
        asyncio.run(ble_node.serve(links, address, clock, until, lambda: click.echo("\n".join(lines))))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"--fault {text!r} must be NAME=VALUE, for instance drop=0.01")
    return name, value
