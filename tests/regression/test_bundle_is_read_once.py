"""A bundle was read twice: its hashes were verified, and later its golden vectors and its manifest were read again.

Who could write into the folder in between gave golden vectors that nothing had verified, and a model hash that was not that of
the model that ran. Now all files are kept as they were when their hashes were verified.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from quantization.bundle import MANIFEST, Bundle
from runtime.daemon import model as daemon_model
from runtime.settings import ModelSettings
from tests.runtime.engines.models import MODELS, make_bundle


def test_golden_vectors_are_those_whose_hash_was_verified(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle", MODELS["small"])
    expected = Bundle.load(tmp_path / "bundle").golden
    bundle = Bundle.load(tmp_path / "bundle")
    np.savez(tmp_path / "bundle" / "golden.npz", **{name: np.zeros(1) for name in expected})
    assert set(bundle.golden) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(bundle.golden[name], values)


def test_the_daemons_model_hash_is_that_of_the_model_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bundle(tmp_path / "bundle", MODELS["small"])
    manifest = tmp_path / "bundle" / MANIFEST
    expected = hashlib.sha256(manifest.read_bytes()).hexdigest()
    opened = daemon_model.open_engine

    def slow(*arguments: object) -> object:
        manifest.write_bytes(manifest.read_bytes() + b" ")
        return opened(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(daemon_model, "open_engine", slow)
    assert daemon_model.load_model(ModelSettings(tmp_path / "bundle")).hash == expected
