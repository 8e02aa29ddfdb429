"""Whether the daemon does its work, for a load balancer, a supervisor or a person with curl."""

from __future__ import annotations

from typing import Any

from runtime.pipeline.estimate import State
from runtime.status.status import DaemonStatus


def health(status: DaemonStatus) -> tuple[bool, dict[str, Any]]:
    """Whether it is well, and why not, as JSON values.

    Well means: samples and estimates came within the last second, and the newest estimate may be used (ok or degraded). A sink
    that is down, a recording that cannot be written, a disk that is nearly full, a part that was begun again and a refused
    reload do not stop estimates: they are warnings.
    """
    why = []
    if status.newest is None:
        why.append("no estimate yet")
    if not status.advancing:
        why.append("no sample or no estimate within the last second")
    if status.state in (State.STALE, State.INVALID):
        why.append(f"{status.state.value}: {', '.join(status.reasons) or 'no reason given'}")
    if status.contract_trouble is not None:
        why.append(status.contract_trouble)
    warnings = [f"{sink.name}: {sink.trouble}" for sink in status.sinks if sink.trouble is not None]
    if status.recording is not None and status.recording.trouble is not None:
        warnings.append(f"recording: {status.recording.trouble}")
    warnings += [
        f"disk of {disk.folder}: {disk.free_bytes / 1e9:.2f} GB free"
        for disk in status.disks
        if disk.low and disk.free_bytes is not None
    ]
    warnings += [f"{part.name}: {part.trouble}" for part in status.parts if part.trouble is not None]
    if status.model.reload_trouble is not None:
        warnings.append(f"reload: {status.model.reload_trouble}")
    well = not why
    return well, {
        "well": well,
        "why": why,
        "warnings": warnings,
        "state": status.state.value,
        "reasons": list(status.reasons),
        "in_state_s": round(status.in_state_s, 3),
        "uptime_s": round(status.uptime_s, 3),
    }
