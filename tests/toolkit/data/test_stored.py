"""A recording that stays in its file is the same recording, and its features come from the cache the second time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.toolkit.data.test_masks import pair, pair_contract
from toolkit.contract import Normaliser
from toolkit.data import load, stored, windows
from toolkit.data.feature_cache import FeatureFile
from toolkit.data.readers.npz import read_recording, read_signal, write_recording
from toolkit.data.sequences import sequences
from toolkit.data.splits import Segment, Split, select
from toolkit.data.stored import StoredRecording
from toolkit.errors import RecordingError, UsageError
from toolkit.records import Recording


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two recordings of 100 rows: one masked and without tibialis anterior."""
    monkeypatch.setenv("EDGETOOL_CACHE", str(tmp_path / "cache"))
    first = dataclasses.replace(
        pair("a", 7.0, ("tib_ant",)), valid_s=((0.2, 0.5),), heel_strikes_s=(0.1, 0.9)
    )
    second = dataclasses.replace(pair("b", 3.0), name="b/level")
    (tmp_path / "set").mkdir()
    for one in (first, second):
        write_recording(tmp_path / "set" / f"{one.person}.npz", one)
    return tmp_path / "set"


def contract(mean: float = 5.0) -> Any:
    return pair_contract(Normaliser((mean, 30.0), (2.0, 4.0)))


def whole(recordings: Sequence[Recording]) -> list[Segment]:
    return select(recordings, Split("chronological", (0.0, 0.0, 1.0)), "test")


def test_rows_of_a_sequence_are_read_when_asked_for(folder: Path) -> None:
    stored_ones = load(str(folder))
    segments = select(stored_ones, Split("chronological", (0.0, 0.4, 0.6)), "test")
    plain = [read_recording(path) for path in sorted(folder.iterdir())]
    same = select(plain, Split("chronological", (0.0, 0.4, 0.6)), "test")
    for lazy, whole_one in zip(sequences(segments, contract()), sequences(same, contract()), strict=True):
        assert len(lazy) == len(whole_one) and np.array_equal(lazy.counted, whole_one.counted)
        for name, table in lazy.inputs.items():
            assert not isinstance(table, np.ndarray)
            for rows in (slice(None), slice(3, 9), slice(4, None, 2), slice(-5, None), np.array([7, 2])):
                assert np.array_equal(table[rows], whole_one.inputs[name][rows])
            assert table[len(lazy) - 2 : len(lazy) + 40].shape[0] == 2  # not the rows of the part behind it


def test_it_is_the_same_recording(folder: Path) -> None:
    for one, path in zip(load(str(folder)), sorted(folder.iterdir())):
        assert isinstance(one, StoredRecording)
        read = read_recording(path)
        for field in (
            "name",
            "person",
            "task",
            "kind",
            "mass_kg",
            "heel_strikes_s",
            "valid_s",
            "missing",
            "provenance",
        ):
            assert getattr(one, field) == getattr(read, field), field
        assert list(one.signals) == list(read.signals) and one.span_s == read.span_s == (0.0, 1.0)
        for name in read.signals:
            assert one.signals[name].spec == read.signals[name].spec
            np.testing.assert_array_equal(one.signals[name].samples, read.signals[name].samples)
        assert one.moments is not None and read.moments is not None
        np.testing.assert_array_equal(one.moments.samples, read.moments.samples)
        changed = dataclasses.replace(one, task="stairs-up")
        assert (
            type(changed) is Recording
            and changed.task == "stairs-up"
            and set(changed.signals) == {"imu", "emg"}
        )


def test_windows_are_those_of_recordings_in_memory(folder: Path) -> None:
    stored = windows.cut(whole(load(str(folder))), contract())
    memory = windows.cut(whole([read_recording(path) for path in sorted(folder.iterdir())]), contract())
    np.testing.assert_array_equal(stored.targets, memory.targets)
    np.testing.assert_array_equal(stored.time_s, memory.time_s)
    for name in ("imu", "emg"):
        np.testing.assert_array_equal(stored.inputs[name], memory.inputs[name])
    assert not stored.gather(np.array([0]))["emg"][..., 1].any()  # the missing channel


def test_features_are_computed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = windows.cut(whole(load(str(folder))), contract())
    files = sorted((folder.parent / "cache" / "features").iterdir())
    assert len(files) == 4 and isinstance(FeatureFile(files[0])[slice(0, 2)], np.ndarray)
    monkeypatch.setattr(windows, "Chain", None)  # nothing is filtered any more
    again = windows.cut(whole(load(str(folder))), contract())
    np.testing.assert_array_equal(again.inputs["emg"], first.inputs["emg"])
    with pytest.raises(TypeError):
        windows.cut(whole(load(str(folder))), contract(mean=6.0))  # another normaliser, other features


def test_each_stream_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, str]] = []

    def counted(path: Path, head: Any, name: str, missing: tuple[str, ...]) -> Any:
        read.append((path.stem, name))
        return read_signal(path, head, name, missing)

    monkeypatch.setattr(stored, "read_signal", counted)
    monkeypatch.setattr(stored, "_KEPT", 1)  # as with a hundred recordings: what was read is soon gone
    windows.cut(whole(load(str(folder))), contract())
    assert sorted(read) == [(person, name) for person in "ab" for name in ("emg", "imu", "moments")]


def test_other_content_has_other_features(folder: Path) -> None:
    before = load(str(folder))[1]
    assert isinstance(before, StoredRecording)
    write_recording(folder / "b.npz", dataclasses.replace(pair("b", 9.0), name="b/level"))
    after = load(str(folder))[1]
    assert isinstance(after, StoredRecording) and after.content != before.content
    assert after.signals["emg"].samples[0, 0] == 9.0


def test_a_cache_that_others_can_write_is_refused(folder: Path) -> None:
    windows.cut(whole(load(str(folder))), contract())
    (folder.parent / "cache" / "features").chmod(0o777)
    with pytest.raises(UsageError, match="can be written by others"):
        windows.cut(whole(load(str(folder))), contract())


def test_damaged_files_are_told(folder: Path) -> None:
    path = folder / "a.npz"
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    with pytest.raises(RecordingError, match=r"a\.npz is not a whole recording of edgetool's"):
        load(str(folder))
    path.write_bytes(content.replace(b'"mass_kg": 70.0', b'"mass_kg": 90.0'))
    np.savez(path, samples=np.zeros(3))
    with pytest.raises(RecordingError, match="has no array 'recording'"):
        load(str(folder))


def test_an_hour_is_enough_to_fit_on() -> None:
    segments = [Segment(pair("a", 1.0), 0.0, 1.0) for _ in range(10)]
    assert windows.sample(segments, 20.0) == segments
    some = windows.sample(segments, 4.0)
    assert [segments.index(one) for one in some] == [1, 3, 6, 8]
