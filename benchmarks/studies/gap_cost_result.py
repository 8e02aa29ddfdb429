"""What :mod:`benchmarks.studies.gap_cost` finds: one record a pattern of losses, their share and the policy for gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from firmware_bridge.streams.alignment import GapPolicy

#: How frames are lost: each by itself, or all in outages.
Pattern = Literal["random", "bursts"]


@dataclass(frozen=True)
class GapCost:
    """One pattern, share and policy, over all recordings and seeds. RMSE in Nm/kg over all joints.

    ``cost``: engine name -> RMSE against the same engine's run without loss. ``error``: RMSE against the reference moments, and
    ``error_without_loss`` of the same rows. ``marked``: share of moments that rest on a gap (in the model's window). With
    ``invalidate`` those are not given out, and the RMSEs are of the others (None if there are none). ``wait_ms``: from a
    row's own time to its moment's last byte, 99th percentile. ``degraded``: share of moments that the daemon's rule, which lets
    short gaps pass (docs/DAEMON.md), calls degraded.
    """

    pattern: Pattern
    loss: float
    policy: GapPolicy
    lost_share: float
    marked: float
    cost: Mapping[str, float | None]
    error: Mapping[str, float | None]
    error_without_loss: Mapping[str, float | None]
    wait_ms: float
    degraded: float
