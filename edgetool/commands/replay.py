"""``edgetool replay``: a recording once more through the decoder; a thin face of ``firmware_bridge.tools.replay.replay``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    name="replay",
    epilog="Example: edgetool replay session.etl --speed max --json totals.json",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80, "show_default": True},
)
@click.argument("recording", type=click.Path(path_type=Path))
@click.option("--speed", default="max", metavar="N|max", help="1: real time; 10: ten times faster.")
@click.option(
    "--json", type=click.Path(path_type=Path), metavar="FILE", help="Write the totals and the ledger."
)
def command(recording: Path, speed: str, json: Path | None) -> None:
    """Decode a recording as if it came now, and show its streams and its ledger.

    To feed it to another command, name it as a source: replay://FILE?speed=1
    """
    from edgetool.commands.ledger_table import show_ledger
    from firmware_bridge.sources.replay import parse_speed
    from firmware_bridge.tools.replay import replay
    from toolkit.files import write_json

    summary = replay(recording, parse_speed(speed))
    click.echo(f"{recording}: {summary.seconds:.1f} s, {summary.chunks} chunks, {summary.bytes} bytes")
    click.echo(f"\n{'node':<24}{'stream':<16}{'rate, Hz':>10}{'samples':>12}{'missing':>10}")
    for stream in summary.streams:
        rate = "unknown" if stream.rate_hz is None else f"{stream.rate_hz:g}"
        name, label = stream.node[:23], stream.stream[:15]
        click.echo(f"{name:<24}{label:<16}{rate:>10}{stream.samples:>12}{stream.missing:>10}")
    click.echo()
    show_ledger(summary.ledger)
    if summary.lost_bytes:
        click.echo(f"{summary.lost_bytes} bytes of the recording were lost before it was recovered")
    if not summary.closed:
        click.echo(f"Not closed: the end is missing, {summary.cut_bytes} bytes behind the last whole block")
    elif summary.as_recorded is not None:
        click.echo(f"The ledger {'equals' if summary.as_recorded else 'DIFFERS FROM'} the one recorded")
    if json is not None:
        write_json(json, summary.to_json())
