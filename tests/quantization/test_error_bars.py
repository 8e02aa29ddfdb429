"""Error bars of a conversion: on the validation people in the data, else the checkpoint's own; in the bundle and in its C."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import toolkit.data
from benchmarks.validation.validate import source_check
from quantization.bundle import Bundle
from quantization.convert import convert
from quantization.error_bars import error_bars_of
from toolkit.errors import BundleError
from toolkit.model import load_checkpoint
from toolkit.uncertainty import ErrorBars

OUTPUTS = ("hip_flexion_moment", "knee_extension_moment", "ankle_dorsiflexion_moment")
#: Person 1 is of the shipped checkpoint's train part, 12, 16 and 21 of its validation part.
PERSON_1 = "synthetic:people=1,tasks=level,speeds=1"


def given() -> ErrorBars:
    return ErrorBars(OUTPUTS, np.full((3, 7), 0.25, np.float32), 0.9, 5, "float32 stream on 5 people")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Of data without validation people, with C."""
    checkpoint = dataclasses.replace(load_checkpoint("pretrained"), error_bars=given().to_json())
    out = tmp_path_factory.mktemp("bars") / "bundle"
    return convert(checkpoint, PERSON_1, out, core="c99", calibration_windows=20)


def test_without_validation_people_the_checkpoint_s_own_are_taken(bundle: Bundle) -> None:
    found = bundle.error_bars
    assert found is not None and found.to_json() == given().to_json()
    assert any("error bars are the checkpoint's own" in note for note in bundle.manifest["data"]["notes"])


def test_the_c_of_a_bundle_with_error_bars_is_what_is_made_of_it(bundle: Bundle) -> None:
    assert {"c/edgetool_half_widths.c", "c/edgetool_half_widths.h"} <= set(bundle.files)
    check = source_check(bundle)
    assert check is not None and check.passed


def test_on_validation_people_the_int8_stream_is_judged(bundle: Bundle) -> None:
    recordings = [
        recording
        for recording in toolkit.data.load("synthetic:people=21,tasks=level,speeds=1,seconds=6")
        if recording.person in ("synthetic-12", "synthetic-16", "synthetic-21")
    ]
    found, why = error_bars_of(bundle.checkpoint, bundle.graphs, recordings)
    assert why == "" and found is not None
    assert (found.people, found.level, found.outputs) == (3, 0.9, OUTPUTS)
    assert found.basis == "int8 stream on 3 people of the validation part of the split"
    # A typical 90 % half width of a model whose RMSE on these people is about 0.07 Nm/kg.
    assert 0.04 < float(found.half_widths(np.array([0.3, 0.3, -0.5])).mean()) < 0.4


def test_one_validation_person_says_nothing_of_others(bundle: Bundle) -> None:
    recordings = [
        recording
        for recording in toolkit.data.load("synthetic:people=12,tasks=level,speeds=1")
        if recording.person == "synthetic-12"
    ]
    found, _ = error_bars_of(bundle.checkpoint, bundle.graphs, recordings)
    assert found is not None and found.people == 1
    assert found.basis.endswith("in parts of its time: it says nothing of other people")


def test_error_bars_of_other_joints_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(bundle.path, tmp_path / "bundle")
    manifest = tmp_path / "bundle" / "manifest.json"
    value = json.loads(manifest.read_text())
    value["error_bars"]["outputs"] = ["hip", "knee", "ankle"]
    manifest.write_text(json.dumps(value))
    with pytest.raises(BundleError, match="error bars are of hip, knee, ankle and the model gives"):
        Bundle.load(tmp_path / "bundle")
