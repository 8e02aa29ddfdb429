"""Drawing calibration windows, golden vectors' groups, and arguments that convert refuses before any work."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantization.analysis.error_attribution import attribute_errors
from quantization.calibration_windows import STAND_IN, draw, stratified
from quantization.convert import convert, source_name
from quantization.tflite.run import quantize
from toolkit.contract import StreamSpec
from toolkit.data.splits import Split
from toolkit.errors import (
    CheckpointError,
    ContractError,
    OutputError,
    UsageError,
)
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig
from toolkit.records import Recording, Signal, Windows

CHECKPOINT = Checkpoint.random(
    ModelConfig(imu_channels=6, emg_channels=2, window=8, hidden=4, head_hidden=3), 7
)


def recording(person: str, task: str, rows: int, seed: int = 0) -> Recording:
    """Random signals that fit CHECKPOINT's contract, 100 rows a second."""
    generator = np.random.default_rng(seed)
    signals = {
        item.stream.name: Signal(
            item.stream, 0.0, generator.standard_normal((rows, len(item.stream.channels)))
        )
        for item in CHECKPOINT.contract.inputs
    }
    moments = Signal(
        StreamSpec("moments", 100.0, CHECKPOINT.contract.outputs),
        0.0,
        generator.standard_normal((rows, len(CHECKPOINT.contract.outputs))),
    )
    return Recording(f"{person}-{task}", person, task, "synthetic", 70.0, signals, moments)


def windows_of(counts: dict[tuple[str, str], int]) -> Windows:
    recordings = tuple(recording(person, task, 10) for person, task in counts)
    owner = np.repeat(np.arange(len(counts)), list(counts.values())).astype(np.int32)
    n = len(owner)
    inputs = {"imu": np.zeros((n, 8, 6), np.float32), "emg": np.zeros((n, 8, 2), np.float32)}
    return Windows(inputs, np.zeros((n, 3), np.float32), owner, np.zeros(n), recordings)


def drawn_groups(windows: Windows, index: Any) -> Counter[tuple[str, str]]:
    recordings = [windows.recordings[i] for i in windows.recording[index]]
    return Counter((r.person, r.task) for r in recordings)


def test_people_and_tasks_are_drawn_evenly_however_many_windows_they_have() -> None:
    windows = windows_of({("a", "level"): 500, ("a", "stairs"): 40, ("b", "level"): 100, ("b", "stairs"): 60})
    index = stratified(windows, 80, np.random.default_rng(0))
    assert set(drawn_groups(windows, index).values()) == {20}
    assert (np.diff(index) > 0).all()


def test_a_small_group_gives_all_and_the_others_make_up_for_it() -> None:
    windows = windows_of({("a", "level"): 100, ("b", "level"): 3})
    index = stratified(windows, 20, np.random.default_rng(0))
    assert drawn_groups(windows, index) == {("a", "level"): 17, ("b", "level"): 3}
    assert len(stratified(windows, 500, np.random.default_rng(0))) == 103


def test_the_seed_decides_the_draw() -> None:
    windows = windows_of({("a", "level"): 100, ("b", "level"): 100})
    one, same, other = (stratified(windows, 20, np.random.default_rng(s)) for s in (1, 1, 2))
    assert (one == same).all() and (one != other).any()


def test_calibration_never_sees_the_test_part() -> None:
    split = Split("by-subject", people=(("a",), ("b",), ("c",)))
    checkpoint = Checkpoint(CHECKPOINT.config, CHECKPOINT.contract, CHECKPOINT.weights, split.to_json(), {})
    drawn = draw(checkpoint, [recording(p, "level", 200) for p in "abc"], 20, seed=0)
    for windows in (drawn.calibration, drawn.golden):
        assert {windows.recordings[i].person for i in windows.recording} == {"a"}
    assert drawn.notes == ()


