"""The shipped checkpoint does on today's synthetic generator what its card says."""

from __future__ import annotations

import numpy as np
import pytest

import toolkit.data
from toolkit.data.splits import Split, select
from toolkit.data.windows import cut
from toolkit.model import float_reference, load_checkpoint


def test_the_shipped_checkpoint_is_as_good_as_its_card_on_people_it_never_saw() -> None:
    checkpoint = load_checkpoint("pretrained")
    assert checkpoint.split is not None
    split = Split.from_json(checkpoint.split)
    recordings = toolkit.data.load("synthetic")
    held_out = select(recordings, split, "test")
    people = {segment.recording.person for segment in held_out}
    assert people and not people & {*split.people[0], *split.people[1]}
    windows = cut(held_out, checkpoint.contract, stride=20)
    error = float_reference.window(checkpoint, windows.inputs, np.float32) - windows.targets
    card = checkpoint.provenance["metrics"]["test"]
    # These are some of the people of the card's test part, so the figure differs as people do: by up to a third.
    assert np.sqrt((error**2).mean()) == pytest.approx(card["rmse"], rel=1 / 3)
    r2 = 1 - (error**2).sum(axis=0) / ((windows.targets - windows.targets.mean(axis=0)) ** 2).sum(axis=0)
    assert (r2 > 0.85).all(), r2
