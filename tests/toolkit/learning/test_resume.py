"""A training that is stopped leaves its best weights, goes on with the same bits, and refuses to go on as another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.toolkit.learning.test_train import SMALL, recording
from toolkit.contract import SensorContract
from toolkit.errors import CheckpointError, UsageError
from toolkit.learning.batches import Inputs
from toolkit.learning.recipe import Epoch, Step, rises_from_the_first
from toolkit.learning.saved_run import run_file
from toolkit.learning.settings import Settings
from toolkit.learning.train import Trained, train
from toolkit.model.checkpoint import Checkpoint
from toolkit.records import Recording


class Noise:
    """Adds noise to every batch: a run with it draws chance in each step."""

    def to_json(self) -> dict[str, Any]:
        return {"kind": "noise"}

    def on(self, contract: SensorContract) -> Callable[[Inputs, np.random.Generator], Inputs]:
        assert len(contract.inputs) == 2

        def augment(inputs: Inputs, generator: np.random.Generator) -> Inputs:
            return {
                name: values + 0.1 * generator.standard_normal(values.shape, np.float32)
                for name, values in inputs.items()
            }

        return augment


@pytest.fixture(scope="module")
def one() -> list[Recording]:
    return [recording("p1", 1, 6.0)]


def settings(**changes: Any) -> Settings:
    return Settings(**{**SMALL, "seed": 5, "epochs": 4, **changes})


def stopped_in(epoch: int) -> Callable[[Step], None]:
    """As Ctrl-C in the middle of an epoch."""

    def progress(step: Step) -> None:
        if step.epoch == epoch and step.step == 2:
            raise KeyboardInterrupt

    return progress


def test_a_stopped_run_goes_on_with_the_same_bytes(one: list[Recording], tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    train(one, whole, settings(), augmentation=Noise())
    for epoch in (2, 4):
        with pytest.raises(KeyboardInterrupt) as stopped:
            train(
                one,
                broken,
                settings(),
                augmentation=Noise(),
                resume=epoch > 2,
                progress=stopped_in(epoch),
            )
        said = f"stopped after epoch {epoch - 1}; {broken} holds the best so far"
        assert stopped.value.__notes__[0].startswith(said)
        partial = Checkpoint.load(broken)
        assert partial.provenance["training"]["finished"] is False
        assert "metrics" not in partial.provenance  # the test part is used once
    result = train(one, broken, settings(), augmentation=Noise(), resume=True)
    assert broken.read_bytes() == whole.read_bytes()
    assert len(result.history) == 4
    assert not run_file(broken).exists() and sorted(p.name for p in tmp_path.iterdir()) == [
        "broken.safetensors",
        "whole.safetensors",
    ]


def test_augmentation_changes_the_training_and_is_in_the_provenance(one: list[Recording]) -> None:
    plain, noisy = train(one, None, settings()), train(one, None, settings(), augmentation=Noise())
    assert noisy.checkpoint.provenance["training"]["augmentation"] == {"kind": "noise"}
    assert "augmentation" not in plain.checkpoint.provenance["training"]
    name = "head.output.weight"
    assert not np.array_equal(plain.checkpoint.weights[name], noisy.checkpoint.weights[name])


@pytest.fixture
def broken(one: list[Recording], tmp_path: Path) -> Path:
    """A checkpoint path whose training was stopped in its second epoch."""
    out = tmp_path / "m.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(one, out, settings(), progress=stopped_in(2))
    return out


def test_only_the_same_run_goes_on(one: list[Recording], broken: Path, tmp_path: Path) -> None:
    cases: list[tuple[list[Recording], Settings, Path, str]] = [
        (one, settings(seed=6), broken, "of a training with another seed (5 then, 6 now)"),
        (one, settings(epochs=9), broken, "another epochs (4 then, 9 now)"),
        ([recording("p1", 2, 6.0)], settings(), broken, "another data"),
        (one, settings(), tmp_path / "other.safetensors", "no interrupted training to resume"),
    ]
    for data, chosen, out, says in cases:
        with pytest.raises(UsageError) as caught:
            train(data, out, chosen, resume=True)
        assert says in str(caught.value)
    with pytest.raises(UsageError, match="cannot be resumed; give --out"):
        train(one, None, settings(), resume=True)


@pytest.mark.parametrize("keep", [0, 7, 100, 5000])
def test_a_damaged_run_is_refused(one: list[Recording], broken: Path, keep: int) -> None:
    content = run_file(broken).read_bytes()
    assert len(content) > 5000
    run_file(broken).write_bytes(content[:keep])
    with pytest.raises(CheckpointError) as caught:
        train(one, broken, settings(), resume=True)
    assert str(run_file(broken)) in str(caught.value) and "\n" not in str(caught.value)


def test_initial_weights_are_where_training_starts(one: list[Recording]) -> None:
    source = train(one, None, settings())
    still = train(one, None, settings(epochs=1, learning_rate=1e-12), init=source.checkpoint)
    # A step of nearly nothing: what comes out is what went in, to the rounding of the target's scale.
    for name, value in source.checkpoint.weights.items():
        assert still.checkpoint.weights[name] == pytest.approx(value, abs=1e-5), name
    assert still.checkpoint.contract == source.checkpoint.contract
    assert still.checkpoint.provenance["training"]["initial_weights"] == source.checkpoint.hash
    with pytest.raises(UsageError, match="of a model with hidden 6 and this one has 8; give it the same"):
        train(one, None, settings(hidden=8), init=source.checkpoint)


def test_people_of_the_test_part_are_scored_one_by_one() -> None:
    people = [recording(f"p{i}", i, 2.0) for i in range(6)]
    chosen = {"train": ["p0", "p1", "p2"], "validation": ["p3"], "test": ["p4", "p5"]}
    from toolkit.data.splits import Split

    result: Trained = train(
        people, None, settings(epochs=1, split=Split.from_json({"kind": "by-subject", "people": chosen}))
    )
    assert list(result.people) == ["p4", "p5"]
    squares = [one["windows"] * one["rmse"] ** 2 for one in result.people.values()]
    rows = sum(one["windows"] for one in result.people.values())
    assert np.sqrt(sum(squares) / rows) == pytest.approx(result.metrics["test"]["rmse"], abs=2e-6)


def test_validation_that_rises_from_the_first_epoch_on_is_noticed() -> None:
    def history(*losses: float) -> tuple[Epoch, ...]:
        return tuple(Epoch(n, 0.0, loss) for n, loss in enumerate(losses, 1))

    assert rises_from_the_first(history(0.5, 0.6, 0.7))
    assert not rises_from_the_first(history(0.5, 0.4, 0.7))
    assert not rises_from_the_first(history(0.5))


def test_sigterm_leaves_the_best_weights_and_says_how_to_go_on(tmp_path: Path) -> None:
    """The command line from outside, stopped by a service manager after its first whole epoch."""
    options = (
        "--data synthetic:people=3,seconds=3,tasks=level --out m.safetensors --epochs 500 --patience 500"
    )
    sizes = "--stride 8 --hidden 4 --head-hidden 4 --window 16"
    with subprocess.Popen(
        [sys.executable, "-m", "edgetool", "train", *options.split(), *sizes.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:  # a line an epoch, for there is no terminal
            lines.append(line)
            if line.startswith("epoch 2/500: train "):
                process.send_signal(signal.SIGTERM)
                break
        said = process.stderr.read()
    assert process.returncode == 143
    assert any(line.startswith("epoch 1/500: train ") for line in lines)
    assert "m.safetensors holds the best so far" in said and said.rstrip().endswith("--resume")
    assert Checkpoint.load(tmp_path / "m.safetensors").provenance["training"]["finished"] is False
