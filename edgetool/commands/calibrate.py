"""``edgetool calibrate``: where today's sensors are; a thin wrapper around :func:`edgetool.calibrate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgetool.commands.shared import PATH, SETTINGS, config_option, progress, show_table

if TYPE_CHECKING:
    from runtime.calibration.guide import Progress
    from toolkit.calibration import Calibration
    from toolkit.progress import Shown

#: What the person is asked to do, by step.
_ASK = {
    "stand": "stand still",
    "swing": "swing the leg with the sensors from the hip, knee straight",
    "contract": "contract each muscle as hard as you can, one after the other",
    "walk": "walk straight ahead at your usual pace",
    "done": "done",
}


@click.command(
    name="calibrate",
    epilog="Example: edgetool calibrate bundle --source ble://thigh --out today.json",
    context_settings=SETTINGS,
)
@click.argument("model", metavar="BUNDLE|CHECKPOINT")
@click.option("--source", multiple=True, metavar="URL", help="A source; may be repeated.")
@config_option
@click.option("--out", type=PATH, metavar="FILE", help="The calibration to write (.json).")
@click.option(
    "--calibration",
    type=PATH,
    metavar="FILE",
    help="Check and show an earlier calibration; no sensor is read.",
)
@click.option("--c", type=PATH, metavar="FILE", help="Also write it as a C header for the bundle's filters.")
@click.option("--person", default="", metavar="NAME", help="Who wears the sensors; written into the file.")
@click.option("--strides", default=10, type=click.IntRange(5, 100), metavar="N", help="Strides to walk.")
@click.option("--stand/--no-stand", default=True, help="Stand still first, for the gyroscopes' bias.")
@click.option("--swing", is_flag=True, help="Also swing the leg: thigh and shank are known more surely.")
@click.option(
    "--contraction",
    is_flag=True,
    help="Also contract every muscle as hard as can be: what walking takes of it.",
)
@click.option(
    "--limit",
    default=120.0,
    type=click.FloatRange(5, 3600),
    metavar="N",
    help="Longest time for a step, in seconds.",
)
def command(
    model: str,
    source: tuple[str, ...],
    config: Path | None,
    out: Path | None,
    calibration: Path | None,
    c: Path | None,
    **options: Any,
) -> None:
    """Find where the sensors sit on the person who wears them today.

    Stand still, then walk about ten strides. Writes each IMU's rotation to its segment and each EMG channel's
    gain, with a verdict; edgetool run applies them (model.calibration). Exit code 1 if a sensor is refused or the
    walk contradicts the stated sensor positions; the file is written all the same.
    """
    from edgetool.api.calibration import calibrate
    from toolkit.terminal import say

    if (source or config) and out is None:
        raise click.UsageError("--source and --config need --out FILE for the calibration")
    with progress() as shown:
        found = calibrate(
            model,
            source=source,
            config=config,
            out=out,
            calibration=calibration,
            c=c,
            show=_telling(shown),
            **options,
        )
    _show(found)
    say(*(f"Wrote {path}" for path in (out, c) if path is not None))
    if found.verdict == "refused" or found.warnings:
        raise SystemExit(1)


def _telling(shown: Shown) -> Callable[[Progress], None]:
    """Steps and what is wrong with them, as stages of the progress."""

    def tell(done: Progress) -> None:
        shown(done.trouble or _ASK[done.step], round(100 * done.share), 100)

    return tell


def _show(found: Calibration) -> None:
    """A row a sensor, in 80 columns, and what to do about those that are not good."""
    from toolkit.terminal import console, say

    rows = [
        (f"{imu.segment} IMU", f"{imu.angle_deg:.1f} deg", f"{imu.uncertainty_deg:.1f} deg", imu.verdict)
        for imu in found.imus
    ] + [
        (f"{one.channel} EMG", f"x {one.gain:.2f}", f"{100 * one.uncertainty:.0f} %", one.verdict)
        for one in found.channels
    ]
    title = f"{found.strides} strides"
    show_table(console(), title, ("sensor", ">turned by, gain", ">uncertainty", "verdict"), rows)
    for advice in (*(imu.advice for imu in found.imus), *(channel.advice for channel in found.channels)):
        if advice:
            say(advice)
    say(*(f"WARNING: {warning}" for warning in found.warnings))
