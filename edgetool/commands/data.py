"""``edgetool data``: what a data source holds; a thin wrapper around :func:`edgetool.data`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from edgetool.commands.shared import PATH, SETTINGS, count, json_option, wrote

if TYPE_CHECKING:
    from toolkit.data.check import Finding
    from toolkit.records import Recording


_CHECK = "edgetool.data.check"


@click.command(
    name="data",
    epilog="Example: edgetool data --suggest trial.csv --mass-kg 71.4 --out walk.toml",
    context_settings=SETTINGS,
)
@click.argument("file", type=PATH)
@click.option("--mass-kg", type=float, metavar="N", help="Body mass; without it the draft asks for it.")
@click.option("--out", type=PATH, metavar="FILE", help="Write the draft there instead of printing it.")
def _suggest(file: Path, mass_kg: float | None, out: Path | None) -> None:
    """Draft the dataset TOML of FILE, a table or a folder of the tables of one recording.

    Columns, rates, units and the form of the time are read from the header row and the numbers; what they do not say is marked
    TODO. Read the draft before you use it.
    """
    from edgetool.api.learn import suggest_dataset

    text = suggest_dataset(file, mass_kg=mass_kg, out=out)
    if out is None:
        click.echo(text, nl=False)
    wrote(out)


class _WithCheck(click.Command):
    """``edgetool data check SOURCE``: a first word ``check`` says what is wanted; a folder of that name is ``./check``.

    ``edgetool data --suggest FILE`` is a command of its own, with its own options.
    """

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if "--suggest" in args:
            rest = [one for one in args if one != "--suggest"]
            return _suggest.make_context(f"{info_name} --suggest", rest, parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if len(args) > 1 and args[0] == "check":
            ctx.meta[_CHECK] = True
            args = args[1:]
        return super().parse_args(ctx, args)


@click.command(
    name="data",
    cls=_WithCheck,
    epilog="Example: edgetool data synthetic:people=2,seconds=6 --plot curves.png",
    context_settings=SETTINGS,
)
@click.argument("source")
@click.option("--out", type=PATH, metavar="FOLDER", help="Export the recordings there.")
@click.option(
    "--format",
    default="npz",
    type=click.Choice(["npz", "csv"]),
    help="Format of the export. Both are read back as --data FOLDER.",
)
@click.option(
    "--plot",
    type=PATH,
    metavar="FILE",
    help="Draw the joint moments over the gait cycle: .png, .svg or .pdf.",
)
@json_option("Also write every stream and channel with its range; with check, the findings.")
def command(
    source: str,
    out: Path | None,
    format: Literal["npz", "csv"],
    plot: Path | None,
    json: Path | None,
) -> None:
    """List, export, plot or check the recordings of a data source.

    SOURCE is synthetic[:OPTIONS], a dataset TOML, an NPZ, a folder of them, or the folder of Camargo et al. 2021, as for --data
    of the other commands.

    edgetool data check SOURCE looks for faults instead: dead or railed channels, gaps, mains hum, impossible units and signs,
    sensors that look turned or swapped. Its exit code is 1 if a bound is exceeded.

    edgetool data --suggest FILE drafts the dataset TOML of a table; edgetool data --suggest --help tells more.
    """
    from edgetool.api.learn import check_data, data
    from toolkit.data.check import push_off_sign
    from toolkit.terminal import say

    if click.get_current_context().meta.get(_CHECK, False):
        if out is not None or plot is not None:
            raise click.UsageError("check goes with neither --out nor --plot")
        found = check_data(source, json=json)
        _show_findings(found)
        wrote(json)
        if any(finding.broken for finding in found):
            raise click.exceptions.Exit(1)
        return
    recordings = data(source, out=out, format=format, plot=plot, json=json)
    _show(recordings)
    _show_mended(recordings)
    for finding in push_off_sign(recordings):
        say(
            f"Warning: recording {finding.recording!r}: {finding.channel} reaches +{finding.value:.2f} {finding.advice}"
        )
    wrote(json)
    if out is not None:
        say(f"Wrote {count(len(recordings), 'recording', 'recordings')} to {out}")
    wrote(plot)


def _show(recordings: Sequence[Recording]) -> None:
    """One row a recording, then the streams of the first, in 80 columns."""
    from rich.table import Table

    from toolkit.data.describe import describe
    from toolkit.printable import terminal_text
    from toolkit.terminal import console

    description = describe(recordings)
    described = description["recordings"]
    masked = any(one["valid_s"] is not None for one in described)
    lacking = any(one["missing"] for one in described)
    table = Table(box=None, pad_edge=False)
    for heading in ("recording", "task", "kind"):
        table.add_column(heading, overflow="fold")
    for heading in ("kg", "s", *(["valid s"] if masked else []), "strides", *(["live"] if lacking else [])):
        table.add_column(heading, justify="right")
    for one in described:
        row = [f"{one['mass_kg']:.1f}", f"{one['seconds']:.1f}"]
        row += [f"{_valid_s(one):.2f}"] if masked else []
        row += [str(one["strides"])] + ([_live(one)] if lacking else [])
        table.add_row(one["name"], one["task"], one["kind"], *row)
    shown = console()
    shown.print(table)
    streams = {
        "; ".join(f"{n} {s['rate_hz']:g} Hz x {len(s['channels'])}" for n, s in one["streams"].items())
        for one in described
    }
    seconds = sum(one["seconds"] for one in described)
    people = len({recording.person for recording in recordings})
    counted = f"{count(len(recordings), 'recording', 'recordings')}, {count(people, 'person', 'people')}"
    shown.print(f"{counted}, {seconds:.0f} s. Streams: {terminal_text(' | '.join(sorted(streams)))}")
    if masked:
        some = [one for one in described if _valid_s(one) > 0]
        valid = sum(map(_valid_s, some))
        shown.print(f"Moments are valid in {valid:.1f} s of {count(len(some), 'recording', 'recordings')}.")
    if lacking:
        whole = [recording for recording in recordings if not recording.missing]
        shown.print(
            f"All channels are live in {len(whole)} of {count(len(recordings), 'recording', 'recordings')}."
        )


def _show_mended(recordings: Sequence[Recording]) -> None:
    """A line for each stream of which something was mended as the dataset declares it."""
    from toolkit.printable import terminal_text
    from toolkit.terminal import say

    for recording in recordings:
        for name, text in recording.provenance.items():
            if name.startswith("mended_"):
                say(terminal_text(f"{recording.name}: {name.removeprefix('mended_')}: {text}"))


def _show_findings(findings: Sequence[Finding]) -> None:
    """A row for each finding, equal ones of a recording's channels in one, in 80 columns."""
    from rich.table import Table

    from toolkit.printable import terminal_text
    from toolkit.terminal import console

    rows: dict[tuple[str, str, str, str], list[Finding]] = {}
    for finding in findings:
        rows.setdefault((finding.recording, finding.stream, finding.what, finding.advice), []).append(finding)
    table = Table(box=None, pad_edge=False)
    for heading in ("recording", "channel", "finding"):
        table.add_column(heading, overflow="fold")
    for heading in ("value", "bound"):
        table.add_column(heading, justify="right")
    table.add_column("what it is", overflow="fold")
    for (recording, _, what, advice), some in rows.items():
        worst = max(some, key=lambda finding: abs(finding.value - finding.bound))
        figures = (f"{worst.value:.3g}", f"{worst.bound:.3g}") if worst.broken else ("", "")
        channels = ", ".join(finding.channel for finding in some)
        table.add_row(*map(terminal_text, (recording, channels, what)), *figures, advice)
    shown = console()
    if rows:
        shown.print(table)
    broken = sum(finding.broken for finding in findings)
    marked = len(findings) - broken
    shown.print(
        f"{count(broken, 'bound is', 'bounds are')} broken; {count(marked, 'channel is', 'channels are')} marked missing."
    )


def _valid_s(one: dict[str, Any]) -> float:
    """Seconds in which the moments are valid."""
    spans = one["valid_s"]
    return float(one["seconds"] if spans is None else sum(stop - start for start, stop in spans))


def _live(one: dict[str, Any]) -> str:
    """Live channels of the streams that lack some in any recording, "emg 3/4"; all channels where none is missing."""
    streams = {name: stream for name, stream in one["streams"].items() if name != "moments"}
    named = one["missing"] or {}
    parts = [
        f"{name} {len(streams[name]['channels']) - len(gone)}/{len(streams[name]['channels'])}"
        for name, gone in named.items()
    ]
    return ", ".join(parts) or "all"
