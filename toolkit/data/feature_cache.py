"""Features of stored recordings in files, by content: computed once, read a few rows at a time, never held whole.

They lie in the cache folder (``EDGETOOL_CACHE``), which nobody else may write. A file's name is a hash of what is in the
recording and of the input's stream, filters and normaliser, so it never has to be renewed; the folder ``features`` may be
removed at any time.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.cache_folder import is_trusted, trusted_folder
from toolkit.contract import ModelInput, stream_to_json
from toolkit.data.stored import StoredRecording
from toolkit.errors import OutputError
from toolkit.files import write_bytes

#: Changes when the arithmetic of features does, so that nothing old is read.
_VERSION = 1
#: Raw samples that are filtered side by side, in bytes: the time loop is Python's, so many at once are faster.
_SIDE_BY_SIDE = 256 << 20

Compute = Callable[[Sequence[StoredRecording]], list[dict[str, NDArray[np.float32]]]]


class FeatureFile:
    """Features (rows, channels) in a .npy file; mapped for as long as rows are copied out of it."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            self.shape, _, self._dtype = np.lib.format.read_array_header_1_0(file)
            self._offset = file.tell()
        self._path = path

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        mapped = np.memmap(self._path, self._dtype, "r", self._offset, self.shape)
        return np.array(mapped[rows], np.float32)


def cached(
    recordings: Sequence[StoredRecording], inputs: Sequence[ModelInput], grid_rate_hz: float, compute: Compute
) -> list[dict[str, FeatureFile]]:
    """The features of each recording, from the cache; ``compute`` makes those that are not there yet, some at a time."""
    folder = trusted_folder() / "features"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot use the cache folder {folder}: {error.strerror or error}; set EDGETOOL_CACHE to another one"
        ) from None
    is_trusted(folder, is_folder=True)
    chain = {item.stream.name: _said(item, grid_rate_hz) for item in inputs}
    paths = [
        {name: folder / f"{_key(recording, said)}.npy" for name, said in chain.items()}
        for recording in recordings
    ]
    lacking = [i for i, own in enumerate(paths) if not all(is_trusted(path) for path in own.values())]
    for some in _chunks(recordings, lacking):
        for index, made in zip(some, compute([recordings[i] for i in some])):
            for name, rows in made.items():
                content = io.BytesIO()
                np.lib.format.write_array(content, np.ascontiguousarray(rows), (1, 0), allow_pickle=False)
                write_bytes(paths[index][name], content.getvalue())
    return [{name: FeatureFile(path) for name, path in own.items()} for own in paths]


def _said(item: ModelInput, grid_rate_hz: float) -> str:
    filters = [[stage.kind, dict(stage.parameters)] for stage in item.filters]
    normaliser = [item.normaliser.mean, item.normaliser.std]
    return json.dumps(
        [_VERSION, stream_to_json(item.stream), filters, normaliser, grid_rate_hz], sort_keys=True
    )


def _key(recording: StoredRecording, said: str) -> str:
    missing: Mapping[str, tuple[str, ...]] = recording.missing
    gone = {name: list(channels) for name, channels in sorted(missing.items())}
    return hashlib.sha256(json.dumps([recording.content, gone, said]).encode()).hexdigest()


def _chunks(recordings: Sequence[StoredRecording], places: Sequence[int]) -> list[list[int]]:
    """``places`` in groups whose raw samples fit into memory side by side."""
    groups: list[list[int]] = []
    room = 0
    for place in places:
        streams = recordings[place].head.streams.values()
        size = sum(8 * rows * len(spec.channels) for spec, _, rows in streams)
        if not groups or size > room:
            groups.append([])
            room = _SIDE_BY_SIDE
        groups[-1].append(place)
        room -= size
    return groups