def test_neither_calibration_nor_the_recipe_search_sees_the_test_part(tmp_path: Path) -> None:
    """Other signals and moments of the test person change nothing; other ones of the validation person the search."""
    split = Split("by-subject", people=(("a",), ("b",), ("c",)))
    checkpoint = Checkpoint(CHECKPOINT.config, CHECKPOINT.contract, CHECKPOINT.weights, split.to_json(), {})

    def found(seeds: tuple[int, int, int]) -> tuple[Any, list[bytes]]:
        data = [recording(p, "level", 200, seed) for p, seed in zip("abc", seeds)]
        out = tmp_path / "".join(map(str, seeds))
        bundle = convert(checkpoint, data, out, max_rmse_increase=1000.0, calibration_windows=20)
        assert bundle.manifest["search"]["validation"] == "the validation part of the split"
        tried = [trial["rmse_increase_pct"] for trial in bundle.manifest["search"]["tried"]]
        return tried, [graph.content for graph in bundle.graphs]

    first = found((1, 2, 3))
    assert found((1, 2, 4)) == first
    tried, graphs = found((1, 5, 3))
    assert tried != first[0]
    assert graphs == first[1]


def test_error_attribution_never_sees_the_test_part_and_says_what_stands_in_for_validation(
    tmp_path: Path,
) -> None:
    split = Split("by-subject", people=(("a",), ("b",), ("c",)))
    checkpoint = Checkpoint(CHECKPOINT.config, CHECKPOINT.contract, CHECKPOINT.weights, split.to_json(), {})
    people = {p: recording(p, "level", 200, seed) for seed, p in enumerate("abc")}
    bundle = convert(checkpoint, list(people.values()), tmp_path / "bundle", calibration_windows=20)

    def found(*names: str, test_seed: int = 2) -> dict[str, Any]:
        data = [recording("c", "level", 200, test_seed) if n == "c" else people[n] for n in names]
        return attribute_errors(bundle, data, windows=20).to_json()

    whole = found("a", "b", "c")
    assert (whole["part"], whole["notes"]) == ("validation", [])
    assert found("a", "b", "c", test_seed=9) == whole
    assert found("b", "a") == whole
    without = found("a", "c")
    assert (without["part"], without["notes"]) == ("train", [f"the windows are of {STAND_IN}"])
    assert found("a", "c", test_seed=9) == without
    assert without["outputs"] != whole["outputs"]


def test_people_the_split_does_not_know_are_calibrated_on_their_first_part_and_it_says_so() -> None:
    split = Split("by-subject", people=(("a",), ("b",), ("c",)))
    checkpoint = Checkpoint(CHECKPOINT.config, CHECKPOINT.contract, CHECKPOINT.weights, split.to_json(), {})
    drawn = draw(checkpoint, [recording("new", "level", 200)], 20, seed=0)
    assert drawn.calibration.time_s.max() < 0.6 * 2.0  # 200 rows at 100 Hz are 2 s
    assert "first 60 %" in drawn.notes[0]


def test_quantize_rounds_halves_away_from_zero_as_tflite_does_and_saturates() -> None:
    values = np.array([0.0, 0.25, 0.75, -0.25, 1000.0, -1000.0], np.float32)
    np.testing.assert_array_equal(quantize(values, 0.5, 3), [3, 4, 5, 2, 127, -128])


def test_source_names_carry_no_folders() -> None:
    assert source_name("synthetic:people=3,seed=1") == "synthetic:people=3,seed=1"
    assert source_name("/home/ann/walks/trial.toml") == "trial.toml"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheme": "int4"}, "scheme 'int4' is not known; allowed: float32, int8"),
        ({"converter": "magic"}, "converter 'magic' is not known; allowed: "),
        ({"calibration_windows": 0}, "calibration windows are 0"),
        ({"seed": -1}, "seed -1"),
        ({"data": "walks.xyz"}, "walks.xyz"),
    ],
)
def test_bad_arguments_are_refused_and_leave_nothing(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((UsageError, OSError, Exception)) as caught:
        convert(CHECKPOINT, out=tmp_path / "bundle", **{"data": [recording("a", "level", 200)], **options})
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        convert(tmp_path / "none.safetensors", "synthetic", tmp_path / "bundle")
    (tmp_path / "model.safetensors").write_bytes(b"not a checkpoint at all")
    with pytest.raises(CheckpointError):
        convert(tmp_path / "model.safetensors", "synthetic", tmp_path / "bundle")


def test_an_output_that_cannot_be_written_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "bundle"):
        with pytest.raises(OutputError, match="cannot write"):
            convert(CHECKPOINT, "no such data", out)


def test_data_of_another_contract_is_refused_with_both_sides(tmp_path: Path) -> None:
    """The default synthetic set has 24 IMU channels, this checkpoint 6."""
    with pytest.raises(ContractError, match="must have 6 channels as in the contract and has 24"):
        convert(CHECKPOINT, "synthetic:people=1,seconds=2,tasks=level", tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
