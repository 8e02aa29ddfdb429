"""From one command to a running self-test: convert --target adds c/ to the bundle, hashed like everything in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from c_harness import require, run
from click.testing import CliRunner

from quantization.bundle import Bundle
from toolkit.commands.convert import command
from toolkit.errors import BundleError


def test_convert_with_target(tmp_path: Path) -> None:
    require("gcc", "make")
    out = tmp_path / "bundle"
    arguments = ["pretrained", "--data", "synthetic:people=2", "--out", str(out), "--engine", "native"]
    done = CliRunner().invoke(
        command, [*arguments, "--calibration-windows", "20", "--target", "c99"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    bundle = Bundle.load(out)
    assert bundle.manifest["c"]["target"] == "c99"
    assert bundle.manifest["c"]["prefer"] == "speed"
    assert bundle.manifest["c"]["notes"] == []
    header = (out / "c" / "edgetool_model.h").read_text()
    assert f'EDGETOOL_CONTRACT_HASH "{bundle.contract.hash}"' in header
    assert "#define EDGETOOL_HAS_STREAM 1" in header
    said = run(["make", "-s", "-C", out / "c", "check"])
    assert said == "self-test: all vectors equal\n"
    (out / "c" / "edgetool_model.h").write_text(header.replace("EDGETOOL_WINDOW 64", "EDGETOOL_WINDOW 63"))
    with pytest.raises(BundleError, match=r"c/edgetool_model.h was changed after its manifest"):
        Bundle.load(out)
