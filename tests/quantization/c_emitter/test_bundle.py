"""From one command to a running self-test: convert --core adds c/ to the bundle, hashed like everything in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgetool.commands.convert import command
from quantization.bundle import Bundle
from tests.quantization.c_emitter.harness import run
from tests.tools import require
from toolkit.errors import BundleError
from toolkit.model import pretrained
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig


def test_convert_with_target(tmp_path: Path) -> None:
    require("gcc", "make")
    out = tmp_path / "bundle"
    arguments = ["pretrained", "--data", "synthetic:people=2", "--out", str(out), "--converter", "builtin"]
    done = CliRunner().invoke(
        command, [*arguments, "--calibration-windows", "20", "--core", "c99"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    assert "C source for c99 is in bundle/c (docs/TARGETS.md).\n" in done.output
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


def test_what_is_slower_than_it_might_be_is_told(tmp_path: Path) -> None:
    """Sizes that do not fit the core's assembly run in portable C: the command says so, the manifest has every reason."""
    shipped = Checkpoint.load(pretrained())
    drawn = Checkpoint.random(ModelConfig(hidden=18), seed=1)  # rows of 18 bytes do not begin at a word
    replace(drawn, contract=shipped.contract, split=shipped.split).save(tmp_path / "small.safetensors")
    arguments = [str(tmp_path / "small.safetensors"), "--data", "synthetic:people=2", "--core", "cortex-m4"]
    arguments += ["--out", str(tmp_path / "bundle"), "--calibration-windows", "20"]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    reasons = Bundle.load(tmp_path / "bundle").manifest["c"]["notes"]
    said = " ".join(done.output.split())
    assert len(reasons) > 1
    assert f"Note: {reasons[0]}; {len(reasons)} such in all, see c.notes in manifest.json" in said
