"""Eight sensor nodes for the daemon's load: ``python -m benchmarks.studies.daemon_nodes FOLDER``, a pseudo-terminal each.

Every node has 6 channels at 200 Hz; four are the IMUs of the model, the other four also carry its EMG at 1 kHz. They play
synthetic gait, through the frames, clocks and packet sizes of real nodes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from firmware_bridge.simulator.faults import Faults
from firmware_bridge.simulator.pseudo_terminal import PseudoTerminal, serve
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import Programme, VirtualNode
from toolkit.contract import Channel, StreamSpec
from toolkit.data import load
from toolkit.records import Recording, Signal

IMUS = ("foot", "shank", "thigh", "trunk")
#: EMG channels of the other four nodes.
MUSCLES = (3, 2, 2, 2)
NODES = (*IMUS, *(f"emg{i}" for i in range(len(MUSCLES))))


def recordings() -> dict[str, Recording]:
    """What each node measures, cut out of one synthetic recording."""
    whole = load("synthetic:people=1")[1]
    imu, emg = whole.signals["imu"], whole.signals["emg"]
    result = {}
    for place, name in enumerate(IMUS):
        part = _columns(imu, range(6 * place, 6 * place + 6), f"{name}_")
        result[name] = replace(whole, name=name, signals={"imu": part}, moments=None)
    first = 0
    noise = np.random.default_rng(0).normal(0, 1, imu.samples[:, :6].shape)
    for name, count in zip(NODES[len(IMUS) :], MUSCLES):
        signals = {
            "imu": _columns(replace(imu, samples=imu.samples + 0.01 * noise[:, :1]), range(6), "foot_"),
            "emg": _columns(emg, range(first, first + count), ""),
        }
        result[name] = replace(whole, name=name, signals=signals, moments=None)
        first += count
    return result


def inputs() -> dict[str, list[str]]:
    """``from`` of the model's inputs, for the daemon's config."""
    return {
        "imu": [f"{name}/imu" for name in IMUS],
        "emg": [f"{name}/emg" for name in NODES[len(IMUS) :]],
    }


def _columns(signal: Signal, columns: range, prefix: str) -> Signal:
    """Some channels of a stream, their names without ``prefix``."""
    channels = tuple(
        Channel(signal.spec.channels[i].name.removeprefix(prefix), signal.spec.channels[i].unit)
        for i in columns
    )
    spec = StreamSpec(signal.spec.name, signal.spec.rate_hz, channels)
    return Signal(spec, signal.start_s, signal.samples[:, list(columns)])


def nodes(folder: Path, seconds: float) -> int:
    """Play until ``seconds`` are over; the bytes that found no room."""
    faults = Faults(drift_ppm=25.0)
    links = [
        VirtualLink(VirtualNode(Programme.of(recording, name), place, faults, place, streaming=False), place)
        for place, (name, recording) in enumerate(recordings().items())
    ]
    began = time.monotonic()

    async def all_of_them(terminals: list[PseudoTerminal]) -> int:
        jobs = (
            serve(terminal, [link], lambda: time.monotonic() - began, seconds)
            for terminal, link in zip(terminals, links)
        )
        return sum(await asyncio.gather(*jobs))

    with contextlib.ExitStack() as stack:
        terminals = [stack.enter_context(PseudoTerminal(folder / name)) for name in NODES]
        click.echo("ready")
        return asyncio.run(all_of_them(terminals))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--seconds", default=60.0)
@click.option(
    "--realtime", is_flag=True, help="Above all else (SCHED_FIFO): sensors send whatever this computer does."
)
def main(folder: Path, seconds: float, realtime: bool) -> None:
    """Eight nodes at FOLDER/foot, FOLDER/shank, ..."""
    if realtime:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(20))
    lost = nodes(folder.absolute(), seconds)
    click.echo(f"bytes without room: {lost}")


if __name__ == "__main__":
    main()
