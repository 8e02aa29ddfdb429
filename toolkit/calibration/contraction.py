"""Maximal voluntary contractions: how much each electrode gives at most, for the EMG's normalisation (Burden 2010, J
Electromyogr Kinesiol 20:1023), and whether that was a contraction at all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration.electrodes import ENVELOPE_S, envelope, noise_floor
from toolkit.data.imus import imus
from toolkit.errors import RecordingError
from toolkit.records import Signal

Float = NDArray[np.float64]

#: A contraction is held, and its strongest mean over this long counts, s.
HELD_S = 0.5
#: It stands out of the muscle's rest by this factor, or there was none.
OVER_REST = 4.0
#: A contraction that is not stronger than walking by this factor was not a maximal one.
OVER_WALK = 1.0


def contractions(signals: Mapping[str, Signal]) -> dict[str, float]:
    """The amplitude of each EMG channel's strongest :data:`HELD_S`, in its unit; root mean square for raw EMG.

    RecordingError, in one line that says what to do, names the muscles that were not contracted.
    """
    found: dict[str, float] = {}
    weak: list[str] = []
    for signal in _electric(signals):
        samples = np.asarray(signal.samples, np.float64)
        width = round(HELD_S / ENVELOPE_S)
        blocks = envelope(samples, signal.spec.rate_hz)
        if len(blocks) < width:
            raise RecordingError(f"contract each muscle as hard as you can, and hold it for {HELD_S:g} s")
        kernel = np.ones(width) / width
        floor = noise_floor(samples, signal.spec.rate_hz)
        for place, name in enumerate(signal.spec.channel_names):
            held = float(np.convolve(blocks[:, place], kernel, mode="valid").max())
            found[name] = held
            if not held > OVER_REST * floor[place]:
                weak.append(name)
    if weak:
        raise RecordingError(
            f"contract as hard as you can, against resistance, and let go: {', '.join(weak)}"
        )
    return found


def relaxed(signals: Mapping[str, Signal]) -> bool:
    """Whether the last half second is at rest in every channel: the contraction is over."""
    for signal in _electric(signals):
        blocks = envelope(np.asarray(signal.samples, np.float64), signal.spec.rate_hz)
        width = round(HELD_S / ENVELOPE_S)
        if len(blocks) < width or (blocks[-width:].mean(axis=0) > 0.5 * blocks.max(axis=0)).any():
            return False
    return True


def require_stronger_than_walking(contracted: Mapping[str, float], walked: Mapping[str, float]) -> None:
    """RecordingError for a channel that gave less in its contraction than it gives in walking."""
    weak = [
        f"{name} ({100 * contracted[name] / walked[name]:.0f} % of walking)"
        for name in contracted
        if name in walked and contracted[name] < OVER_WALK * walked[name]
    ]
    if weak:
        raise RecordingError(
            f"the contraction was weaker than walking: {', '.join(weak)}; contract as hard as you can, and do it again"
        )


def _electric(signals: Mapping[str, Signal]) -> list[Signal]:
    return [signal for signal in signals.values() if not imus(signal.spec)]
