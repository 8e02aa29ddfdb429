"""What data was used, as it is written into checkpoints and bundles: names, people, and hashes over every sample."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.contract import stream_to_json
from toolkit.printable import terminal_text
from toolkit.records import Recording


def data_provenance(recordings: Sequence[Recording], source: str) -> dict[str, Any]:
    """What the data was: source, kinds, people, tasks, recording names and one SHA-256 over every sample."""
    return {
        "source": source,
        "kinds": sorted({recording.kind for recording in recordings}),
        "people": sorted({recording.person for recording in recordings}),
        "tasks": sorted({recording.task for recording in recordings}),
        "recordings": {recording.name: recording_hash(recording)[:16] for recording in recordings},
    }


def recording_hash(recording: Recording) -> str:
    """SHA-256 of a recording's identity, streams, moments, valid spans and missing channels, 64 hex digits."""
    digest = hashlib.sha256()
    head = [recording.name, recording.person, recording.task, recording.kind, recording.mass_kg]
    digest.update(json.dumps(head).encode())
    signals = [recording.signals[name] for name in sorted(recording.signals)]
    for signal in [*signals, *([recording.moments] if recording.moments is not None else [])]:
        digest.update(json.dumps([stream_to_json(signal.spec), signal.start_s]).encode())
        digest.update(np.ascontiguousarray(signal.samples, dtype="<f8").tobytes())
    if recording.valid_s is not None or recording.missing:
        gone = {name: list(recording.missing[name]) for name in sorted(recording.missing)}
        digest.update(json.dumps([recording.valid_s, gone]).encode())
    return digest.hexdigest()


def source_name(source: str | Sequence[Recording]) -> str:
    """The source of recordings without the folders of this machine."""
    if not isinstance(source, str):
        return "recordings in memory"
    return (
        source if source.startswith("synthetic") else terminal_text(Path(source.partition(":root=")[0]).name)
    )
