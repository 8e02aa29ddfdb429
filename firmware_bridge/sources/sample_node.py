"""Samples with time stamps (of LSL, of BrainFlow) as the frames of PROTOCOL.md, so that all that follows is the same for them.

The node that such a source plays is made here: its sequence numbers count what this process made, so its ledger
says what was lost between the source and its consumer. What was lost before is in the sample numbers: known where the
sensor counts its samples, inferred from the stamps where it does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.packets import (
    Data,
    Descriptor,
    Status,
    StreamDescriptor,
    SyncReply,
)
from firmware_bridge.protocol.table import (
    DATA_HEADER_BYTES,
    FORMAT_BYTES,
    MAX_SAMPLES,
    Format,
)

Float = NDArray[np.float64]
Count = NDArray[np.int64]

STATUS_S = 1.0
DESCRIPTOR_S = 5.0
_TURN = 1 << 32
#: The stamps' line remembers about this long.
_MEMORY_S = 5.0
#: A line begins as if it had seen so many samples at the nominal rate: two jittery stamps alone say nothing about a rate.
_PRIOR_SAMPLES = 20
#: Nominal rates are wrong by up to this share.
_RATE_OFF = 0.05
#: A stamp further off its line than this many periods, and than this many mean deviations, is no jitter.
_GAP_PERIODS = 2.5
_GAP_DEVIATIONS = 10.0
#: How fast the deviation follows larger errors, and smaller ones, in samples: jitter is learnt at once and not forgotten soon.
_ATTACK_SAMPLES, _DECAY_SAMPLES = 10, 100


class SampleClock:
    """Sample numbers and even times from stamps of one regularly sampled stream.

    The times follow the stamps along a line, an alpha-beta filter with the gains of growing-memory least squares (Brookner,
    Tracking and Kalman Filtering Made Easy, 1998, section 1.2) up to a memory of 5 s; without ``smooth`` they are the stamps.
    A stamp far off the line begins a new line. If the sensor does not count its samples (no ``steps``), one that is far
    ahead also says how many samples are missing: as many as fit the time.
    """

    def __init__(self, rate_hz: float, smooth: bool = True) -> None:
        self._rate_hz = rate_hz
        self._smooth = smooth
        self._period = 1.0 / rate_hz
        self._time = 0.0
        self._number = -1
        self._seen = 0.0
        self._deviation = 0.0
        #: Lines begun after the first.
        self.jumps = 0

    def number_samples(self, stamps_s: Float, steps: Count | None = None) -> tuple[Count, Float]:
        """Numbers and times of samples stamped ``stamps_s`` (n,), finite.

        ``steps`` (n,): how far each sample's number is from the one before, 1 without loss.
        """
        numbers, times = np.empty(len(stamps_s), np.int64), np.empty(len(stamps_s))
        for place, stamp in enumerate(stamps_s.tolist()):
            self._one(stamp, None if steps is None else int(steps[place]))
            numbers[place], times[place] = self._number, self._time
        return numbers, times if self._smooth else stamps_s.astype(np.float64)

    def _one(self, stamp_s: float, step: int | None) -> None:
        if self._number < 0:
            self._number = 0
            self._restart(stamp_s)
            return
        ahead = 1 if step is None else step
        error = stamp_s - (self._time + ahead * self._period)
        limit = max(_GAP_PERIODS * self._period, _GAP_DEVIATIONS * self._deviation)
        # A hole must not pass for jitter for long, jitter not for one hole after the other.
        above = min(abs(error), limit) - self._deviation
        self._deviation += above / (_ATTACK_SAMPLES if above > 0 else _DECAY_SAMPLES)
        if abs(error) > limit:
            self.jumps += 1
            if step is None:
                # A jump of more than half a turn of the numbers says nothing about how many are missing.
                ahead += round(min(max(0.0, error * self._rate_hz), _TURN / 2 - 2))
            self._number += ahead
            self._restart(stamp_s)
            return
        self._number += ahead
        self._seen = min(self._seen + 1, max(_MEMORY_S * self._rate_hz, 2 * _PRIOR_SAMPLES))
        n = self._seen
        self._time = stamp_s - error + 2 * (2 * n - 1) / (n * (n + 1)) * error
        period = self._period + 6 / (n * (n + 1)) * error / ahead
        nominal = 1.0 / self._rate_hz
        self._period = min(max(period, nominal * (1 - _RATE_OFF)), nominal * (1 + _RATE_OFF))

    def _restart(self, stamp_s: float) -> None:
        self._time, self._seen = stamp_s, float(_PRIOR_SAMPLES)


class SampleNode:
    """Frames of one node from its samples. A descriptor comes at once and every 5 s, a status every second."""

    def __init__(self, descriptor: Descriptor, boot: int) -> None:
        self.descriptor = descriptor
        self._writer = FrameWriter(0, boot)
        self._dropped = 0
        self._status_at_s = self._descriptor_at_s = -np.inf

    @property
    def samples_dropped(self) -> int:
        """Samples of this boot session that could not be sent because a value was not finite."""
        return self._dropped

    def housekeeping(self, now_s: float) -> bytes:
        """Descriptor and status if they are due at ``now_s``, on the node's clock."""
        frames: list[bytes] = []
        stamp = device_us(now_s)
        if now_s >= self._descriptor_at_s:
            self._descriptor_at_s = now_s + DESCRIPTOR_S
            frames += self._writer.frames(self.descriptor, stamp)
        if now_s >= self._status_at_s:
            self._status_at_s = now_s + STATUS_S
            frames += self._writer.frames(Status(flags=2, samples_dropped=self._dropped % _TURN), stamp)
        return b"".join(frames)

    def samples(self, number: int, numbers: Count, times_s: Float, values: NDArray[np.generic]) -> bytes:
        """Data frames of stream ``number``: sample numbers (n,), times (n,) on the node's clock, values (n, channels).

        A sample with a value that is not finite is not sent (PROTOCOL.md section 5); its number is missing then.
        """
        stream = self.descriptor.stream(number)
        assert stream is not None
        finite = np.isfinite(values).all(axis=1)
        self._dropped += int((~finite).sum())
        numbers, times_s, values = numbers[finite], times_s[finite], values[finite]
        frames: list[bytes] = []
        room = self._samples_a_frame(stream)
        for run in np.split(np.arange(len(numbers)), np.flatnonzero(np.diff(numbers) != 1) + 1):
            for begin in range(0, len(run), room):
                rows = run[begin : begin + room]
                data = Data.of(number, stream.format, int(numbers[rows[0]]) % _TURN, values[rows])
                frames += self._writer.frames(data, device_us(float(times_s[rows[-1]])))
        return b"".join(frames)

    def sync(self, sent_ns: int, node_s: float) -> bytes:
        """What a node answers that got a request of the host's ``sent_ns`` when its clock read ``node_s``, at once."""
        stamp = device_us(node_s)
        return b"".join(self._writer.frames(SyncReply(max(0, sent_ns), stamp), stamp))

    def _samples_a_frame(self, stream: StreamDescriptor) -> int:
        size = FORMAT_BYTES[stream.format] * len(stream.channels)
        return max(1, min((self._writer.room - DATA_HEADER_BYTES) // size, MAX_SAMPLES))


def device_us(seconds: float) -> int:
    """A node's clock as frames carry it: microseconds modulo 2^32, never 0."""
    return round(seconds * 1e6) % _TURN or 1


def format_of(values: np.dtype[np.generic]) -> Format:
    """int8 and int16 as int16, all else as float32 (exact for integers up to 2^24)."""
    return (
        Format.INT16 if np.issubdtype(values, np.signedinteger) and values.itemsize <= 2 else Format.FLOAT32
    )
