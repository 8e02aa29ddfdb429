"""Windows that are gathered when asked for are those that would lie in memory, and take none."""

from __future__ import annotations

import numpy as np
import pytest

from tests.toolkit.data.test_windows import contract, recording
from toolkit.data.gather import GatheredInputs
from toolkit.data.splits import Segment
from toolkit.data.windows import cut
from toolkit.learning.batches import WindowBatches


def two() -> GatheredInputs:
    """Rows 0 to 9 of one recording and 100 to 109 of another; windows of 3 that end at rows 2, 5 (first), 2, 9 (second)."""
    features = [{"imu": np.arange(start, start + 10, dtype=np.float32)[:, None]} for start in (0, 100)]
    return GatheredInputs(features, np.array([0, 0, 1, 1], np.int32), np.array([2, 5, 2, 9]), 3)


def test_a_window_is_the_rows_that_end_at_its_last() -> None:
    assert two()["imu"][..., 0].tolist() == [[0, 1, 2], [3, 4, 5], [100, 101, 102], [107, 108, 109]]


def test_a_few_are_gathered_in_the_order_asked_for() -> None:
    found = two().gather(np.array([3, 0, 3]))["imu"][..., 0]
    assert found.tolist() == [[107, 108, 109], [0, 1, 2], [107, 108, 109]]
    assert two().gather(slice(1, 3))["imu"][:, -1, 0].tolist() == [5, 102]
    assert two().gather(np.array([], np.int64))["imu"].shape == (0, 3, 1)
    with pytest.raises(KeyError):
        two()["emg"]


def test_some_of_some_are_the_same() -> None:
    part = two().take(np.array([3, 1]))
    assert part["imu"][:, 0, 0].tolist() == [107, 3]
    assert part.take(slice(1, None)).gather(slice(None))["imu"][..., 0].tolist() == [[3, 4, 5]]


def test_cut_windows_hold_no_copies() -> None:
    """1,000 rows of one channel: 4 kB of features a stream, and 64 times as much as windows."""
    windows = cut([Segment(recording(1000), 0.0, 10.0)], contract(window=64))
    inputs = windows.inputs
    assert isinstance(inputs, GatheredInputs) and not inputs._whole
    batch, targets = WindowBatches(windows).batches(np.array([0, 500]))
    assert batch["imu"].shape == (2, 64, 1) and targets[:, 0].tolist() == [63, 563]
    assert not inputs._whole
    np.testing.assert_array_equal(windows.take(slice(0, 5)).inputs["imu"], inputs["imu"][:5])
