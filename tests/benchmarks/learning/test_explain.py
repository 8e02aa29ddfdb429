"""Where the truth is known, both methods find it: one channel that carries all, a stream that carries nothing, noise."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import edgetool
from benchmarks.learning import explain_report as report
from benchmarks.learning.explain import (
    METHODS,
    PERMUTATION,
    SHAPLEY,
    Explanation,
    explain_person,
    share,
    thinned,
    to_json,
    whole,
)
from tests.toolkit.learning.test_train import SMALL, recording
from toolkit.errors import UsageError
from toolkit.learning.importance import Group, attention_weights, first_step_share, sensors
from toolkit.learning.settings import Settings
from toolkit.learning.train import train
from toolkit.model import load_checkpoint
from toolkit.model.network import CrossLSTM
from toolkit.records import Recording, Signal


def told_by(person: str, seed: int, channel: str) -> Recording:
    """All moments follow from one channel, x of the IMU or the envelope; y of the IMU is noise."""
    one = recording(person, seed, 12.0)
    assert one.moments is not None
    imu = np.array(one.signals["imu"].samples)
    imu[:, 1] = np.random.default_rng([seed, 7]).normal(size=len(imu))
    carrier = imu[:, 0] if channel == "x" else np.asarray(one.signals["emg"].samples)[:, 0]
    moments = np.stack([carrier, -0.5 * carrier, 2 * carrier], axis=1)
    signals = {**one.signals, "imu": Signal(one.signals["imu"].spec, 0.0, imu)}
    return dataclasses.replace(one, signals=signals, moments=Signal(one.moments.spec, 0.0, moments))


def explained(channel: str, seed: int) -> Explanation:
    people = [told_by(f"p{i}", 10 * seed + i, channel) for i in range(4)]
    model = train(people, None, Settings(**{**SMALL, "epochs": 6, "seed": seed})).checkpoint
    assert model.split is not None
    names = model.split["people"]["test"]
    found = tuple(explain_person(n, model, thinned(whole(people, n, model)), seed) for n in names)
    return Explanation(tuple(sensors(model.contract)), model.config.outputs, found, {}, ("synthetic",), 0.16)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("channel", ["x", "soleus"])
def test_the_channel_that_carries_all_is_first_by_both_methods(channel: str, seed: int) -> None:
    explanation = explained(channel, seed)
    names = [group.name for group in explanation.groups]
    assert names == ["x", "y", "soleus"]
    for method in METHODS:
        shares = explanation.mean(method).mean(axis=1)
        assert names[int(np.argmax(shares))] == channel
        assert shares[names.index("y")] < 0.25  # noise
    permuted = explanation.mean(PERMUTATION).mean(axis=1)
    assert permuted[names.index(channel)] > 0.9
    streams = explanation.people[0].streams
    carries, idle = ("imu", "emg") if channel == "x" else ("emg", "imu")
    assert streams[carries].min() > 2 and streams[idle].max() < 1.5


def test_shares_of_what_is_worse_than_nothing() -> None:
    values = np.array([[3.0, -1.0], [1.0, -2.0]])
    shares = share(values)
    assert shares[:, 0] == pytest.approx([0.75, 0.25])
    assert np.isnan(shares[:, 1]).all()


def test_gradients_that_pile_up_on_the_first_step_are_noticed() -> None:
    even = {"imu": np.ones((8, 2)), "emg": np.ones((8, 1))}
    assert first_step_share(even) == pytest.approx(1.0)
    piled = {"imu": np.array([[9.0], [1.0], [0.0], [0.0]]), "emg": np.zeros((4, 1))}
    assert first_step_share(piled) == pytest.approx(0.9 * 4)


def test_sensors_of_the_reference_contract() -> None:
    groups = sensors(load_checkpoint("pretrained").contract)
    assert [g.name for g in groups][:5] == ["foot", "shank", "thigh", "trunk", "soleus"]
    assert groups[0] == Group("foot", "imu", (0, 1, 2, 3, 4, 5)) and len(groups) == 4 + 9


@pytest.fixture(scope="module")
def pretrained() -> Explanation:
    # Person 2 is of the shipped checkpoint's test part.
    return edgetool.explain("pretrained", data="synthetic:people=2,seconds=3,tasks=level,speeds=1")


def test_only_people_whom_training_never_saw(pretrained: Explanation) -> None:
    assert [person.name for person in pretrained.people] == ["synthetic-02"]
    one = pretrained.people[0]
    for method in METHODS:
        assert np.nansum(one.shares[method], axis=0) == pytest.approx(np.ones(3))
    assert one.by_quarter.shape == (4, 13, 3)
    assert one.by_task["level"] == pytest.approx(one.shares[PERMUTATION])  # there is one task
    with pytest.raises(UsageError, match="everyone in the data took part"):
        edgetool.explain("pretrained", data="synthetic:people=1,seconds=3,tasks=level,speeds=1")


def test_attention_is_a_share_of_the_window(pretrained: Explanation) -> None:
    model = load_checkpoint("pretrained")
    from toolkit.data import load

    windows = whole(load("synthetic:people=2,seconds=3,tasks=level,speeds=1"), "synthetic-02", model).take(
        slice(5)
    )
    for weights in attention_weights(CrossLSTM.from_checkpoint(model), windows).values():
        assert weights.shape == (5, 64) and weights.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-5)


def test_words_and_figures_agree(pretrained: Explanation, tmp_path: Path) -> None:
    document = json.loads(json.dumps(to_json(pretrained), allow_nan=False))
    rows = report.rows(pretrained)
    assert len(rows) == 13
    first = [s["name"] for s in document["sensors"]].index(rows[0][0])
    assert rows[0][2] == f"{100 * np.mean(document['shares'][PERMUTATION]['mean'][first]):.1f}"
    assert rows[0][-1] == f"{100 * np.mean(document['shares'][SHAPLEY]['mean'][first]):.1f}"
    assert document["shares"][PERMUTATION]["interval"][first] is None  # one person
    text = report.page(pretrained, "edgetool explain")
    assert text.count("<svg") == 3 and rows[0][0] in text
