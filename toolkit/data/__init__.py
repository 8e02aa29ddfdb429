"""Recordings: readers, synthetic gait, virtual IMU, splits and windows."""

from __future__ import annotations

from toolkit.data.sources import load

__all__ = ["load"]
