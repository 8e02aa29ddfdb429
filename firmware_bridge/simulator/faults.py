"""Seeded faults between a node and the host, each countable: what was done to the frames is known exactly.

Frame faults act on whole delimited frames on their way; node faults (reboot, zero stamp, drift, stall) are acted out by the
virtual node, because only it knows its clock; link loss and silence cut the way for a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from toolkit.errors import UsageError


@dataclass(frozen=True)
class Faults:
    """What goes wrong, and how often. Shares are probabilities a frame; times are seconds after the start, 0 for never.

    ``burst_frames`` is the mean length of a run of lost frames that starts with probability ``burst``.
    A drift is the node's crystal against the host's, in parts per million.

    What happens to the sensors: at ``slip_s`` the strap of the IMU ``slip_imu`` slips, and turns it by ``slip_deg`` about its
    segment's long axis; at ``electrode_off_s`` the EMG channel ``electrode`` loses contact; from ``hum_s`` on (0: from the
    start) EMG has ``hum_mv`` of mains hum of ``hum_hz``.
    """

    flip: float = 0.0
    drop: float = 0.0
    burst: float = 0.0
    burst_frames: float = 10.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reboot_s: float = 0.0
    zero_stamp: float = 0.0
    drift_ppm: float = 0.0
    stall_s: float = 0.0
    stall_for_s: float = 1.0
    silent_s: float = 0.0
    link_loss_s: float = 0.0
    link_loss_for_s: float = 1.0
    jitter_ms: float = 0.0
    slip_s: float = 0.0
    slip_deg: float = 20.0
    slip_imu: str = "shank"
    electrode_off_s: float = 0.0
    electrode: str = "soleus"
    hum_s: float = 0.0
    hum_mv: float = 0.0
    hum_hz: float = 50.0

    def __post_init__(self) -> None:
        for name in ("flip", "drop", "burst", "duplicate", "reorder", "zero_stamp"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(
                    f"fault {name}={getattr(self, name)} is a share of frames and must be between 0 and 1"
                )
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                continue
            if not math.isfinite(value) or (value < 0 and field.name not in ("drift_ppm", "slip_deg")):
                raise UsageError(f"fault {field.name}={value} must be a finite number of at least 0")
        if not self.burst_frames >= 1:
            raise UsageError(f"fault burst_frames={self.burst_frames} must be at least 1")
        if abs(self.drift_ppm) > 1000:
            raise UsageError(f"fault drift_ppm={self.drift_ppm} must be within +-1000")

    @property
    def of_sensors(self) -> bool:
        """Whether something happens to the sensors, and not only to what they send."""
        return bool(self.slip_s or self.electrode_off_s or self.hum_mv)

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> Faults:
        """From text options, as in a ``sim://`` URL or ``--fault name=value``; UsageError names what is allowed."""
        known = {field.name for field in fields(cls)}
        values: dict[str, Any] = {}
        for name, text in options.items():
            if name not in known:
                raise UsageError(f"unknown fault {name!r}; allowed: {', '.join(sorted(known))}")
            if isinstance(getattr(cls, name), str):
                values[name] = text
                continue
            try:
                values[name] = float(text)
            except ValueError:
                raise UsageError(f"fault {name}={text!r} must be a number") from None
        return cls(**values)


@dataclass
class FaultCount:
    """What was done to the frames of one node."""

    sent: int = 0
    lost: int = 0
    flipped: int = 0
    duplicated: int = 0
    reordered: int = 0


class FaultyLink:
    """Takes a node's frames in order and gives out what arrives, in the order of arrival."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self._faults = faults
        self._random = np.random.default_rng(seed)
        self._held: bytes | None = None
        self._burst_left = 0
        self.count = FaultCount()

    def send(self, frame: bytes) -> list[bytes]:
        """One delimited frame (its closing 0x00 included) goes in; none, one or several come out."""
        faults, random = self._faults, self._random
        self.count.sent += 1
        if self._lost():
            self.count.lost += 1
            return self._release([])
        if random.random() < faults.flip:
            frame = self._flip(frame)
            self.count.flipped += 1
            return self._release([frame])
        if random.random() < faults.duplicate:
            self.count.duplicated += 1
            return self._release([frame, frame])
        if self._held is None and random.random() < faults.reorder:
            self.count.reordered += 1
            self._held = frame
            return []
        return self._release([frame])

    def flush(self) -> list[bytes]:
        """What was still held back."""
        return self._release([])

    def _release(self, frames: list[bytes]) -> list[bytes]:
        if self._held is not None:
            frames = [*frames, self._held]
            self._held = None
        return frames

    def _lost(self) -> bool:
        if self._burst_left:
            self._burst_left -= 1
            return True
        if self._random.random() < self._faults.burst:
            self._burst_left = int(self._random.geometric(1.0 / self._faults.burst_frames)) - 1
            return True
        return bool(self._random.random() < self._faults.drop)

    def _flip(self, frame: bytes) -> bytes:
        """Turn one to three bits anywhere in the frame, its delimiter included."""
        damaged = bytearray(frame)
        for _ in range(int(self._random.integers(1, 4))):
            damaged[int(self._random.integers(0, len(damaged)))] ^= 1 << int(self._random.integers(0, 8))
        return bytes(damaged)
