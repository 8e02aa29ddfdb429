"""What is wrong with recordings, found from their samples: channels that are dead, railed or held, hum, units, signs, sensors.

Every rule is a number against a bound, so that a report can be argued with. A channel that the data already marks as missing is
told and breaks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.data.channels import GRAVITY
from toolkit.data.imus import imus
from toolkit.data.readers.table import runs
from toolkit.errors import ContractError
from toolkit.records import Recording, Signal

Float = NDArray[np.float64]

#: A channel that takes no more values than this in a whole recording shows the converter's last bits and nothing else.
FEWEST_LEVELS = 12
#: Deviation of a dead channel, as a share of that of the stream's strong channels (see _strong).
DEAD_SHARE = 0.02
#: Share of samples that stand at a channel's extreme for three rows or more.
RAILED_SHARE = 0.01
#: A moment whose extreme is the same number for a twentieth of a second is cut off there.
CLIPPED_S = 0.05
#: Share of rows that repeat the row before, and the longest time without a new one, s.
REPEATED_SHARE, HELD_S = 0.01, 0.1
#: Share of a raw EMG channel's power within 1 Hz of the mains' frequency and its odd harmonics.
HUM_SHARE = 0.25
#: Median length of an accelerometer in gait, m/s^2 (a foot's reaches 1.6 g; one in g reads a tenth of it); largest turn of a
#: limb, rad/s; EMG of skin electrodes after an amplifier, mV.
REST_LOW, REST_HIGH, FASTEST, EMG_HIGHEST_MV = 0.5 * GRAVITY, 2.5 * GRAVITY, 40.0, 6000.0
#: Largest joint moment of walking, running and stairs, Nm/kg.
MOMENT_HIGHEST = 8.0
#: EMG leads the moment it makes by its electromechanical delay; outside of these, ms, one of them is shifted.
LAG_LOW_MS, LAG_HIGH_MS = -100.0, 300.0
#: A lag is told only where the envelope follows the moment this closely, over at least so many seconds.
_FOLLOWS, _LAG_S = 0.6, 3.0
#: How much faster a segment may turn than the one below it, and how lopsided a shank's swing may be the wrong way.
FASTER, LOPSIDED = 1.3, 1.5
_PLANTARFLEXORS = ("soleus", "med_gas", "lat_gas", "gastrocnemius", "gastrocmed")


@dataclass(frozen=True)
class Finding:
    """One rule that one channel (or sensor) of a recording breaks; ``broken`` is False where the data says so itself."""

    recording: str
    stream: str
    channel: str
    what: str
    value: float
    bound: float
    advice: str
    broken: bool = True


def check(recordings: Sequence[Recording]) -> list[Finding]:
    """All findings, in the recordings' order."""
    strong = _strong(recordings)
    found: list[Finding] = []
    for recording in recordings:
        found += _missing(recording)
        for name, signal in recording.signals.items():
            found += _channels(recording, name, signal, strong.get(name, 0.0))
            found += _rows(recording, name, signal)
        found += _sensors(recording)
        found += _moments(recording)
        found += _lag(recording)
    return found


