"""Adapting: only what the policy names changes, the given strides decide, and what does not gain is left alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.toolkit.learning.test_train import SMALL, recording
from toolkit.data.splits import Segment
from toolkit.data.windows import cut
from toolkit.errors import UsageError
from toolkit.learning.finetune import adapt, individual, renormalised
from toolkit.learning.settings import Settings
from toolkit.learning.strides import apart, strides
from toolkit.learning.train import train
from toolkit.model import float_reference
from toolkit.model.checkpoint import Checkpoint
from toolkit.records import Recording, Signal, Windows

STRIKES = tuple(float(t) for t in range(13))


def walker(person: str, seed: int, *, gain: float = 1.0) -> Recording:
    """A person whose moments are ``gain`` times what the others' would be."""
    one = recording(person, seed, 12.0)
    assert one.moments is not None
    moments = Signal(one.moments.spec, 0.0, gain * one.moments.samples)
    return dataclasses.replace(one, moments=moments, heel_strikes_s=STRIKES)


@pytest.fixture(scope="module")
def source() -> Checkpoint:
    people = [walker(f"p{i}", i) for i in range(4)]
    return train(people, None, Settings(**{**SMALL, "epochs": 8})).checkpoint


def windows(checkpoint: Checkpoint, *recordings: Recording) -> Windows:
    return cut([Segment(one, 0.0, 12.0) for one in recordings], checkpoint.contract)


def rmse(checkpoint: Checkpoint, told: Windows) -> float:
    return float(np.sqrt(((float_reference.window(checkpoint, told.inputs) - told.targets) ** 2).mean()))


def test_strides_come_from_all_recordings_in_turn(source: Checkpoint) -> None:
    told = windows(source, walker("a", 1), walker("b", 2))
    found = strides(told)
    assert [int(told.recording[rows[0]]) for rows in found[:4]] == [0, 1, 0, 1]
    assert [round(float(told.time_s[rows[0]])) for rows in found[:6]] == [0, 0, 1, 1, 2, 2]
    assert all(len(rows) == 50 for rows in found[2:-2])  # a second at 50 Hz
    masked = dataclasses.replace(walker("a", 1), valid_s=((3.0, 4.0), (6.0, 6.2)))
    found = strides(windows(source, masked))
    assert len(found) == 1  # a fifth of a stride is none


def test_tested_windows_share_no_sample_with_those_learnt_from(source: Checkpoint) -> None:
    told = windows(source, walker("a", 1))
    used = strides(told)[3]  # 3 to 4 s
    rest = told.time_s[apart(told, used, 8 / 50)]
    assert not ((rest >= 3.0) & (rest < 4.0)).any()
    # The last label learnt from is at 3.98 s; the window that ends at 4.14 s begins at 4.00 s.
    assert rest[rest >= 4.0].min() == pytest.approx(4.16, abs=0.021)
    assert rest[rest < 3.0].max() == pytest.approx(2.98)


def test_a_person_who_differs_gains_on_strides_that_were_not_given(source: Checkpoint) -> None:
    told = windows(source, walker("new", 9, gain=1.5))
    found = strides(told)
    adapted = adapt(source, told, found[:4])
    rest = told.take(np.concatenate(found[6:]))
    assert adapted.policy != "none"
    assert rmse(adapted.checkpoint, rest) < 0.7 * rmse(source, rest)
    again = adapt(source, told, found[:4])
    assert again.checkpoint.to_bytes() == adapted.checkpoint.to_bytes()
    note = adapted.checkpoint.provenance["finetuned"]
    assert (note["source"], note["strides"], note["people"]) == (source.hash, 4, ["new"])


def test_where_held_out_strides_do_not_gain_nothing_is_changed(source: Checkpoint) -> None:
    """Moments that are noise: what is learnt from some strides is wrong for the others."""
    one = walker("new", 3)
    assert one.moments is not None
    estimate = windows(source, one)
    noise = np.random.default_rng(0).normal(size=one.moments.samples.shape)
    noisy = dataclasses.replace(one, moments=Signal(one.moments.spec, 0.0, one.moments.samples + noise))
    told = windows(source, noisy)
    adapted = adapt(source, told, strides(told)[:3])
    assert len(estimate) == len(told)
    assert adapted.policy == "none" and adapted.checkpoint is source
    assert adapted.held_out["none"] <= min(adapted.held_out.values()) / 0.98


