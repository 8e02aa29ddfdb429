"""``edgetool predict``: the moments of recordings in a file; a thin wrapper around :func:`edgetool.predict`."""

from __future__ import annotations

from pathlib import Path

import click

from edgetool.commands.shared import PATH, SETTINGS, SOURCE, count, progress, wrote


@click.command(
    name="predict",
    epilog="Example: edgetool predict bundle --data synthetic:people=1 --out moments.csv",
    context_settings=SETTINGS,
)
@click.argument("model", metavar="MODEL")
@click.option("--data", required=True, metavar="SOURCE", help=f"Recordings: {SOURCE}.")
@click.option(
    "--out",
    required=True,
    type=PATH,
    metavar="FILE",
    help="File to write: .csv, .parquet, or OpenSim .sto (one per recording).",
)
def command(model: str, data: str, out: Path) -> None:
    """Estimate the joint moments of recordings with MODEL: a bundle, a checkpoint, or the word pretrained.

    A bundle estimates as it would live: its int8 stream over each recording, or its int8 window graph where it has no
    stream. A checkpoint runs in float on windows. Recordings need no labels. Moments are in Nm/kg, from the first whole
    window on, each with the time it applies to.
    """
    from edgetool.api.deploy import predict
    from toolkit.terminal import say

    with progress() as shown:
        found = predict(model, data=data, out=out, progress=shown)
    rows = sum(len(one.time_s) for one in found.predictions)
    recordings = count(len(found.predictions), "recording", "recordings")
    say(f"{rows:,} estimates for {recordings} by {found.model}")
    wrote(*found.files)
