"""``edgetool replay``: a recording once more through the decoder; a thin wrapper around :func:`edgetool.replay`."""

from __future__ import annotations

from pathlib import Path

import click

from edgetool.commands.shared import PATH, SETTINGS, config_option, json_option


@click.command(
    name="replay",
    epilog="Example: edgetool replay session.etl --speed max --json totals.json",
    context_settings=SETTINGS,
)
@click.argument("recording", type=PATH)
@config_option
@click.option("--speed", default="max", metavar="N|max", help="1: real time; 10: ten times as fast.")
@json_option("Write the totals and the ledger.")
def command(recording: Path, config: Path | None, speed: str, json: Path | None) -> None:
    """Decode a recording as if it were arriving now, and show its streams and ledger.

    With --config also whether it fits the model, and what was doubted of the sensors.

    To feed it to another command, name it as a source: replay://FILE?speed=1
    """
    from edgetool.api.sensors import replay
    from edgetool.commands.ledger_table import show_ledger
    from edgetool.commands.sensor_lines import sensor_lines
    from toolkit.printable import terminal_text
    from toolkit.terminal import say

    summary = replay(recording, config=config, speed=speed, json=json)
    say(f"{recording}: {summary.seconds:.1f} s, {summary.chunks} chunks, {summary.bytes} bytes")
    say("", f"{'node':<24}{'stream':<16}{'rate, Hz':>10}{'samples':>12}{'missing':>10}")
    for stream in summary.streams:
        rate = "unknown" if stream.rate_hz is None else f"{stream.rate_hz:g}"
        name, label = terminal_text(stream.node)[:23], terminal_text(stream.stream)[:15]
        say(f"{name:<24}{label:<16}{rate:>10}{stream.samples:>12}{stream.missing:>10}")
    say("")
    show_ledger(summary.ledger)
    if summary.sensors is not None:
        say("", *sensor_lines(summary.sensors, ever=True))
    if summary.lost_bytes:
        say(f"{summary.lost_bytes} bytes of the recording were lost before it was recovered")
    if not summary.closed:
        say(f"Not closed: the end is missing, {summary.cut_bytes} bytes follow the last whole block")
    elif summary.as_recorded is not None:
        say(f"The ledger {'equals' if summary.as_recorded else 'DIFFERS FROM'} the one recorded")
