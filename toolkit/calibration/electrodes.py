"""How strong a person's EMG is today: the amplitude that a walk reaches, channel by channel.

A surface EMG's size depends on skin, fat and the electrode's place as much as on the muscle, so it means nothing until
it is divided by a reference of the same session (SENIAM; Burden 2010, J Electromyogr Kinesiol 20:1023). The reference here is
a high percentile of the walk's envelope: a maximum follows a single artefact, a mean the time spent standing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

#: Of the envelope over the walk.
AMPLITUDE_PERCENTILE = 95.0
NOISE_PERCENTILE = 5.0
#: Length of the envelope's window: root mean square over this time, in s.
ENVELOPE_S = 0.1
#: A stream above this rate holds raw EMG, which swings about 0; below it, an envelope that is itself an amplitude, in Hz.
RAW_RATE_HZ = 400.0


def envelope(samples: Float, rate_hz: float) -> Float:
    """Root mean square over :data:`ENVELOPE_S` of ``samples`` (rows, channels), one row a window, no overlap.

    Raw EMG is taken about its mean first, because an amplifier's offset is no muscle; an envelope is taken as it is.
    """
    values = samples - samples.mean(axis=0) if rate_hz >= RAW_RATE_HZ else samples
    width = max(1, round(ENVELOPE_S * rate_hz))
    whole = len(values) // width
    blocks = values[: whole * width].reshape(whole, width, -1)
    result: Float = np.sqrt(np.mean(blocks**2, axis=1))
    return result


def amplitude(samples: Float, rate_hz: float) -> Float:
    """The walk's amplitude of each channel of ``samples`` (rows, channels), in their unit, shape (channels,)."""
    return np.percentile(envelope(samples, rate_hz), AMPLITUDE_PERCENTILE, axis=0)


def noise_floor(samples: Float, rate_hz: float) -> Float:
    """What each channel gives while its muscle rests, in its unit, shape (channels,)."""
    return np.percentile(envelope(samples, rate_hz), NOISE_PERCENTILE, axis=0)