def to_json(recordings: Sequence[Recording], findings: Sequence[Finding]) -> dict[str, Any]:
    """Plain JSON values."""
    return {
        "schema": 1,
        "recordings": len(recordings),
        "broken": sum(finding.broken for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }


def push_off_sign(recordings: Sequence[Recording]) -> list[Finding]:
    """Recordings whose ankle moment pushes off with a positive sign: the contract's dorsiflexion moment is negative then."""
    return [one for recording in recordings for one in _moments(recording) if one.what == "sign"]


def _strong(recordings: Sequence[Recording]) -> dict[str, float]:
    """What a strong channel's deviation is, by stream: the 75th percentile of a recording's channels, and that of those.

    Only streams whose channels have one unit. Each recording counts once, so that one in another unit moves nothing.
    """
    by_stream: dict[str, list[float]] = {}
    for recording in recordings:
        for name, signal in recording.signals.items():
            deviation = signal.samples.std(axis=0)
            if len({channel.unit for channel in signal.spec.channels}) == 1 and deviation.any():
                by_stream.setdefault(name, []).append(float(np.percentile(deviation[deviation > 0], 75)))
    return {name: float(np.percentile(each, 75, method="lower")) for name, each in by_stream.items()}


def _missing(recording: Recording) -> Iterator[Finding]:
    for stream, channels in recording.missing.items():
        for channel in channels:
            yield Finding(
                recording.name, stream, channel, "missing", 0.0, 0.0, "marked missing in the data", False
            )


def _channels(recording: Recording, stream: str, signal: Signal, strong: float) -> Iterator[Finding]:
    raw_emg = all(c.unit == "mV" for c in signal.spec.channels) and signal.spec.rate_hz >= 500
    gone = set(recording.missing.get(stream, ()))
    for channel, column in zip(signal.spec.channels, np.asarray(signal.samples, np.float64).T):
        if channel.name in gone:
            continue

        told = partial(Finding, recording.name, stream, channel.name)
        levels, deviation = len(np.unique(column)), float(column.std())
        if levels <= FEWEST_LEVELS:
            yield told("flat", levels, FEWEST_LEVELS, "values in all; is it connected?")
            continue
        if deviation < DEAD_SHARE * strong:
            yield told(
                "dead", deviation, DEAD_SHARE * strong, "deviation; mark it missing, or set dead_below"
            )
            continue
        if raw_emg:
            railed = _at_the_extremes(column)
            if railed > RAILED_SHARE:
                yield told(
                    "railed",
                    railed,
                    RAILED_SHARE,
                    "of samples at the limit; mark it missing, or set railed_at",
                )
                continue
            hum, hertz = _hum(column, signal.spec.rate_hz)
            if hum > HUM_SHARE:
                yield told("hum", hum, HUM_SHARE, f"of the power at {hertz:g} Hz; check ground and leads")
            if np.abs(column).max() > EMG_HIGHEST_MV:
                yield told("unit", float(np.abs(column).max()), EMG_HIGHEST_MV, "mV; are these uV or V?")


def _at_the_extremes(column: Float) -> float:
    """Share of samples within a thousandth of the range from the largest or the smallest, three rows or more at a time."""
    reach = 1e-3 * float(np.ptp(column))
    share = 0
    for near in (column >= column.max() - reach, column <= column.min() + reach):
        share += sum(b - a for a, b in runs(np.asarray(near, np.bool_)) if b - a >= 3)
    return share / len(column)


def _hum(column: Float, rate_hz: float) -> tuple[float, float]:
    """The largest share of power within 1 Hz of 50 or 60 Hz and odd harmonics, and which; 0 of less than 1 s."""
    if len(column) < rate_hz:
        return 0.0, 50.0
    power = np.abs(np.fft.rfft((column - column.mean()) * np.hanning(len(column)))) ** 2
    frequency = np.fft.rfftfreq(len(column), 1.0 / rate_hz)
    band = frequency >= 20.0  # what lies below is motion of the cable
    total = float(power[band].sum())
    shares = []
    for mains in (50.0, 60.0):
        near = np.zeros(len(frequency), np.bool_)
        for harmonic in np.arange(mains, rate_hz / 2, 2 * mains):
            near |= np.abs(frequency - harmonic) <= 1.0
        shares.append((float(power[near].sum()) / total if total > 0 else 0.0, mains))
    return max(shares)


def _rows(recording: Recording, stream: str, signal: Signal) -> Iterator[Finding]:
    samples = np.delete(signal.samples, recording.missing_places(stream), axis=1)
    if len(samples) < 2 or not samples.shape[1]:
        return
    same = np.asarray((samples[1:] == samples[:-1]).all(axis=1), np.bool_)
    longest = max((b - a for a, b in runs(same)), default=0) / signal.spec.rate_hz
    if longest > HELD_S:
        yield Finding(
            recording.name,
            stream,
            "all",
            "held",
            longest,
            HELD_S,
            "s without a new row: a gap that was filled",
        )
    elif same.mean() > REPEATED_SHARE:
        advice = "of rows repeat the one before: a lower rate?"
        yield Finding(recording.name, stream, "all", "repeated", float(same.mean()), REPEATED_SHARE, advice)


def _sensors(recording: Recording) -> Iterator[Finding]:
    for stream, signal in recording.signals.items():
        try:
            found = imus(signal.spec)
        except ContractError:
            continue
        gone = set(recording.missing_places(stream))
        samples = np.asarray(signal.samples, np.float64)
        turns: dict[str, float] = {}
        for imu in found:
            if gone & set(imu.places):
                continue
            accelerometer, gyroscope = samples[:, imu.places[:3]], samples[:, imu.places[3:]]
            told = partial(Finding, recording.name, stream, imu.segment)
            rest = float(np.median(np.linalg.norm(accelerometer, axis=1)))
            if not REST_LOW <= rest <= REST_HIGH:
                bound = REST_LOW if rest < REST_LOW else REST_HIGH
                yield told("unit", rest, bound, "m/s^2 is its median length: is it in g, or without gravity?")
            fastest = float(np.percentile(np.linalg.norm(gyroscope, axis=1), 99))
            if fastest > FASTEST:
                yield told("unit", fastest, FASTEST, "rad/s: is it in deg/s?")
            elif fastest > 0.5:  # standing still says nothing of which way is forward
                turns[imu.segment] = fastest
                yield from _mounting(imu.segment, accelerometer, gyroscope, rest, told)
        for below, above in (("shank", "thigh"), ("shank", "trunk"), ("thigh", "trunk")):
            if below in turns and above in turns and turns[above] > FASTER * turns[below]:
                advice = f"times as fast as the {below}: are they swapped?"
                yield Finding(
                    recording.name, stream, above, "swapped", turns[above] / turns[below], FASTER, advice
                )


def _mounting(
    segment: str, accelerometer: Float, gyroscope: Float, rest: float, told: Callable[..., Finding]
) -> Iterator[Finding]:
    upright = float(accelerometer[:, 1].mean())
    if segment in ("shank", "thigh", "trunk") and upright < 0.5 * rest:
        yield told(
            "turned", upright, 0.5 * rest, "m/s^2 along y, which should point up: mounted differently?"
        )
    elif segment == "shank":
        forward, back = np.percentile(gyroscope[:, 2], 99.5), -np.percentile(gyroscope[:, 2], 0.5)
        if forward > 0 and back / forward > LOPSIDED:
            yield told(
                "mirrored",
                float(back / forward),
                LOPSIDED,
                "times as fast backward as in swing: is z the wrong way round?",
            )


def _moments(recording: Recording) -> Iterator[Finding]:
    moments = recording.moments
    if moments is None:
        return
    valid = recording.is_valid(moments.times_s)
    samples = np.asarray(moments.samples, np.float64)[valid]
    if len(samples) < 10:
        return
    for channel, column in zip(moments.spec.channel_names, samples.T):
        told = partial(Finding, recording.name, "moments", channel)
        largest = float(np.abs(column).max())
        if largest > MOMENT_HIGHEST:
            yield told("unit", largest, MOMENT_HIGHEST, "Nm/kg: is it Nm, or N mm?")
        held = max(
            (
                b - a
                for edge in (column.max(), column.min())
                for a, b in runs(np.asarray(column == edge, np.bool_))
            ),
            default=0,
        )
        if largest > 0 and np.ptp(column) > 0 and held / moments.spec.rate_hz >= CLIPPED_S:
            yield told("clipped", held / moments.spec.rate_hz, CLIPPED_S, "s at its extreme: clipped?")
        if channel == "ankle_dorsiflexion_moment" and column.max() > -column.min() and column.max() > 0.3:
            advice = "Nm/kg: push-off must be negative; give the column scale = -1"
            yield told("sign", float(column.max()), float(-column.min()), advice)


def _lag(recording: Recording) -> Iterator[Finding]:
    """By how much a plantarflexor's envelope leads the ankle's push-off, where a whole recording can tell."""
    moments, emg = recording.moments, recording.signals.get("emg")
    name = "ankle_dorsiflexion_moment"
    if moments is None or emg is None or name not in moments.spec.channel_names:
        return
    rate = moments.spec.rate_hz
    gone = set(recording.missing.get("emg", ()))
    valid = recording.is_valid(moments.times_s)
    if valid.sum() < _LAG_S * rate or not valid.all():
        return
    push = -moments.samples[:, moments.spec.channel_names.index(name)].astype(np.float64)
    for channel in (c for c in emg.spec.channel_names if c in _PLANTARFLEXORS and c not in gone):
        column = np.abs(np.asarray(emg.samples, np.float64)[:, emg.spec.channel_names.index(channel)])
        width = max(1, round(0.1 * emg.spec.rate_hz))
        smooth = np.convolve(column - column.mean(), np.ones(width) / width, mode="same")
        envelope = np.interp(moments.times_s, emg.times_s, smooth)
        lags = np.arange(-round(0.5 * rate), round(0.5 * rate) + 1)
        follows = [
            float(np.corrcoef(np.roll(envelope, lag), push)[0, 1]) if np.ptp(envelope) else 0.0
            for lag in lags
        ]
        best = int(np.argmax(follows))
        lag_ms = 1000.0 * float(lags[best]) / rate
        if follows[best] > _FOLLOWS and not LAG_LOW_MS <= lag_ms <= LAG_HIGH_MS:
            bound = LAG_LOW_MS if lag_ms < LAG_LOW_MS else LAG_HIGH_MS
            yield Finding(
                recording.name,
                "emg",
                channel,
                "lag",
                lag_ms,
                bound,
                "ms before the moment it makes: shifted?",
            )
