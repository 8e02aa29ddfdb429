"""``edgetool doctor``: whether a link is good enough, and what to do; a thin wrapper around :func:`edgetool.doctor`."""

from __future__ import annotations

from pathlib import Path

import click

from edgetool.commands.shared import SETTINGS, json_option


@click.command(
    name="doctor",
    epilog="Example: edgetool doctor 'sim://synthetic?drop=0.02'",
    context_settings=SETTINGS,
)
@click.argument("source", metavar="URL")
@click.option(
    "--seconds", default=5.0, type=click.FloatRange(0.5, 3600), metavar="N", help="Listen for N seconds."
)
@json_option("Write findings and state.")
def command(source: str, seconds: float, json: Path | None) -> None:
    """Listen to a source and say what is good, what is not, and what to do. Exit code 1 if anything is bad."""
    from edgetool.api.sensors import doctor
    from toolkit.terminal import say

    diagnosis = doctor(source, seconds=seconds, json=json)
    for finding in diagnosis.findings:
        say(*_wrapped(f"{finding.verdict:<8} ", finding.what))
        if finding.advice:
            say(*_wrapped(" " * 9 + "-> ", finding.advice))
    if diagnosis.worst == "bad":
        raise SystemExit(1)


def _wrapped(head: str, text: str) -> list[str]:
    """``head`` and ``text`` in lines of at most 80 columns, continuation lines indented to the end of ``head``."""
    import textwrap

    from toolkit.printable import terminal_text

    indent = " " * len(head)
    return textwrap.wrap(
        terminal_text(text), 80, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False
    )
