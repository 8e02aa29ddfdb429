"""The shipped checkpoints do on today's synthetic generator what their cards say."""

from __future__ import annotations

import numpy as np
import pytest

import toolkit.data
from toolkit.calibration import for_model
from toolkit.data.splits import Split, select
from toolkit.data.windows import cut
from toolkit.model import SHIPPED, float_reference, load_checkpoint
from toolkit.model.argument import CALIBRATED
from toolkit.plausibility import Familiar
from toolkit.uncertainty import ErrorBars


@pytest.mark.parametrize("word", SHIPPED)
def test_a_shipped_checkpoint_is_as_good_as_its_card_on_people_it_never_saw(word: str) -> None:
    checkpoint = load_checkpoint(word)
    assert checkpoint.split is not None
    split = Split.from_json(checkpoint.split)
    recordings = for_model(toolkit.data.load("synthetic"), checkpoint.contract)
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


def test_the_calibrated_one_asks_for_a_calibration_and_knows_its_error_bars() -> None:
    checkpoint, plain = load_checkpoint(CALIBRATED), load_checkpoint("pretrained")
    assert checkpoint.contract.calibration is not None and checkpoint.familiar is not None
    assert (
        Familiar.read(checkpoint.familiar) is not None
    )  # of this version's form: an older one judges nothing
    assert checkpoint.error_bars is not None
    error_bars = ErrorBars.from_json(checkpoint.error_bars)
    assert error_bars.people == 5 and error_bars.level == 0.9
    # Better than the one that takes sensors as they are, live more than on windows.
    metrics = checkpoint.provenance["metrics"]
    assert (
        metrics["test_live"]["rmse"]
        <= metrics["test"]["rmse"]
        < 0.7 * plain.provenance["metrics"]["test"]["rmse"]
    )
