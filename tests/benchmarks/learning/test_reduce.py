"""Fewer sensors: the least important go first, each choice is trained anew, and a recording loses what it is told to."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.learning import reduce_report as report
from benchmarks.learning.compare import compare
from benchmarks.learning.jobs import Pool
from benchmarks.learning.reduce import reduce
from tests.benchmarks.learning.test_compare import SMALL
from toolkit.data import load
from toolkit.data.subset import only
from toolkit.errors import UsageError
from toolkit.model.checkpoint import Checkpoint

SOURCE = "synthetic:people=3,seconds=4,tasks=level,speeds=1"
HERE = Pool(workers=1)


def test_every_choice_is_trained_on_its_sensors(tmp_path: Path) -> None:
    compare(SOURCE, tmp_path / "folds", models=["cross-lstm"], settings=SMALL, stride=8, pool=HERE)
    found = reduce(tmp_path / "folds", SOURCE, tmp_path / "out", epochs=1, stride=8, pool=HERE)
    assert [len(one.kept) for one in found.choices] == [4 + 9, 4 + 1, 4, 2 + 9, 2 + 1, 2, 1 + 9, 1 + 1, 1, 9]
    first, last, electrodes = found.choices[0], found.choices[8], found.choices[9]
    assert {g.name for g in last.kept} <= {g.name for g in first.kept}
    # 24 channels at 200 Hz and 9 at 1000 Hz, two bytes each; then 6 and none.
    assert first.radio_kb_s == pytest.approx((24 * 200 + 9 * 1000) * 2 / 1000)
    assert last.radio_kb_s == pytest.approx(6 * 200 * 2 / 1000)
    weights = [one.result.weights for one in found.choices]
    assert weights[0] is not None and weights[-1] is not None and weights[-1] < weights[0]
    best = min(found.choices, key=lambda one: float(one.result.rmse_all.mean()))
    assert best.pareto and last.pareto
    assert report.order(found).startswith("Best first: IMU: ") and report.exactness(found) == ""
    assert electrodes.text == "9 EMG" and found.choices[0].text == "4 IMU + 9 EMG"
    for number, streams in ((2, ["imu"]), (9, ["emg"]), (0, ["imu", "emg"])):
        written = Checkpoint.load(tmp_path / "out" / f"choice-{number}" / "model.safetensors")
        assert [item.stream.name for item in written.contract.inputs] == streams
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    shown = report.rows(found)
    assert shown[0][1].startswith(f"{document['choices'][0]['rmse']:.3f}")
    assert report.page(found, "edgetool reduce").count("<circle") == 10 * (3 + 1)


def test_a_recording_keeps_the_channels_that_are_named() -> None:
    (recording,) = load("synthetic:people=1,seconds=3,tasks=level,speeds=1")
    recording = dataclasses.replace(recording, missing={"emg": ("soleus", "tib_ant")})
    kept = only(recording, {"emg": ["tib_ant", "vas_med"]})
    assert kept.signals["emg"].spec.channel_names == ("tib_ant", "vas_med")
    place = recording.signals["emg"].spec.channel_names.index("vas_med")
    assert np.array_equal(kept.signals["emg"].samples[:, 1], recording.signals["emg"].samples[:, place])
    assert kept.missing == {"emg": ("tib_ant",)}
    assert kept.signals["imu"] is recording.signals["imu"]
    without = only(recording, {"emg": []})
    assert list(without.signals) == ["imu"] and without.missing == {}
    with pytest.raises(UsageError, match="stream 'emg': cannot keep gracilis"):
        only(recording, {"emg": ["gracilis"]})
    with pytest.raises(UsageError, match="no channel of any stream is kept"):
        only(recording, {"emg": [], "imu": []})
