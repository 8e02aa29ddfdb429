"""Training on carried state: the network's stream is the specification's, and what counts is what lies behind a window."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from toolkit.data import load
from toolkit.data.sequences import LabelledSequence, sequences
from toolkit.data.splits import Segment
from toolkit.errors import UsageError
from toolkit.learning.carried import CarriedObjective, Pieces, stream_moments
from toolkit.learning.objective import TargetScale
from toolkit.learning.settings import Settings
from toolkit.model import float_reference, load_checkpoint
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import STREAMS, ModelConfig
from toolkit.model.network import CrossLSTM

CONFIG = ModelConfig(imu_channels=4, emg_channels=3, window=8, hidden=12, layers=2, heads=3, head_hidden=5)


def run(rows: int, seed: int = 0, counted: np.ndarray | None = None) -> LabelledSequence:
    rng = np.random.default_rng(seed)
    recording = load("synthetic:people=1,tasks=level,speeds=1,seconds=4")[0]
    inputs = {s: rng.normal(size=(rows, CONFIG.channels(s))).astype(np.float32) for s in STREAMS}
    targets = rng.normal(size=(rows, len(CONFIG.outputs))).astype(np.float32)
    every = np.ones(rows, bool) if counted is None else counted
    return LabelledSequence(Segment(recording, 0.0, 4.0), inputs, targets, every, np.arange(rows) / 100)


def test_the_stream_is_that_of_the_specification() -> None:
    checkpoint = Checkpoint.random(CONFIG, 3)
    given = run(50)
    found = stream_moments(CrossLSTM.from_checkpoint(checkpoint), given)
    assert np.abs(found - float_reference.stream(checkpoint, given.inputs)).max() < 2e-5


def test_chunks_carry_everything_on(monkeypatch: pytest.MonkeyPatch) -> None:
    network = CrossLSTM.from_checkpoint(Checkpoint.random(CONFIG, 3))
    whole = stream_moments(network, run(50))
    for chunk in (1, 5, 7, 49):
        monkeypatch.setattr("toolkit.learning.carried._CHUNK", chunk)
        assert np.abs(stream_moments(network, run(50)) - whole).max() < 2e-6, chunk


def test_after_a_window_from_nothing_it_is_the_window() -> None:
    network = CrossLSTM.from_checkpoint(Checkpoint.random(CONFIG, 4))
    imu, emg = (torch.from_numpy(run(8).inputs[s])[None] for s in STREAMS)
    with torch.inference_mode():
        assert network.stream(imu, emg)[0][0, -1].numpy() == pytest.approx(
            network(imu, emg)[0].numpy(), abs=1e-6
        )


def test_pieces_begin_a_hop_apart_and_count_behind_a_window() -> None:
    counted = np.ones(30, bool)
    counted[12] = False
    pieces = Pieces([run(30, counted=counted)], length=16, hop=10, window=8)
    assert len(pieces) == 3  # from rows 0, 10 and 20; the last has 10 rows and is filled up
    inputs, targets, rows = pieces.take(np.array([0, 2]))
    assert inputs["imu"].shape == (2, 16, 4) and targets.shape == (2, 16, 3)
    assert np.flatnonzero(rows[0]).tolist() == [7, 8, 9, 10, 11, 13, 14, 15]
    assert np.flatnonzero(rows[1]).tolist() == [7, 8, 9]
    assert (
        np.array_equal(inputs["imu"][1, :10], run(30).inputs["imu"][20:]) and not inputs["imu"][1, 10:].any()
    )


def test_a_piece_without_a_label_is_left_out() -> None:
    counted = np.arange(30) >= 20
    # From rows 15 and 20: what begins before ends before a label, or has none behind its window.
    assert len(Pieces([run(30, counted=counted)], length=10, hop=5, window=8)) == 2
    with_none = Pieces([run(30, counted=np.zeros(30, bool))], length=10, hop=5, window=8)
    assert len(with_none) == 0


def test_the_loss_is_that_of_the_rows_that_count() -> None:
    network = CrossLSTM.from_checkpoint(Checkpoint.random(CONFIG, 5))
    given = run(16)
    scale = TargetScale(np.array([1.0, 2.0, 3.0]), np.array([0.5, 1.0, 2.0]))
    objective = CarriedObjective([given], [given], scale, 6.0, 0, window=8, windows=2, stride=1)
    assert objective.items == 2  # from rows 0 and 8
    with torch.inference_mode():
        loss, penalty = objective.loss(network, np.array([0]))
    errors = stream_moments(network, given)[7:] - (given.targets[7:] - scale.mean) / scale.std
    assert loss.item() == pytest.approx(np.mean(errors**2), rel=1e-5) and penalty.item() == 0.0
    assert objective.validate(network) == pytest.approx(np.mean(errors**2), rel=1e-5)


def test_sequences_of_a_recording_are_its_rows_and_labels() -> None:
    recording = load("synthetic:people=1,tasks=level,speeds=1,seconds=4")[0]
    checkpoint = load_checkpoint("pretrained")
    (found,) = sequences([Segment(recording, 1.0, 3.0)], checkpoint.contract)
    assert len(found) == 200 and found.time_s[[0, -1]] == pytest.approx([1.0, 2.99])
    assert found.counted.all() and recording.moments is not None
    assert found.targets[0] == pytest.approx(recording.moments.samples[100], abs=1e-6)
    masked = dataclasses.replace(recording, valid_s=((1.5, 2.0),))
    (found,) = sequences([Segment(masked, 1.0, 3.0)], checkpoint.contract)
    assert np.flatnonzero(found.counted)[[0, -1]].tolist() == [50, 100]


@pytest.mark.parametrize("sequence", [0, 33])
def test_a_sequence_that_makes_no_sense_is_refused(sequence: int) -> None:
    with pytest.raises(UsageError, match=r"it must be between 1 and 32"):
        Settings(sequence=sequence)
