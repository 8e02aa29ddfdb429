"""``edgetool stress``: sensors worn wrongly, mixed up and broken; a thin wrapper around :func:`edgetool.stress`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgetool.commands.shared import (
    PATH,
    SETTINGS,
    SOURCE,
    file_of,
    html_option,
    json_option,
    print_json,
    progress,
    tables,
    wrote,
)


@click.command(
    name="stress",
    epilog="Example: edgetool stress bundle --data synthetic:people=24 --html stress.html",
    context_settings=SETTINGS,
)
@click.argument("bundle", type=PATH)
@click.option("--data", metavar="SOURCE", help=f"{SOURCE}. Default: the data it was calibrated on.")
@click.option("--quick", is_flag=True, help="One size of each perturbation, on one minute of recordings.")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Only perturbations of this name, such as imu-turned; may be repeated.",
)
@click.option(
    "--seconds", type=float, metavar="S", help="Try each on S seconds of recordings in total. Default: 180."
)
@click.option(
    "--engine", metavar="NAME", help="Runtime engine: native or litert. Default: the first one available."
)
@click.option("--seed", default=0, metavar="N", help="Seed for axes, mountings, gains and noise.")
@click.option(
    "--bounds", type=PATH, metavar="FILE", help="TOML of bounds that must hold; exit code 1 if one does not."
)
@json_option("Write all figures (docs/STRESS.md); - is standard output.")
@html_option("Write a heat map, in one file.")
def command(bundle: Path, json: Path | None, html: Path | None, **options: Any) -> None:
    """Wear sensors wrongly, mix them up and break them: what does it cost, is it noticed?

    IMUs are turned, swapped, put on the other leg; EMG gains change, electrodes come off, hum comes in; units are
    mistaken, streams come late, sensors die. Each is tried on the test split as it would be live, in a session that was
    calibrated before it happened, and in one that was calibrated afterwards: RMSE by joint, share of moments in each
    state and for each reason, coverage of the error bars, and how soon it is noticed.
    """
    from benchmarks.stress.console import show
    from edgetool.api.stress import stress

    with progress() as shown:

        def stop_and_show(report: Any) -> None:
            shown.stop()
            show(report, tables(json))
            print_json(json, report.to_json)

        stress(bundle, json=file_of(json), html=html, **options, progress=shown, show=stop_and_show)
    wrote(json, html)
