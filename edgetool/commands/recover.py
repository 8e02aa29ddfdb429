"""``edgetool recover``: what is whole in a damaged recording; a thin wrapper around :func:`edgetool.recover`."""

from __future__ import annotations

from pathlib import Path

import click

from edgetool.commands.shared import PATH, SETTINGS, json_option


@click.command(
    name="recover",
    epilog="Example: edgetool recover damaged.etl --out mended.etl",
    context_settings=SETTINGS,
)
@click.argument("recording", type=PATH)
@click.option(
    "--out", required=True, type=PATH, metavar="FILE", help="The mended recording; never overwritten."
)
@json_option("Write the report.")
def command(recording: Path, out: Path, json: Path | None) -> None:
    """Copy every intact block of a recording that was cut or damaged, wherever that is."""
    from edgetool.api.sensors import recover
    from toolkit.terminal import say

    report = recover(recording, out=out, json=json)
    say(f"Wrote {out}: {report.blocks} whole blocks with {report.chunks} chunks")
    say(f"Damaged places: {report.damages}, with {report.lost_bytes} bytes that belong to no whole block")
    if not report.closed:
        say("The recording was not closed: whatever came after its last whole block is missing")
    if report.snapshot_replaced:
        say("Its first snapshot was damaged: a later one, or the nodes' own descriptors, were used instead")
