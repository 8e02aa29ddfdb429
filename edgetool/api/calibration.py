"""Where the sensors sit today: calibrate."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.api.waiting import apart
from toolkit.errors import UsageError
from toolkit.files import write_bytes
from toolkit.reading import is_folder

if TYPE_CHECKING:
    from runtime.calibration.guide import Progress as Step
    from runtime.pipeline.input_from import InputFrom
    from toolkit.calibration import Calibration
    from toolkit.contract import SensorContract


def calibrate(
    model: str | Path,
    *,
    source: str | Sequence[str] = (),
    out: str | Path | None = None,
    config: str | Path | None = None,
    person: str = "",
    strides: int = 10,
    stand: bool = True,
    limit: float = 120.0,
    swing: bool = False,
    contraction: bool = False,
    calibration: str | Path | None = None,
    c: str | Path | None = None,
    show: Callable[[Step], None] | None = None,
) -> Calibration:
    """Find where the sensors of the URLs ``source`` sit on the person who wears them, for ``model``, a bundle or a checkpoint.

    ``config`` is the daemon's TOML file: its [inputs] say how to make the model's inputs from what the sensors send, and its
    sources are used where none are given.

    The person stands still (not with ``stand`` False), then walks ``strides`` strides; between, with ``swing``, swings the leg
    from the hip, and with ``contraction`` contracts every muscle as hard as can be. Each step may take ``limit`` s, and
    ``show`` is called with how far it is. The file ``out`` holds each IMU's rotation to its segment and gyroscope bias (rad/s),
    each EMG channel's gain, a verdict for each, and ``person``, the wearer's name; ``calibration.verdict`` is the worst of
    them. A refused calibration is written too, and says what to do.

    ``calibration`` is an earlier session's file, in place of ``source``. ``c`` writes the calibration as a C header for the
    bundle's generated filters, the constant struct named after the file (docs/CALIBRATION.md).

    Raises UsageError without either of ``source`` and ``calibration``, or with both; ContractError for a model that takes
    sensors as they are worn, for sensors or a calibration that do not fit it, and for C of a refused one; LinkError if a source
    cannot be opened; RecordingError, which says what to do, if a step is not done in time.
    """
    import asyncio

    from runtime.calibration.guide import Wanted
    from runtime.calibration.live import calibrate_sources
    from toolkit.calibration import load_calibration, require_calibration_fits

    urls, inputs = _sensors([source] if isinstance(source, str) else list(source), config)
    if bool(urls) == (calibration is not None):
        raise UsageError("give sources to calibrate with or the file of an earlier calibration, not both")
    contract, prefix, checked = _contract(str(model))
    if calibration is not None:
        found = load_calibration(Path(calibration))
        require_calibration_fits(contract, found)
    else:
        wanted = Wanted(stand, strides, limit, swing, contraction)
        found = apart(
            lambda: asyncio.run(
                calibrate_sources(contract, urls, inputs=inputs, person=person, wanted=wanted, show=show)
            )
        )
    if out is not None:
        found.save(Path(out))
    if c is not None:
        _write_c(Path(c), found, contract, prefix, checked)
    return found


def _write_c(path: Path, found: Calibration, contract: SensorContract, prefix: str, checked: bool) -> None:
    """The calibration, and the wearer's own walk if the model's C checks its sensors, as a header."""
    from quantization.c_emitter.calibration import calibration_header
    from quantization.c_emitter.plausibility import walk_lines

    name = _c_name(path)
    walk = walk_lines(found, contract, name) if checked else []
    write_bytes(path, calibration_header(found, contract, name, prefix, walk).encode())


def _sensors(urls: list[str], config: str | Path | None) -> tuple[list[str], Mapping[str, InputFrom]]:
    """Sources, and how the model's inputs are made from what they send."""
    if config is None:
        return urls, {}
    from runtime.config import read_config

    settings = read_config(config)
    return urls or list(settings.sources), settings.inputs


def _c_name(path: Path) -> str:
    """The file's name as one in C."""
    name = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")
    return name if name[:1].isalpha() else f"calibration_{name}".rstrip("_")


def _contract(model: str) -> tuple[SensorContract, str, bool]:
    """The contract of a bundle or a checkpoint, the prefix of the names in its C, and whether that C checks its sensors."""
    from toolkit.plausibility import Familiar

    if is_folder(Path(model)):
        from quantization.bundle import Bundle

        bundle = Bundle.load(model)
        prefix = str(bundle.manifest.get("c", {}).get("prefix", "edgetool"))
        return bundle.contract, prefix, Familiar.of(bundle.checkpoint) is not None
    from toolkit.model import load_checkpoint

    checkpoint = load_checkpoint(model)
    return checkpoint.contract, "edgetool", Familiar.of(checkpoint) is not None
