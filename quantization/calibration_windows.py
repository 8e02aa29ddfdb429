"""Which windows a conversion sees: those that calibrate, golden ones, and those that recipes are judged by.

All are drawn from a seed, evenly over people and tasks. The test part of a split is never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.data.splits import Segment, Split, select
from toolkit.data.windows import cut
from toolkit.errors import RecordingError
from toolkit.model.float_model import FloatModel
from toolkit.records import Recording, Windows

GOLDEN_WINDOWS = 32
#: Candidates for calibration are cut this far apart, in grid samples: neighbours are nearly the same window.
STRIDE = 5


@dataclass(frozen=True, eq=False)
class Drawn:
    """Windows drawn for calibration and as golden vectors, the split they come from and what its choice means."""

    calibration: Windows
    golden: Windows
    split: Split
    available: int
    notes: tuple[str, ...] = ()


def draw(checkpoint: FloatModel, recordings: Sequence[Recording], count: int, seed: int) -> Drawn:
    """Draw ``count`` calibration windows, and golden ones, from the train part of the checkpoint's split.

    Without a split, or if the split has none of these people in its train part, the first 60 % of each
    recording are used and a note says so. Raises RecordingError if there is no window at all.
    """
    split, notes = calibration_split(checkpoint, recordings)
    windows = cut(select(recordings, split, "train"), checkpoint.contract, STRIDE)
    if not len(windows):
        raise RecordingError(
            f"the train part of the data has no window of {checkpoint.contract.window} samples; record longer or use "
            "other data"
        )
    generator = np.random.default_rng(seed)
    calibration = windows.take(stratified(windows, count, generator))
    golden = windows.take(stratified(windows, GOLDEN_WINDOWS, generator))
    return Drawn(calibration, golden, split, len(windows), notes)


def stratified(windows: Windows, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Indices of at most ``count`` windows, ascending: as many of each person and task as there are, evenly.

    A group that has too few gives all of its own, and the others make up for it.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for index, owner in enumerate(windows.recording):
        recording = windows.recordings[owner]
        groups.setdefault((recording.person, recording.task), []).append(index)
    queues = [list(generator.permutation(members)) for _, members in sorted(groups.items())]
    queues = [queues[i] for i in generator.permutation(len(queues))]
    longest = max(len(queue) for queue in queues)
    turns = [int(queue[turn]) for turn in range(longest) for queue in queues if turn < len(queue)]
    return np.sort(np.array(turns[:count], np.int64))


def calibration_split(
    checkpoint: FloatModel, recordings: Sequence[Recording]
) -> tuple[Split, tuple[str, ...]]:
    """The checkpoint's split if these recordings have a train part in it."""
    chronological = Split("chronological")
    if checkpoint.split is None:
        return chronological, ("the checkpoint has no split: calibrated on the first 60 % of each recording",)
    split = Split.from_json(checkpoint.split)
    try:
        select(recordings, split, "train")
    except RecordingError:
        return chronological, (
            "nobody in the data is in the train part of the checkpoint's split: calibrated on the first 60 % of each "
            "recording, which a bench on the same data sees again",
        )
    return split, ()


def seen(recordings: Sequence[Recording], split: Split) -> list[Recording]:
    """The recordings that a conversion may look into: those with a train or a validation part, in order."""
    inside = {id(segment.recording) for segment in select(recordings, split, "train")}
    with suppress(RecordingError):
        inside |= {id(segment.recording) for segment in select(recordings, split, "validation")}
    return [recording for recording in recordings if id(recording) in inside]


#: What recipes are judged by, in words.
VALIDATION = "the validation part of the split"
STAND_IN = "the last fifth of each recording of the train part: none of the people of the validation part are in this data"


def validation_segments(recordings: Sequence[Recording], split: Split) -> tuple[list[Segment], str]:
    """What recipes may be judged by, never the test part: VALIDATION, or what stands in for it, STAND_IN."""
    try:
        return select(recordings, split, "validation"), VALIDATION
    except RecordingError:
        train = select(recordings, split, "train")
        return [
            Segment(s.recording, s.stop_s - 0.2 * (s.stop_s - s.start_s), s.stop_s) for s in train
        ], STAND_IN
