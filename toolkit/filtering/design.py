"""The usual chains for IMU and EMG streams, as data.

EMG: Butterworth band-pass 20 to 450 Hz (SENIAM: Hermens et al. 2000, doi:10.1016/S1050-6411(00)00027-4), full-wave
rectification, 6 Hz low-pass linear envelope (Winter 2009, ch. 10), gain to a fraction of the training set's
99th percentile, onto the grid. IMU: 12 Hz low-pass, which keeps the motion of walking and takes off impact ringing,
onto the grid. All causal: the delay they cost is the price of running live, and training pays it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import VOLTS, FilterStage, StreamSpec
from toolkit.errors import ContractError
from toolkit.filtering.chain import Chain
from toolkit.filtering.mains import notch

IMU_LOWPASS_HZ = 12.0
EMG_BAND_HZ = (20.0, 450.0)
EMG_ENVELOPE_HZ = 6.0


def butterworth(
    kind: Literal["lowpass", "highpass", "bandpass"],
    order: int,
    cutoff_hz: float | tuple[float, float],
    rate_hz: float,
) -> FilterStage:
    """A Butterworth filter as second-order sections. ``kind`` is scipy's: "lowpass", "highpass", "bandpass"."""
    from scipy.signal import butter

    edges = np.atleast_1d(cutoff_hz)
    if not (np.all(edges > 0) and np.all(edges < rate_hz / 2)):
        raise ContractError(
            f"a {kind} at {cutoff_hz} Hz needs a rate above {2 * edges.max():g} Hz, not {rate_hz:g} Hz"
        )
    rows = butter(
        order,
        cutoff_hz if isinstance(cutoff_hz, float) else list(cutoff_hz),
        btype=kind,
        fs=rate_hz,
        output="sos",
    )
    coefficients = [[float(np.float32(v)) for v in (*row[:3], *row[4:])] for row in rows]
    text = "-".join(f"{edge:g}" for edge in edges)
    design = f"Butterworth {kind} {text} Hz, order {order}, at {rate_hz:g} Hz"
    return FilterStage("sections", {"coefficients": coefficients, "design": design})


def default_filters(
    stream: StreamSpec,
    grid_rate_hz: float,
    examples: Sequence[NDArray[np.floating]],
    missing: Sequence[Sequence[int]] | None = None,
    band_passed: bool = False,
    notch_hz: int = 0,
) -> tuple[FilterStage, ...]:
    """The chain for a stream by its units and rate; ``examples`` (rows, channels) set the EMG gains.

    ``band_passed`` EMG went through a band-pass when it was recorded and gets no second one. ``notch_hz`` adds a notch for
    mains hum (:func:`toolkit.filtering.mains.notch`) to raw EMG; 0: none.
    ``missing`` gives, for each example, the places of the channels that it lacks: they do not count for the gain.
    EMG in volts is raw and gets the whole chain; EMG in unit "1" is an envelope already and is only resampled.
    Raises ContractError if the rate is too low for the filter.
    """
    units = {channel.unit for channel in stream.channels}
    resample: tuple[FilterStage, ...] = ()
    if stream.rate_hz != grid_rate_hz:
        resample = (FilterStage("resample", {"from_hz": stream.rate_hz, "to_hz": grid_rate_hz}),)
    if units <= {"1"}:
        return resample
    if units <= set(VOLTS):
        high = min(EMG_BAND_HZ[1], 0.45 * stream.rate_hz)
        band = () if band_passed else (butterworth("bandpass", 2, (EMG_BAND_HZ[0], high), stream.rate_hz),)
        envelope = (
            *band,
            *((notch(notch_hz, stream.rate_hz),) if notch_hz else ()),
            FilterStage("rectify"),
            butterworth("lowpass", 2, EMG_ENVELOPE_HZ, stream.rate_hz),
            *resample,
        )
        return (*envelope, _gain_to_fraction(envelope, stream, grid_rate_hz, examples, missing))
    return (butterworth("lowpass", 2, IMU_LOWPASS_HZ, stream.rate_hz), *resample)


def _gain_to_fraction(
    envelope: tuple[FilterStage, ...],
    stream: StreamSpec,
    grid_rate_hz: float,
    examples: Sequence[NDArray[np.floating]],
    missing: Sequence[Sequence[int]] | None,
) -> FilterStage:
    channels = len(stream.channels)
    rows = _filtered(envelope, stream, grid_rate_hz, examples)
    lacking = missing if missing is not None else [()] * len(rows)
    high = np.zeros(channels)
    for place in range(channels):
        present = [one[:, place] for one, gone in zip(rows, lacking) if place not in gone]
        if present:
            high[place] = np.percentile(np.concatenate(present), 99)
    # A silent channel keeps its unit rather than being blown up to full scale.
    gain = [float(np.float32(1.0 / value)) if value > 1e-9 else 1.0 for value in high]
    return FilterStage("scale", {"gain": gain})


def _filtered(
    stages: tuple[FilterStage, ...],
    stream: StreamSpec,
    grid_rate_hz: float,
    examples: Sequence[NDArray[np.floating]],
) -> list[NDArray[np.floating]]:
    """Each example through the chain from its start; those of one length side by side, for the time loop is Python's."""
    result: list[NDArray[np.floating]] = [np.zeros((0, len(stream.channels)), np.float32)] * len(examples)
    by_length: dict[int, list[int]] = {}
    for place, example in enumerate(examples):
        by_length.setdefault(len(example), []).append(place)
    for places in by_length.values():
        chain = Chain(stages, len(stream.channels), stream.rate_hz, grid_rate_hz)
        stack = chain.push(np.stack([examples[place] for place in places], axis=1))
        for column, place in enumerate(places):
            result[place] = stack[:, column]
    return result
