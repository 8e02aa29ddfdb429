"""``edgetool doctor``: whether a link is good enough, and what to do; a face of ``firmware_bridge.tools.doctor.diagnose``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    name="doctor",
    epilog="Example: edgetool doctor 'sim://synthetic?drop=0.02'",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80, "show_default": True},
)
@click.argument("source", metavar="URL")
@click.option("--seconds", default=5.0, type=click.FloatRange(0.5, 3600), help="How long to listen.")
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE", help="Write findings and state.")
def command(source: str, seconds: float, json: Path | None) -> None:
    """Listen to a source and say what is good, what is not, and what to do. Exit code 1 if anything is bad."""
    from dataclasses import asdict

    from firmware_bridge.tools.doctor import diagnose
    from toolkit.files import write_json

    diagnosis = diagnose(source, seconds)
    for finding in diagnosis.findings:
        click.echo(_wrapped(f"{finding.verdict:<8} ", finding.what))
        if finding.advice:
            click.echo(_wrapped(" " * 9 + "-> ", finding.advice))
    if json is not None:
        write_json(json, {"findings": [asdict(f) for f in diagnosis.findings], "state": diagnosis.state})
    if diagnosis.worst == "bad":
        raise SystemExit(1)


def _wrapped(head: str, text: str) -> str:
    """``head`` and ``text`` in lines of at most 80 columns, the further ones indented by as much as ``head`` is long."""
    import textwrap

    indent = " " * len(head)
    return textwrap.fill(text, 80, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False)
