"""Items of a source to estimates, in one call: what the daemon does on two threads, replay and tests do on one.

    pipeline = Pipeline(Intake(bundle.contract), Estimator(bundle.contract, open_engine(bundle)))
    for item in items:
        for estimate in pipeline.process(item):
            ...

Nothing here reads a clock, so a recording gives the estimates of the live run again, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from firmware_bridge.items import Recorded
from firmware_bridge.recording.file import RecordingReader
from runtime.pipeline.estimator import Estimator, RowEstimate
from runtime.pipeline.intake import Intake


def still() -> float:
    """A clock that stands still: with it an estimator never takes its engine for slow."""
    return 0.0


@dataclass(eq=False)
class Pipeline:
    """Intake and estimator in a row."""

    intake: Intake
    estimator: Estimator

    def process(self, item: Recorded) -> list[RowEstimate]:
        """The estimates that ``item`` completes, in order."""
        batch = self.intake.decode(item)
        return self.estimator.estimate(batch) if batch is not None else []

    def run(self, items: Iterable[Recorded]) -> Iterator[RowEstimate]:
        """The estimates of all ``items``."""
        for item in items:
            yield from self.process(item)

    def replay(self, recording: Path) -> Iterator[RowEstimate]:
        """The estimates of a recording, as fast as they come. RecordingError if the file is none, or damaged in the middle."""
        return self.run(RecordingReader.open(recording).items())
