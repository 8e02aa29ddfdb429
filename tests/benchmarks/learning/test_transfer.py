"""The learning curve over strides: the same test for every method, nobody of the training, files that go on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import edgetool
from benchmarks.learning import transfer_report as report
from benchmarks.learning.compare import compare
from benchmarks.learning.jobs import Pool
from benchmarks.learning.transfer import Transfer, feasible, require_new, transfer
from tests.benchmarks.learning.test_compare import SMALL
from toolkit.errors import UsageError
from toolkit.model import load_checkpoint

SOURCE = "synthetic:people=3,seconds=5,tasks=level,speeds=1"
HERE = Pool(workers=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds")
    compare(SOURCE, folder, models=["cross-lstm"], settings=SMALL, stride=4, pool=HERE)
    return folder


@pytest.fixture(scope="module")
def curve(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Transfer:
    return transfer(folder, SOURCE, tmp_path_factory.mktemp("curve"), numbers=(1, 2, 50), pool=HERE)


def test_every_person_is_adapted_from_the_fold_without_him(curve: Transfer) -> None:
    assert curve.people == ("synthetic-01", "synthetic-02", "synthetic-03")
    assert curve.numbers == (1, 2)  # nobody has fifty strides
    general = curve.rmse["general"]
    # The same windows are tested whatever was learnt from.
    assert general[:, 0] == pytest.approx(general[:, 1])
    # One epoch of eight units knows little: whoever gives two strides gains, and one stride harms nobody.
    assert (curve.rmse["adapted"] <= general).all()
    assert (curve.rmse["adapted"][:, 1] < general[:, 1]).all()


def test_words_and_figures_agree(curve: Transfer) -> None:
    document = json.loads(json.dumps(report.to_json(curve), allow_nan=False))
    gains = np.array(document["rmse"]["general"]) - np.array(document["rmse"]["adapted"])
    assert document["gain"]["2"]["mean"] == pytest.approx(gains[:, 1].mean())
    assert document["gain"]["2"]["interval"] is None  # three people
    assert report.gain_rows(curve)[1][1:4] == [f"{gains[:, 1].mean():+.4f}", "-", "-"]
    means = [
        f"{np.mean([v[1] for v in document['rmse'][m]]):.4f}" for m in ("general", "adapted", "individual")
    ]
    assert report.rows(curve)[1] == ["2", "3", *means, "0"]
    assert "there is no interval" in report.sentences(curve)[0]
    page = report.page(curve, "edgetool finetune")
    assert page.count("<svg") == 4 and all(person in page for person in curve.people)


def test_strides_that_leave_one_to_test() -> None:
    assert feasible(3, (1, 2, 5)) == (1, 2)
    assert feasible(1, (1, 2)) == ()
    assert feasible(24, (1, 20, 22)) == (1, 20)


def test_whoever_trained_a_checkpoint_is_refused() -> None:
    pretrained = load_checkpoint("pretrained")
    with pytest.raises(UsageError, match="synthetic-01 took part in this checkpoint's training"):
        require_new(pretrained, ["synthetic-01"])
    require_new(pretrained, ["somebody"])


def test_one_person_from_python_and_what_is_refused(folder: Path, tmp_path: Path) -> None:
    from benchmarks.learning.transfer import sources_for

    model = sources_for(folder, ["synthetic-02"])["synthetic-02"]
    model.save(tmp_path / "m.safetensors")
    result = edgetool.finetune(
        tmp_path / "m.safetensors",
        data=SOURCE,
        person="synthetic-02",
        strides=2,
        out=tmp_path / "own.safetensors",
        json=tmp_path / "own.json",
    )
    written = load_checkpoint(tmp_path / "own.safetensors")
    assert written.provenance["finetuned"]["strides"] == 2
    assert json.loads((tmp_path / "own.json").read_text())["checkpoint_sha256"] == written.hash
    assert isinstance(result, edgetool.OnePerson) and result.rmse is not None
    assert result.rmse["adapted"]["all"] < result.rmse["general"]["all"]
    for options, says in [
        ({"strides": 99, "person": "synthetic-02"}, r"99 strides were asked for and synthetic-02 has \d+"),
        ({"strides": 1}, "the data has 3 people"),
        ({"strides": 1, "person": "x"}, "no person 'x'"),
        ({"strides": 1, "person": "synthetic-01"}, "synthetic-01 took part in this checkpoint's training"),
    ]:
        with pytest.raises(UsageError, match=says):
            edgetool.finetune(tmp_path / "m.safetensors", data=SOURCE, out=tmp_path / "n", **options)
    with pytest.raises(UsageError, match="either --out FILE"):
        edgetool.finetune(tmp_path / "m.safetensors", data=SOURCE)
    with pytest.raises(UsageError, match="has no Cross-LSTM that was trained without synthetic-01"):
        edgetool.finetune(tmp_path, data=SOURCE, curve=tmp_path / "c")
