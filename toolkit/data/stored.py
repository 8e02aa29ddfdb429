"""Recordings that stay in their file until their samples are asked for: a hundred hours are indexed in a few megabytes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from toolkit.contract import StreamSpec
from toolkit.data.readers.npz import StoredHead, read_head, read_signal
from toolkit.records import Recording, Signal

#: Streams that are kept once read: those of the recording at hand, and of the one before.
_KEPT = 6


class StoredSignals(Mapping[str, Signal]):
    """The streams of one file, each read when it is asked for. The last few of all files are kept."""

    _last: ClassVar[OrderedDict[tuple[Path, str, str], Signal]] = OrderedDict()

    def __init__(
        self, path: Path, head: StoredHead, names: tuple[str, ...], gone: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._path, self._head, self._names, self._gone = path, head, names, gone

    def __getitem__(self, name: str) -> Signal:
        if name not in self._names:
            raise KeyError(name)
        key = self._path, name, self._head.checksums
        if key not in self._last:
            self._last[key] = read_signal(self._path, self._head, name, self._gone.get(name, ()))
            while len(self._last) > _KEPT:
                self._last.popitem(last=False)
        self._last.move_to_end(key)
        return self._last[key]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class StoredRecording(Recording):
    """A recording of edgetool's NPZ file. ``content`` is a hash of what is in the file, by the checksums of its parts.

    Whatever changes a field (``dataclasses.replace``) reads it and gives a plain recording.
    """

    content: str
    head: StoredHead

    def __new__(cls, *args: Any, **fields: Any) -> Recording:  # type: ignore[misc]
        return Recording(*args, **fields)

    @classmethod
    def open(cls, path: Path) -> StoredRecording:
        """Read the head of the file alone; RecordingError as :func:`toolkit.data.readers.npz.read_recording`."""
        head = read_head(path)
        one: StoredRecording = object.__new__(cls)
        for field, value in head.fields.items():
            object.__setattr__(one, field, value)
        names = tuple(name for name in head.streams if name != "moments")
        object.__setattr__(one, "_signals", StoredSignals(path, head, names, head.fields["missing"]))
        object.__setattr__(one, "_labels", StoredSignals(path, head, tuple(head.streams), {}))
        object.__setattr__(one, "head", head)
        object.__setattr__(one, "content", hashlib.sha256(head.checksums.encode()).hexdigest())
        return one

    def extent(self, stream: str) -> tuple[StreamSpec, float, int]:
        """What ``stream`` is, where it starts, s, and how many rows it has; told by the head, no samples are read."""
        return self.head.streams[stream]

    @property
    def signals(self) -> Mapping[str, Signal]:
        """Streams by name, read when asked for."""
        found: Mapping[str, Signal] = self.__dict__["_signals"]
        return found

    @property
    def moments(self) -> Signal | None:
        """The joint moments, read when asked for."""
        labels: Mapping[str, Signal] = self.__dict__["_labels"]
        return labels.get("moments")