def test_one_stride_that_is_unlike_the_others_keeps_auto_from_changing_anything(source: Checkpoint) -> None:
    """Two strides have three times the moments: on average adapting gains, on the third it loses."""
    one = walker("new", 9)
    assert one.moments is not None
    rows = len(one.moments.samples)
    factor = np.where(
        (np.arange(rows) * 12.0 / rows >= 2.0) & (np.arange(rows) * 12.0 / rows < 3.0), 1.0, 3.0
    )
    unlike = dataclasses.replace(
        one, moments=Signal(one.moments.spec, 0.0, one.moments.samples * factor[:, None])
    )
    told = windows(source, unlike)
    chosen = strides(told)[:3]
    head = adapt(source, told, chosen, "head")
    assert head.held_out["head"] < 0.9 * head.held_out["none"]
    adapted = adapt(source, told, chosen)
    assert adapted.policy == "none" and adapted.checkpoint is source


@pytest.mark.parametrize(
    ("policy", "changed"),
    [
        ("head", {"head"}),
        ("fusion-and-head", {"head", "attention", "norm"}),
        ("all", {"head", "attention", "norm", "lstm"}),
        ("normaliser", set()),
    ],
)
def test_a_policy_trains_what_it_names(source: Checkpoint, policy: str, changed: set[str]) -> None:
    told = windows(source, walker("new", 9, gain=1.5))
    adapted = adapt(source, told, strides(told)[:2], policy).checkpoint  # type: ignore[arg-type]
    parts = {
        (name.split(".")[0] if name.startswith("head") else name.split(".")[1])
        for name, value in source.weights.items()
        # The scale of the target goes into the last layer and out again, in single precision.
        if not np.allclose(adapted.weights[name], value, rtol=0, atol=1e-6)
    }
    assert parts == changed
    assert (adapted.contract == source.contract) == (policy != "normaliser")


def test_a_new_normaliser_lies_between_the_sources_and_the_persons(source: Checkpoint) -> None:
    told = windows(source, walker("new", 9))
    loud = dataclasses.replace(told, inputs={**told.inputs, "emg": 3 * told.inputs["emg"]})
    adapted = adapt(source, loud, strides(loud)[:4], "normaliser").checkpoint
    before, after = (c.contract.inputs[1].normaliser.std[0] for c in (source, adapted))
    rows = np.concatenate(strides(loud)[:4])
    own = before * float(loud.inputs["emg"][rows][:, -1].std())
    assert after == pytest.approx(np.sqrt(before * own), rel=1e-4)  # four strides: half way, of logarithms
    # Windows normalised anew are those that the new contract cuts.
    moved = renormalised(told, source, adapted.contract.inputs)
    direct = windows(adapted, walker("new", 9))
    for stream, values in direct.inputs.items():
        assert moved.inputs[stream] == pytest.approx(values, abs=1e-5)


def test_pulling_keeps_weights_near_the_source(source: Checkpoint) -> None:
    told = windows(source, walker("new", 9, gain=2.0))
    far, near = (
        adapt(source, told, strides(told)[:2], "head", pull=pull).checkpoint.weights["head.hidden.weight"]
        for pull in (0.0, 10.0)
    )
    start = source.weights["head.hidden.weight"]
    assert np.abs(near - start).mean() < 0.5 * np.abs(far - start).mean()


def test_one_of_his_own_is_a_network_of_the_same_sizes(source: Checkpoint) -> None:
    told = windows(source, walker("new", 9))
    network = individual(source, told, strides(told)[:4])
    assert network.config == source.config


def test_what_is_refused(source: Checkpoint) -> None:
    told = windows(source, walker("new", 9))
    with pytest.raises(UsageError, match="no stride to adapt to; give at least 1"):
        adapt(source, told, [])
    with pytest.raises(UsageError, match="policy is 'some'; allowed: auto, all"):
        adapt(source, told, strides(told)[:1], "some")  # type: ignore[arg-type]
