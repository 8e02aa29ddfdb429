"""The load a host must carry: ``python -m benchmarks.studies.bridge_load``.

8 virtual nodes (``--nodes``), each 6 int16 at 200 Hz and 4 int16 at 1 kHz, for 60 s. ``--live`` sends them in real time over
pseudo-terminals (:mod:`benchmarks.studies.bridge_live`); without it they are given to one session as fast as it takes them, and
the time from a chunk's last byte to its rows leaves out what the operating system and the transport add. Measured: frames lost
in the host, the share of one core that decoding, clocks and alignment need (processor time over the time simulated), and the
latency. The machine may be busy with other things: processor time is little affected, p99 is.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np

from benchmarks.studies.bridge_live import measure_live
from benchmarks.studies.bridge_nodes import Load, Nodes
from firmware_bridge.items import Item
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.streams.session import Session
from toolkit.files import write_json


def prepare(nodes: int, seconds: float) -> tuple[list[Item], list[VirtualLink]]:
    """All items in order of arrival, made before anything is measured."""
    made = Nodes(nodes, keep_sent=True)
    items = [item for _ in range(int(seconds / Nodes.STEP_S)) for item in made.step()]
    return sorted(items, key=lambda item: item.arrival_ns), made.links


def measure(nodes: int = 8, seconds: float = 60.0) -> Load:
    """Carry the load once."""
    items, links = prepare(nodes, seconds)
    session, rows = Session(), 0
    took_s = np.empty(len(items))
    began = time.process_time()
    for place, item in enumerate(items):
        start = time.perf_counter()
        step = session.process(item)
        took_s[place] = time.perf_counter() - start
        rows += sum(len(each.valid) for each in step.rows.values())
    core_share = (time.process_time() - began) / seconds
    balance = session.receiver.balance()
    p50, p99 = np.percentile(took_s, [50, 99]) * 1e3
    return Load(
        nodes,
        seconds,
        sum(len(each.frames) for link in links for each in link.sent),
        balance.delivered,
        rows,
        core_share,
        float(p50),
        float(p99),
        float(took_s.max() * 1e3),
    )


@click.command()
@click.option("--seconds", default=60.0, show_default=True, help="How long the nodes send.")
@click.option("--nodes", default=8, show_default=True, help="How many.")
@click.option("--live", is_flag=True, help="In real time, over pseudo-terminals.")
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures.")
def main(seconds: float, nodes: int, live: bool, json: Path | None) -> None:
    """Measure the host's share of the load."""
    if live:
        load = measure_live(nodes, seconds)
    else:
        load = measure(nodes, seconds)
    how = "over pseudo-terminals, in real time" if live else "simulated"
    click.echo(
        f"{load.nodes} nodes, {load.seconds:g} s {how}, {load.frames_sent} frames sent, {load.rows} rows"
    )
    waiting = load.frames_sent - load.frames_delivered
    click.echo(
        f"not delivered: {waiting}" + ("" if live else " (frames still on their way at the end included)")
    )
    limit = " (limit 15)" if nodes == 8 else ""
    click.echo(f"decode, clocks and alignment: {100 * load.core_share:.1f} % of one core{limit}")
    if load.process_share is not None:
        click.echo(f"the whole host process: {100 * load.process_share:.1f} % of one core")
    if load.memory_mb is not None:
        early, late = load.memory_mb
        click.echo(f"resident memory: {early:.1f} MB after a tenth of the time, {late:.1f} MB at the end")
    what = "last byte written" if live else "chunk"
    click.echo(
        f"{what} to rows: median {load.p50_ms:.3f} ms, p99 {load.p99_ms:.3f} ms (limit 2), worst {load.worst_ms:.1f} ms"
    )
    if load.read_p99_ms is not None:
        click.echo(f"read by the host to rows: p99 {load.read_p99_ms:.3f} ms (limit 2)")
    if json is not None:
        write_json(json, asdict(load))


if __name__ == "__main__":
    main()
