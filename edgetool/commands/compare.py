"""``edgetool compare``: models judged on people whom they never saw; a thin wrapper around :func:`edgetool.compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgetool.commands.shared import (
    PATH,
    SETTINGS,
    SOURCE,
    file_of,
    folds_option,
    html_option,
    json_option,
    pool_options,
    print_json,
    progress,
    show_table,
    tables,
    tell,
    wrote,
)


@click.command(
    name="compare",
    epilog="Example: edgetool compare --data synthetic:people=12 --out compared",
    context_settings=SETTINGS,
)
@click.option("--data", required=True, metavar="SOURCE", help=f"{SOURCE}.")
@click.option(
    "--out",
    required=True,
    type=PATH,
    metavar="FOLDER",
    help="Folder for the result of each training (Parquet); a stopped run resumes from them.",
)
@click.option(
    "--models",
    metavar="NAMES",
    help="Separated by commas; the others are compared with the first. Default: all (docs/LEARNING.md).",
)
@click.option("--seeds", default=1, metavar="N", help="Train each network N times and average its scores.")
@click.option("--seed", default=0, metavar="N", help="The first seed.")
@folds_option
@click.option("--epochs", default=16, metavar="N", help="Train for at most N epochs.")
@click.option(
    "--stride",
    type=int,
    metavar="N",
    help="Use every N-th window to train and validate. Default: so that about 2,000 are used to train.",
)
@click.option("--hidden", default=64, metavar="N", help="LSTM units per stream; sets every network's size.")
@click.option("--window", default=64, metavar="N", help="Samples of the grid that a model sees at once.")
@click.option("--rate-hz", default=100.0, metavar="HZ", help="Rate of the grid.")
@click.option(
    "--joints", metavar="NAMES", help="Joint moments, separated by commas. Default: all in the data."
)
@click.option(
    "--augment",
    metavar="SIZES",
    help="Wear the sensors a little differently in every batch, for all networks alike: default, or sizes as for train.",
)
@click.option(
    "--core",
    metavar="CORE",
    help="Also convert the first fold's networks and run them on this emulated core, such as cortex-m4.",
)
@pool_options()
@json_option("Also write every figure; - is standard output.")
@click.option("--parquet", type=PATH, metavar="FILE", help="Also write RMSE by model, person and joint.")
@html_option("Also write a page with plots.")
def command(json: Path | None, html: Path | None, parquet: Path | None, **options: Any) -> None:
    """Compare models on people they never saw.

    The Cross-LSTM, LSTM, BiLSTM, GRU, CNN-LSTM, TCN, Transformer and MLP get the same windows, training and, within
    10 %, number of weights. Two baselines set the floor: ridge regression with lags, and the average curve by gait
    phase and task. The person is the unit of every interval and test.
    """
    from benchmarks.learning import compare_report as report
    from edgetool.api.learn import compare

    with progress() as shown:
        comparison = compare(json=file_of(json), html=html, parquet=parquet, **options, progress=shown)
    screen = tables(json)
    show_table(screen, None, report.accuracy_head(comparison), report.accuracy_rows(comparison))
    screen.print(report.ACCURACY_NOTE, style="dim")
    if comparison.against:
        show_table(screen, None, report.against_head(comparison), report.against_rows(comparison))
        screen.print(report.AGAINST_NOTE, style="dim")
    show_table(screen, None, report.cost_head(comparison), report.cost_rows(comparison))
    screen.print(report.COST_NOTE, style="dim")
    if devices := report.device_rows(comparison):
        show_table(screen, None, report.device_head(), devices)
        screen.print(report.device_note(comparison), style="dim")
    print_json(json, lambda: report.to_json(comparison))
    tell(json, *report.sentences(comparison))
    wrote(json, parquet, html)
