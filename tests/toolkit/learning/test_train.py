"""Training: the same bytes twice, no leakage, what it reports, when it stops, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toolkit.contract import Channel, StreamSpec
from toolkit.data.provenance import recording_hash
from toolkit.data.split_text import parse_split
from toolkit.data.splits import Segment, Split, select
from toolkit.data.windows import cut
from toolkit.errors import (
    ContractError,
    OutputError,
    RecordingError,
    UsageError,
)
from toolkit.learning import learner
from toolkit.learning.prepare import prepare
from toolkit.learning.recipe import Recipe, Step
from toolkit.learning.settings import Settings
from toolkit.learning.train import Trained
from toolkit.learning.train import train as learn
from toolkit.model import float_reference
from toolkit.model.checkpoint import Checkpoint, Weights
from toolkit.model.network import CrossLSTM
from toolkit.records import Recording, Signal

RATE = 50.0
SMALL: dict[str, Any] = {
    "hidden": 6,
    "head_hidden": 6,
    "window": 8,
    "rate_hz": RATE,
    "batch": 32,
    "stride": 1,
}


def train(
    data: Sequence[Recording],
    out: Path | str | None = None,
    *,
    progress: Callable[[Step], None] | None = None,
    **settings: Any,
) -> Trained:
    return learn(data, out, Settings(**settings), progress=progress)


def recording(person: str, seed: int = 0, seconds: float = 12.0) -> Recording:
    """Envelopes and angular rates that are already on the grid; the moments follow from them (and "flat" is 0.5)."""
    time = np.arange(int(seconds * RATE)) / RATE
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, 2)
    rates = np.stack([np.sin(5 * time + phase[0]), np.cos(5 * time + phase[0])], axis=1)
    envelope = 0.5 + 0.5 * np.sin(3 * time + phase[1])[:, None]
    # A filter of the chain delays what a first-order difference would show; the label uses the present only.
    moments = np.stack([0.8 * rates[:, 0] + 0.1, envelope[:, 0] - 0.2, np.full(len(time), 0.5)], axis=1)
    channels = tuple(Channel(n, "Nm/kg") for n in ("hip", "knee", "flat"))
    return Recording(
        name=f"{person}/walk",
        person=person,
        task="level",
        kind="synthetic",
        mass_kg=70,
        signals={
            "imu": Signal(
                StreamSpec("imu", RATE, (Channel("x", "rad/s"), Channel("y", "rad/s"))), 0.0, rates
            ),
            "emg": Signal(StreamSpec("emg", RATE, (Channel("soleus", "1"),)), 0.0, envelope),
        },
        moments=Signal(StreamSpec("moments", RATE, channels), 0.0, moments),
    )


@pytest.fixture(scope="module")
def one() -> list[Recording]:
    return [recording("p1", 1, 24.0)]


@pytest.fixture(scope="module")
def trained(one: list[Recording]) -> Trained:
    return train(one, seed=3, epochs=12, **SMALL)


def test_it_learns_what_can_be_learnt(trained: Trained) -> None:
    # The moments are functions of the inputs of one sample; what is missing to 1 is the IMU filter's delay and few epochs.
    scores = trained.metrics["test"]["per_joint"]
    assert scores["hip"]["r2"] > 0.9 and scores["knee"]["r2"] > 0.9
    assert scores["flat"]["r2"] is None and scores["flat"]["rmse"] < 0.1
    assert trained.history[0]["validation_loss"] > trained.history[-1]["validation_loss"]


def test_reported_scores_are_those_of_the_file(trained: Trained, one: list[Recording]) -> None:
    checkpoint = Checkpoint.from_bytes(trained.checkpoint.to_bytes())
    assert checkpoint.split is not None
    windows = cut(select(one, Split.from_json(checkpoint.split), "test"), checkpoint.contract)
    error = float_reference.window(checkpoint, windows.inputs) - windows.targets
    reported = checkpoint.provenance["metrics"]["test"]
    assert reported["windows"] == len(windows)
    for joint, name in enumerate(("hip", "knee", "flat")):
        # Single precision in torch, rounded to six decimals.
        assert reported["per_joint"][name]["rmse"] == pytest.approx(
            np.sqrt((error[:, joint] ** 2).mean()), abs=3e-6
        )
    spread = windows.targets[:, 0].astype(float)
    r2 = 1 - (error[:, 0] ** 2).sum() / ((spread - spread.mean()) ** 2).sum()
    assert reported["per_joint"]["hip"]["r2"] == pytest.approx(r2, abs=1e-4)


def test_the_same_seed_gives_the_same_bytes_whatever_ran_before(one: list[Recording], tmp_path: Path) -> None:
    files = []
    before = torch.get_num_threads()
    try:
        for threads, name in ((1, "a"), (2, "b")):
            torch.set_num_threads(threads)
            torch.rand(threads)
            train(one, tmp_path / name, seed=5, epochs=2, **SMALL)
            assert torch.get_num_threads() == threads
            files.append((tmp_path / name).read_bytes())
    finally:
        torch.set_num_threads(before)
    assert files[0] == files[1]
    other = train(one, seed=6, epochs=2, **SMALL).checkpoint
    assert not np.array_equal(
        other.weights["head.output.bias"], Checkpoint.from_bytes(files[0]).weights["head.output.bias"]
    )


def test_the_callers_random_state_is_left_alone(one: list[Recording]) -> None:
    torch.manual_seed(11)
    wanted = torch.rand(1)
    torch.manual_seed(11)
    train(one, epochs=1, **SMALL)
    assert torch.equal(torch.rand(1), wanted)


def prepared(recordings: Sequence[Recording], split: Split, **changes: Any) -> Any:
    options = {"rate_hz": RATE, "window": 8, "horizon_ms": 0.0, "outputs": None, "stride": 1, **changes}
    return prepare(recordings, split, **options)


def test_no_window_or_label_crosses_a_boundary(one: list[Recording]) -> None:
    result = prepared(one, Split("chronological"), horizon_ms=100.0)
    edges = {"train": (0.0, 14.4), "validation": (14.4, 16.8), "test": (16.8, 24.0)}
    for part, (start, stop) in edges.items():
        times = result.windows[part].time_s
        assert times.min() - 7 / RATE >= start - 1e-9
        assert times.max() + 0.1 < stop
        # All that fit: rows of the part, less the window's first seven and the label's five.
        assert len(times) == round((stop - start) * RATE) - 7 - 5


def test_by_subject_parts_share_no_person() -> None:
    people = [recording(f"p{i}", i, 2.0) for i in range(5)]
    result = train(people, epochs=1, **SMALL)
    split = result.checkpoint.split
    assert split is not None and split["kind"] == "by-subject"
    groups = [set(split["people"][part]) for part in ("train", "validation", "test")]
    assert [len(group) for group in groups] == [3, 1, 1]
    assert set.union(*groups) == {f"p{i}" for i in range(5)}


def with_tail(original: Recording, start_s: float) -> Recording:
    """The recording with everything from ``start_s`` on ten times as large."""

    def changed(signal: Signal) -> Signal:
        samples = signal.samples.copy()
        samples[signal.times_s >= start_s - 1e-9] *= 10
        return Signal(signal.spec, signal.start_s, samples)

    assert original.moments is not None
    signals = {name: changed(signal) for name, signal in original.signals.items()}
    return dataclasses.replace(original, signals=signals, moments=changed(original.moments))


def test_contract_and_weights_depend_on_nothing_after_the_validation_part(one: list[Recording]) -> None:
    changed = [with_tail(one[0], 16.8)]
    first, second = (train(data, epochs=2, **SMALL).checkpoint for data in (one, changed))
    assert first.contract == second.contract
    assert all(np.array_equal(first.weights[n], second.weights[n]) for n in first.weights)
    assert first.provenance["metrics"]["test"] != second.provenance["metrics"]["test"]
    assert first.provenance["metrics"]["validation"] == second.provenance["metrics"]["validation"]
    # And the contract not on the validation part either.
    third = prepared([with_tail(one[0], 14.4)], Split("chronological"))
    assert third.contract == first.contract


def test_the_normaliser_is_of_the_train_rows(one: list[Recording]) -> None:
    contract = prepared(one, Split("chronological")).contract
    rows = one[0].signals["emg"].samples[: round(14.4 * RATE), 0]
    # Features are single precision.
    assert contract.inputs[1].normaliser.mean[0] == pytest.approx(rows.mean(), rel=1e-6)
    assert contract.inputs[1].normaliser.std[0] == pytest.approx(rows.std(), rel=1e-6)
    assert contract.inputs[1].filters == ()


def test_raw_emg_gains_come_from_the_train_part() -> None:
    generator = np.random.default_rng(0)
    base = recording("p1", 0, 6.0)
    raw = Signal(StreamSpec("emg", 1000.0, (Channel("soleus", "mV"),)), 0.0, generator.normal(size=(6000, 1)))
    one = dataclasses.replace(base, signals={"imu": base.signals["imu"], "emg": raw})
    first = prepared([one], Split("chronological")).contract.inputs[1]
    second = prepared([with_tail(one, 3.6)], Split("chronological")).contract.inputs[1]
    assert [stage.kind for stage in first.filters] == ["sections", "rectify", "sections", "resample", "scale"]
    assert first == second


def test_stopping_early_keeps_the_best_weights(one: list[Recording]) -> None:
    assert one[0].moments is not None
    noise = np.random.default_rng(2).normal(size=one[0].moments.samples.shape)
    unlearnable = [dataclasses.replace(one[0], moments=Signal(one[0].moments.spec, 0.0, noise))]
    result = train(unlearnable, seed=1, epochs=60, patience=3, learning_rate=0.02, **SMALL)
    losses = [epoch["validation_loss"] for epoch in result.history]
    assert len(losses) < 60 and len(losses) == result.best_epoch + 3
    assert int(np.argmin(losses)) + 1 == result.best_epoch
    # The weights are the best epoch's: training again for just those epochs of the same schedule cannot be
    # asked for, but their loss can be computed from the checkpoint.
    assert result.checkpoint.split is not None
    contract = result.checkpoint.contract
    train_part, validation = (
        cut(select(unlearnable, Split("chronological"), p), contract) for p in ("train", "validation")
    )
    std = train_part.targets.astype(float).std(axis=0)
    error = (float_reference.window(result.checkpoint, validation.inputs) - validation.targets) / std
    assert (error**2).mean() == pytest.approx(min(losses), rel=1e-4)


def test_float16_weights_are_rounded_before_scoring(one: list[Recording], tmp_path: Path) -> None:
    full = train(one, tmp_path / "full", epochs=1, **SMALL)
    half = train(one, tmp_path / "half", epochs=1, weights="float16", **SMALL)
    for name, value in full.checkpoint.weights.items():
        assert np.array_equal(half.checkpoint.weights[name], value.astype(np.float16).astype(np.float32))
    saved = (tmp_path / "full").stat().st_size - (tmp_path / "half").stat().st_size
    assert saved > full.checkpoint.config.parameter_count


def test_progress_counts_every_step(one: list[Recording]) -> None:
    seen: list[Step] = []
    train(one, epochs=2, progress=seen.append, **SMALL)
    steps = seen[0].steps
    assert [(p.epoch, p.step) for p in seen] == [(e, s) for e in (1, 2) for s in range(1, steps + 1)]
    assert seen[0].last is None and seen[-1].last is not None and np.isfinite(seen[-1].last.validation_loss)


def test_outputs_can_be_chosen(one: list[Recording]) -> None:
    result = train(one, epochs=1, outputs=["knee"], horizon_ms=40, **SMALL)
    assert result.checkpoint.config.outputs == ("knee",)
    assert result.checkpoint.contract.horizon_ms == 40.0


def test_provenance_says_what_is_needed_to_do_it_again(trained: Trained, one: list[Recording]) -> None:
    provenance = trained.checkpoint.provenance
    assert provenance["data"]["recordings"] == {"p1/walk": recording_hash(one[0])[:16]}
    assert provenance["training"]["seed"] == 3 and provenance["training"]["epochs"] == 12
    assert provenance["versions"]["torch"] == torch.__version__
    assert 0 < provenance["largest_cell"] < 8
    json.dumps(trained.to_json(), allow_nan=False)


def test_a_recordings_hash_depends_on_every_sample(one: list[Recording]) -> None:
    assert recording_hash(one[0]) == recording_hash(recording("p1", 1, 24.0))
    assert recording_hash(one[0]) != recording_hash(with_tail(one[0], 23.98))


def without(original: Recording, stream: str) -> Recording:
    return dataclasses.replace(original, signals={n: s for n, s in original.signals.items() if n != stream})


def gyro(original: Recording) -> dict[str, Signal]:
    spec = StreamSpec("gyro", RATE, original.signals["imu"].spec.channels)
    return {"gyro": Signal(spec, 0.0, original.signals["imu"].samples)}


def test_data_without_emg_give_a_model_without_emg(one: list[Recording]) -> None:
    trained = train([without(one[0], "emg")], epochs=1, **SMALL)
    assert trained.checkpoint.config.streams == ("imu",)
    assert [item.stream.name for item in trained.checkpoint.contract.inputs] == ["imu"]
    assert {"test", "test_live"} <= set(trained.metrics)


def test_a_push_off_of_the_wrong_sign_is_warned_of(one: list[Recording]) -> None:
    assert one[0].moments is not None
    assert train(one, epochs=1, **SMALL).warnings == ()
    names = ("hip", "knee", "ankle_dorsiflexion_moment")
    samples = one[0].moments.samples.copy()
    samples[:, 2] = 1.4 * np.maximum(np.sin(6 * one[0].moments.times_s), 0) - 0.1
    spec = StreamSpec("moments", RATE, tuple(Channel(name, "Nm/kg") for name in names))
    wrong = dataclasses.replace(one[0], moments=Signal(spec, 0.0, samples))
    trained = train([wrong], epochs=1, **SMALL)
    (text,) = trained.warnings
    assert text.startswith(
        "recording 'p1/walk': ankle_dorsiflexion_moment reaches +1.30 Nm/kg: push-off must be"
    )
    assert trained.to_json()["warnings"] == list(trained.warnings)


def test_many_windows_are_scored_on_some(one: list[Recording], monkeypatch: pytest.MonkeyPatch) -> None:
    every = train(one, epochs=1, **SMALL).metrics
    monkeypatch.setattr("toolkit.learning.train.SCORED_WINDOWS", 50)
    some = train(one, epochs=1, **SMALL).metrics
    # The last 30 % of 1,200 rows, without the 7 before the first whole window: 353 windows, every eighth of them.
    assert every["test"]["windows"] == 353 and some["test"]["windows"] == 45
    assert some["test"]["rmse"] == pytest.approx(every["test"]["rmse"], rel=0.2)


def renamed(original: Recording) -> Recording:
    spec = StreamSpec("emg", RATE, (Channel("gracilis", "1"),))
    emg = Signal(spec, 0.0, original.signals["emg"].samples)
    return dataclasses.replace(original, person="p2", signals={**original.signals, "emg": emg})


def test_data_that_does_not_fit_is_refused(one: list[Recording]) -> None:
    cases: list[tuple[list[Recording], type[Exception], str]] = [
        (
            [one[0], dataclasses.replace(without(one[0], "emg"), person="p2", name="p2")],
            RecordingError,
            "recording 'p2' has no stream 'emg' and 'p1/walk' has: one model cannot take both",
        ),
        (
            [dataclasses.replace(one[0], signals=gyro(one[0]))],
            RecordingError,
            "has neither stream imu nor emg",
        ),
        ([dataclasses.replace(one[0], moments=None)], RecordingError, "has no reference moments"),
        ([one[0], renamed(one[0])], ContractError, "missing ['soleus'], not expected ['gracilis']"),
        ([recording("p1", 0, 0.1)], RecordingError, "fewer than one window of 8"),
        ([recording("p1", 0, 1.0)], UsageError, "the validation part has no window of 8 samples"),
    ]
    for recordings, error, says in cases:
        with pytest.raises(error) as caught:
            train(recordings, epochs=1, **SMALL)
        assert says in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"heads": 4}, "4 heads do not divide 6 hidden units"),
        ({"norm": "batch"}, "norm is 'batch'"),
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"learning_rate": 0.0}, "learning rate is 0"),
        ({"weight_decay": -1.0}, "weight decay is -1"),
        ({"stride": 0}, "stride is 0"),
        ({"seed": -1}, "seed -1"),
        (
            {"out": "model.pt"},
            "checkpoint model.pt is not written as a PyTorch file; give it the ending .safetensors",
        ),
        ({"weights": "int8"}, "allowed: float32, float16"),
        ({"split": "random"}, "split 'random' is not known; allowed: by-subject"),
        ({"split": "chronological:1,2"}, "give three fractions"),
        ({"split": "chronological:0.5,0.1,0.3"}, "sum to 1"),
        ({"split": "by-subject"}, "needs at least 3 people"),
        ({"split": "none.json"}, "cannot read none.json: no such file"),
    ],
)
def test_options_that_are_refused(one: list[Recording], change: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        train(one, **{**SMALL, **change})
    assert says in str(caught.value)


def test_a_moment_that_is_not_there_is_named(one: list[Recording]) -> None:
    with pytest.raises(RecordingError, match="has no moment toe; it has hip, knee, flat"):
        train(one, outputs=["toe"], **SMALL)


def test_divergence_says_what_to_do(one: list[Recording]) -> None:
    with pytest.raises(UsageError, match=r"diverged in epoch \d+.*smaller --learning-rate"):
        train(one, learning_rate=1e30, epochs=5, **SMALL)


def test_a_place_that_cannot_be_written(one: list[Recording], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        train(one, tmp_path / "file" / "model.safetensors", epochs=1, **SMALL)


def test_splits_from_text(one: list[Recording], tmp_path: Path) -> None:
    assert parse_split("chronological:0.5,0.2,0.3", one, 0).fractions == (0.5, 0.2, 0.3)
    assert parse_split(None, one, 0) == Split("chronological")
    chosen = Split("by-subject", people=(("a",), ("b",), ("c",)))
    (tmp_path / "split.json").write_text(json.dumps(chosen.to_json()))
    assert parse_split(str(tmp_path / "split.json"), one, 0) == chosen
    assert isinstance(select(one, Split("chronological"), "test")[0], Segment)


def test_the_average_of_the_weights_is_what_is_kept(one: list[Recording]) -> None:
    result = prepared(one, Split("chronological"))
    config = train(one, epochs=1, **SMALL).checkpoint.config

    def weights(recipe: Recipe) -> Weights:
        network = learner.learn("cross-lstm", config, result, recipe, 0).network
        assert isinstance(network, CrossLSTM)
        return network.to_weights()

    plain, averaged = (weights(Recipe(epochs=1, averaging=keep)) for keep in (0.0, 0.99))
    # The same steps were taken; the average lags behind them, towards the initial weights.
    name = "imu.lstm.0.weight_hh"
    initial = weights(Recipe(epochs=1, learning_rate=1e-12))
    assert 0 < np.abs(averaged[name] - initial[name]).mean() < np.abs(plain[name] - initial[name]).mean()


@pytest.mark.parametrize(
    ("field", "value"), [("averaging", 1.0), ("clip", 0.0), ("patience", 0), ("batch", 0)]
)
def test_recipes_that_are_refused(field: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"{field} is"):
        Recipe(**{field: value})
