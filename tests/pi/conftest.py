"""One bundle for both systems."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantization.convert import convert


@pytest.fixture(scope="package")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pi") / "bundle"
    convert("pretrained", "synthetic:people=2,seconds=4", folder, calibration_windows=50)
    return folder
