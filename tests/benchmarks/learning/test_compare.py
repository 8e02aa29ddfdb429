"""A comparison end to end on six small people: figures that add up, files that are read back, honest words, bad input."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pyarrow import parquet

from benchmarks.learning import compare_report as report
from benchmarks.learning import results
from benchmarks.learning.compare import DEFAULTS, Comparison, compare, jobs_of, thinned
from benchmarks.learning.compare_page import page
from benchmarks.learning.comparison import CHECKPOINT
from benchmarks.learning.jobs import Pool, job_key
from benchmarks.learning.stored_network import network_bytes
from quantization.importers.network import ImportedNetwork, float_moments, load_model, window_graph
from tests.tools import require
from toolkit.data import load
from toolkit.data.imus import imus
from toolkit.data.rotated import rotated_by
from toolkit.data.splits import Split, select
from toolkit.data.windows import cut
from toolkit.errors import CheckpointError, RecordingError, UsageError
from toolkit.learning.augment import WornOtherwise
from toolkit.learning.baselines.table import CROSS_LSTM, MODELS, baseline, is_network
from toolkit.learning.folds import folds
from toolkit.model.checkpoint import plain_contract
from toolkit.model.config import ModelConfig
from toolkit.model.network import CrossLSTM

SOURCE = "synthetic:people=6,seconds=3,tasks=level,speeds=1"
SMALL = dataclasses.replace(DEFAULTS, epochs=1, hidden=8, head_hidden=8, window=16)
HERE = Pool(workers=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def comparison(folder: Path) -> Comparison:
    names = ["cross-lstm", "mlp", "ridge", "average-curve"]
    return compare(SOURCE, folder, models=names, settings=SMALL, stride=4, pool=HERE)


def test_scores_are_those_of_the_rows(comparison: Comparison) -> None:
    jobs = [results.read(path) for path in comparison.files]
    assert len(jobs) == 6 * 4
    ridge = next(model for model in comparison.models if model.name == "ridge")
    for place, person in enumerate(ridge.people):
        (job,) = [one for one in jobs if one.about["model"] == "ridge" and one.about["fold"] == person]
        assert set(job.person) == {person}  # tested on nobody else
        error = job.estimate - job.reference
        assert ridge.rmse_all[place] == pytest.approx(np.sqrt((error**2).mean()))
        assert ridge.rmse[place] == pytest.approx(np.sqrt((error**2).mean(axis=0)))
    hip = comparison.outputs[0]
    assert ridge.by_joint[hip]["rmse"] == pytest.approx(ridge.rmse[:, 0].mean())
    assert ridge.by_task["level"][hip] == ridge.by_joint[hip]  # there is one task


def test_a_model_is_not_told_how_sensors_are_turned(comparison: Comparison) -> None:
    by_name = {model.name: model for model in comparison.models}
    ridge, average = by_name["ridge"], by_name["average-curve"]
    assert ridge.upright is not None and average.upright is not None
    assert ridge.rotated[30].mean() > ridge.rotated[10].mean() > ridge.upright.mean()
    assert average.rotated[30] == pytest.approx(average.upright)  # it reads no sensor


def test_the_same_people_in_all_words(comparison: Comparison) -> None:
    document = json.loads(json.dumps(report.to_json(comparison), allow_nan=False))
    assert list(document["models"]) == [model.name for model in comparison.models]
    means = [one["rmse"] for one in document["models"].values()]
    assert means == sorted(means)
    for fold, split in document["folds"].items():
        assert split["people"]["test"] == [fold]
    place = 1 + [model.name for model in comparison.models].index("cross-lstm")
    assert report.sentences(comparison)[0].startswith(f"Cross-LSTM: place {place} of 4 with ")
    text = page(comparison, "edgetool compare")
    assert text.count("<svg") == 2 + 3 + 3 and "synthetic gait" in text
    for row in (*report.accuracy_rows(comparison), *report.against_rows(comparison)):
        assert all(value in text for value in row)


def test_intervals_and_tests_stand_in_the_tables(comparison: Comparison) -> None:
    by_name = {report.title(model.name): model for model in comparison.models}
    for name, mean, interval, spread, *_, worst in report.accuracy_rows(comparison):
        values = by_name[name].rmse_all
        low, high = map(float, interval.split(" to "))
        assert values.min() - 5e-4 <= low <= float(mean) <= high <= values.max() + 5e-4
        assert (spread, worst) == (f"{values.std(ddof=1):.3f}", f"{values.max():.3f}")
    first = by_name["Cross-LSTM"].rmse_all
    assert len(report.against_rows(comparison)) == 3
    for name, mean, interval, p, holm, better in report.against_rows(comparison):
        values = by_name[name].rmse_all
        low, high = map(float, interval.split(" to "))
        assert low <= float(mean) <= high and float(mean) == pytest.approx((values - first).mean(), abs=5e-4)
        # Of six people no p-value is below 2 / 2^6, and Holm's is at most three times the test's.
        assert 0.031 <= float(p) <= float(holm) <= min(1.0, 3 * float(p) + 2e-3)
        assert better == f"{(values < first).sum()} of 6"
    worst = comparison.people[int(first.argmax())]
    assert report.sentences(comparison)[0].endswith(f"worst for {worst} with {first.max():.4f}.")


def test_a_second_run_does_nothing_again(comparison: Comparison, folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = compare(SOURCE, folder, models=["ridge", "cross-lstm"], settings=SMALL, stride=4, pool=HERE)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert again.reference == "ridge" and set(again.against) == {"cross-lstm"}
    assert again.against["cross-lstm"].difference == pytest.approx(-comparison.against["ridge"].difference)


def test_a_folds_cross_lstm_is_a_checkpoint_with_its_split(comparison: Comparison) -> None:
    jobs = {path: results.read(path) for path in comparison.files}
    path = next(path for path, job in jobs.items() if job.about["model"] == "cross-lstm")
    checkpoint = results.checkpoint_of(path)
    assert checkpoint.split is not None and checkpoint.split["people"]["test"] == [jobs[path].about["fold"]]
    other = next(path for path, job in jobs.items() if job.about["model"] == "mlp")
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        results.checkpoint_of(other)
    floor = next(path for path, job in jobs.items() if job.about["model"] == "ridge")
    with pytest.raises(CheckpointError, match="holds no network"):
        results.network_of(floor)


def test_a_folds_baseline_is_a_network_that_estimates_what_the_job_did(comparison: Comparison) -> None:
    jobs = {path: results.read(path) for path in comparison.files}
    path, job = next((path, job) for path, job in jobs.items() if job.about["model"] == "mlp")
    network = results.network_of(path)
    assert network.split is not None and network.split["people"]["test"] == [job.about["fold"]]
    recordings = load(SOURCE)
    test = cut(select(recordings, Split.from_json(network.split), "test"), network.contract, 2)
    # Numpy's sums against PyTorch's, in single precision.
    assert isinstance(network, ImportedNetwork)
    assert network.window(test.inputs) == pytest.approx(job.estimate, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [*((name, {}) for name in MODELS if is_network(name)), ("lstm", {"emg_channels": 0})],
)
def test_every_network_of_the_table_converts(name: str, sizes: dict[str, int]) -> None:
    """What a job stores of it is read again and lowered, with the weights that the table counts."""
    config = ModelConfig(hidden=32, head_hidden=32, window=16, **sizes)
    contract = plain_contract(config, np.random.default_rng(0))
    network = CrossLSTM(config) if name == CROSS_LSTM else baseline(name, config)
    stored = network_bytes(network, contract, {"method": "chronological"}, {})
    read = load_model(stored, name)
    assert read.contract == contract
    assert window_graph(read).ops
    generator = np.random.default_rng(1)
    inputs = {
        item.stream.name: generator.normal(size=(3, 16, len(item.stream.channels)))
        for item in contract.inputs
    }
    with torch.no_grad():
        wanted = network.eval()(*(torch.from_numpy(inputs[one]).float() for one in config.streams)).numpy()
    # Double precision against PyTorch's single, over 16 steps.
    assert float_moments(read, inputs) == pytest.approx(wanted, abs=1e-5)


def test_networks_are_run_on_the_core_that_is_asked_for(comparison: Comparison, folder: Path) -> None:
    """A result of a version that kept no network is made again first."""
    mlp = next(path for path in comparison.files if results.read(path).about["model"] == "mlp")
    table = parquet.read_table(mlp)
    bare = {name: value for name, value in table.schema.metadata.items() if name != CHECKPOINT}
    before = mlp.read_bytes()
    parquet.write_table(table.replace_schema_metadata(bare), mlp)
    assert not results.holds_network(mlp)
    require("qemu-system-arm", "arm-none-eabi-gcc")
    names = ["mlp", "ridge"]
    found = compare(SOURCE, folder, models=names, settings=SMALL, stride=4, core="cortex-m4", pool=HERE)
    assert mlp.read_bytes() == before
    (cost,) = found.devices.values()
    assert list(found.devices) == ["mlp"] and (cost.core, cost.graph) == ("cortex-m4", "stream")
    assert cost.differing == 0 < cost.compared
    (row,) = report.device_rows(found)
    assert row[0] == "MLP" and row[5] == f"0 of {cost.compared:,}"
    assert report.device_note(found).startswith("The first fold's networks in int8 on an emulated cortex-m4")
    assert "On a device" in page(found, "edgetool compare")


def test_a_result_that_was_damaged_is_named(comparison: Comparison, tmp_path: Path) -> None:
    for content in (b"", b"PAR1", comparison.files[0].read_bytes()[:-20]):
        (tmp_path / "job.parquet").write_bytes(content)
        with pytest.raises(
            RecordingError, match=r"job.parquet is not a result of edgetool compare .* delete it"
        ):
            results.read(tmp_path / "job.parquet")


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="model 'svm' is not known"):
        compare(SOURCE, tmp_path, models=["svm"], pool=HERE)
    with pytest.raises(UsageError, match="seeds is 0"):
        compare(SOURCE, tmp_path, seeds=0, pool=HERE)
    assert list(tmp_path.iterdir()) == []


def test_one_person_gives_scores_and_no_test(tmp_path: Path) -> None:
    one = "synthetic:people=1,seconds=8,tasks=level"
    found = compare(one, tmp_path, models=["ridge", "average-curve"], settings=SMALL, stride=4, pool=HERE)
    assert found.split == "chronological" and found.people == ("synthetic-01",)
    against = found.against["average-curve"]
    assert (against.p, against.p_holm, against.interval) == (None, None, None)
    assert report.accuracy_rows(found)[0][2:4] == ["-", "-"]  # no interval, no spread
    assert report.against_rows(found)[0][2:5] == ["-", "-", "-"]
    assert "no test is made" in report.sentences(found)[1]


def test_augmentation_is_of_networks_and_makes_them_other_jobs() -> None:
    recordings = load(SOURCE)
    parts = folds(recordings)[:1]
    plain, worn = (
        jobs_of(SOURCE, recordings, parts, ["mlp", "ridge"], SMALL, 1, augmentation)
        for augmentation in (None, WornOtherwise(gain=0.3))
    )
    assert [job_key(a) == job_key(b) for a, b in zip(plain, worn)] == [False, True]
    assert worn[0].to_json()["augmentation"]["gain"] == 0.3
    assert "augmentation" not in plain[0].to_json()  # results of before keep their names


def test_windows_are_thinned_to_about_2000() -> None:
    recordings = load("synthetic:people=3,seconds=60,tasks=level,speeds=1")
    (fold, *_) = folds(recordings)
    # One person of 60 s trains: 6,000 windows at 100 Hz.
    assert thinned(recordings, 100.0, fold) == 3
    masked = [dataclasses.replace(r, valid_s=((1.0, 2.0),)) for r in recordings]
    assert thinned(masked, 100.0, fold) == 1
    nothing = [dataclasses.replace(r, valid_s=()) for r in recordings]
    assert thinned(nothing, 100.0, fold) == 1


def test_a_turned_imu_reads_the_same_length_of_gravity_and_turns_by_the_angle() -> None:
    (recording,) = load("synthetic:people=1,seconds=3,tasks=level,speeds=1")
    turned = rotated_by(recording, 20.0)
    assert turned is not None
    (imu, *_) = imus(recording.signals["imu"].spec)
    places = list(imu.places[:3])
    before, after = (np.asarray(r.signals["imu"].samples)[:, places] for r in (recording, turned))
    assert np.linalg.norm(after, axis=1) == pytest.approx(np.linalg.norm(before, axis=1))
    cosine = (before * after).sum(axis=1) / (np.linalg.norm(before, axis=1) ** 2)
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() <= 20.0 + 1e-6
    assert np.array_equal(turned.signals["emg"].samples, recording.signals["emg"].samples)
