"""``edgetool recover``: what is whole in a damaged recording; a thin face of ``firmware_bridge.recording.recover.recover``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    name="recover",
    epilog="Example: edgetool recover damaged.etl --out mended.etl",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.argument("recording", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The mended recording."
)
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE", help="Write the report.")
def command(recording: Path, out: Path, json: Path | None) -> None:
    """Copy all whole blocks of a recording that was cut or changed anywhere."""
    from firmware_bridge.recording.recover import recover
    from toolkit.files import write_json

    report = recover(recording, out)
    click.echo(f"Wrote {out}: {report.blocks} whole blocks with {report.chunks} chunks")
    click.echo(f"Damaged places: {report.damages}, with {report.lost_bytes} bytes that are no whole block")
    if not report.closed:
        click.echo("The recording was not closed: what came after its last whole block is missing")
    if report.snapshot_replaced:
        click.echo("Its first snapshot was damaged: a later one, or the nodes' own descriptors, stand in")
    if json is not None:
        write_json(json, vars(report))
