"""A scripted session over the simulator: stand, swing the leg, contract every muscle, walk; and what is done again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgetool
from runtime.calibration.guide import Guide, Progress, Wanted
from runtime.pipeline.intake import Batch, InputRows
from toolkit.calibration import load_calibration
from toolkit.data import load
from toolkit.data.worn import after_a_stand, after_contractions, after_swings, amplified
from toolkit.model import load_checkpoint
from toolkit.model.argument import CALIBRATED
from toolkit.records import Recording

WALK = "synthetic:people=1,seed=77,tasks=level,seconds=25"


def _all_of_it(**more: Any) -> Wanted:
    return Wanted(swing=True, contraction=True, **more)


def test_the_whole_script_over_the_simulator(tmp_path: Path) -> None:
    """Sensors put on anyhow: each step is asked for in order, and the file says how every value was found."""
    out, told = tmp_path / "today.json", []
    url = f"sim://{WALK}?speed=max&mounting=7&gains=7&stand=5&swing=14&contraction=14"
    found = edgetool.calibrate(
        CALIBRATED, source=url, out=out, swing=True, contraction=True, person="Ada", show=told.append
    )
    assert list(dict.fromkeys(one.step for one in told)) == ["stand", "swing", "contract", "walk", "done"]
    assert found.verdict in ("good", "doubtful") and not found.warnings
    value = json.loads(out.read_text())
    by_segment = {one["segment"]: one["found_by"] for one in value["imus"]}
    assert by_segment["trunk"].startswith("rotation: walk, ") and by_segment["trunk"].endswith("bias: stand")
    for segment in ("thigh", "shank"):
        assert (
            "flexion axis: " in by_segment[segment]
            and " swings of the leg, whose axis is " in by_segment[segment]
        )
    assert "flexion axis" not in by_segment["foot"]
    for one in value["emg"]:
        # The simulator contracts with twice or so of what walking takes, in the units of that day's electrode.
        share = float(one["found_by"].split("takes ")[1].split(" %")[0])
        assert one["found_by"].startswith("gain: walk, which takes ") and 25 < share < 80
        assert one["contraction"] > 0
    assert load_calibration(out).hash == found.hash


def test_a_step_that_is_not_asked_for_is_not_waited_for(tmp_path: Path) -> None:
    found = edgetool.calibrate(CALIBRATED, source=f"sim://{WALK}?speed=max&stand=5", out=tmp_path / "a.json")
    assert all("flexion axis" not in one.found_by for one in found.imus)
    assert all(one.contraction is None and one.found_by == "gain: walk" for one in found.channels)


def _play(guide: Guide, recording: Recording, begin_s: float, stop_s: float) -> list[Progress]:
    """The guide with this part of the recording, a tenth of a second at a time."""
    told = []
    for first_s in np.arange(begin_s, stop_s - 1e-6, 0.1):
        inputs = {}
        for name, signal in recording.signals.items():
            a, b = (round(t * signal.spec.rate_hz) for t in (first_s, first_s + 0.1))
            rows = np.asarray(signal.samples[a:b], np.float32)
            inputs[name] = InputRows(a, rows, np.zeros(len(rows), np.uint8), np.zeros(len(rows)))
        progress = guide.take(Batch(0, False, inputs, 0.0))
        told += [progress] if progress is not None else []
    return told


def test_what_is_too_weak_is_done_again_and_the_walk_is_kept() -> None:
    """The soleus contracts with a fifth of its strength; after the walk that is said, and the next contraction ends it."""
    rng = np.random.default_rng(3)
    walk = load(WALK)[0]
    good = after_a_stand(after_swings(after_contractions(walk, 14.0, rng), 12.0, rng), 5.0, rng)
    weak = amplified(good, {"soleus": 0.15})
    guide = Guide(load_checkpoint(CALIBRATED).contract, _all_of_it())
    _play(guide, good, 0.0, 17.0)
    assert guide.step == "contract"
    _play(guide, weak, 17.0, 31.0)
    assert guide.step == "walk"
    told = _play(guide, good, 31.0, 50.0)
    assert guide.step == "contract"
    said = next(one.trouble for one in told if one.step == "contract")
    assert said.startswith("the contraction was weaker than walking: soleus (") and said.endswith(
        "and do it again"
    )
    assert _play(guide, good, 17.0, 31.0)[-1] == Progress("done", 1.0)
    found = guide.result("Ada", "2026-01-01T00:00:00+00:00")
    assert found.strides >= 10 and all(one.contraction for one in found.channels)


@pytest.mark.parametrize(("begin_s", "said"), [(31.5, "keep the knee straight, do not walk")])
def test_a_walk_in_the_place_of_swings_is_said_at_once(begin_s: float, said: str) -> None:
    """Within six seconds, and the step goes on."""
    rng = np.random.default_rng(3)
    walk = after_a_stand(load(WALK)[0], 31.0, rng)
    guide = Guide(load_checkpoint(CALIBRATED).contract, Wanted(swing=True))
    _play(guide, walk, 0.0, 5.0)
    told = _play(guide, walk, begin_s, begin_s + 8.0)
    assert guide.step == "swing" and any(said in one.trouble for one in told)
