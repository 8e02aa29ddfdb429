"""Where today's sensors are: calibrate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.api.waiting import apart
from toolkit.reading import is_folder

if TYPE_CHECKING:
    from runtime.calibration.guide import Progress as Step
    from toolkit.calibration import Calibration
    from toolkit.contract import SensorContract


def calibrate(
    model: str | Path,
    *,
    source: str | Sequence[str],
    out: str | Path,
    person: str = "",
    strides: int = 10,
    stand: bool = True,
    limit: float = 120.0,
    show: Callable[[Step], None] | None = None,
) -> Calibration:
    """Find where the sensors of the URLs ``source`` sit on the person who wears them, for ``model``, a bundle or a checkpoint.

    The person stands still (not with ``stand`` False), then walks ``strides`` strides; each step may take ``limit`` s, and
    ``show`` is told how far it is. The file ``out`` holds each IMU's rotation to its segment and gyroscope bias (rad/s), each
    EMG channel's gain, a verdict for each, and ``person``, the wearer's name; ``calibration.verdict`` is the worst of them.
    A bad one is written too: it says what to do.

    Raises ContractError for a model that takes sensors as they are worn, and for sensors that do not fit it; LinkError if a
    source cannot be opened; RecordingError, which says what to do, if a step is not done in time.
    """
    import asyncio

    from runtime.calibration.guide import Wanted
    from runtime.calibration.live import calibrate_sources

    urls = [source] if isinstance(source, str) else list(source)
    wanted = Wanted(stand, strides, limit)
    contract = _contract(str(model))
    found = apart(
        lambda: asyncio.run(calibrate_sources(contract, urls, person=person, wanted=wanted, show=show))
    )
    found.save(Path(out))
    return found


def _contract(model: str) -> SensorContract:
    if is_folder(Path(model)):
        from quantization.bundle import Bundle

        return Bundle.load(model).contract
    from toolkit.model import load_checkpoint

    return load_checkpoint(model).contract
