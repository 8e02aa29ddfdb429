"""Markers that other programs send over LSL, into the recording."""

from __future__ import annotations

from firmware_bridge.sources.lsl_markers import follow_markers
from runtime.daemon.clock import SourceClock
from runtime.daemon.recorder import Recorder
from runtime.log.journal import Journal


async def record_markers(name: str, recorder: Recorder, clock: SourceClock, journal: Journal) -> None:
    """Write every marker of the LSL stream ``name``, until cancelled.

    At the time that its sender gave it; in a replay, which has a clock of its own, when it comes.
    """

    def give(text: str, at_ns: int) -> None:
        recorder.mark(text, clock.now_ns() if clock.foreign else at_ns)
        journal.info("marker", text=text, source=name)

    await follow_markers(name, give, lambda words: journal.info("markers", what=words))
