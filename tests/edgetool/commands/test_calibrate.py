"""``edgetool calibrate`` with an earlier calibration: shown, checked against the model, and written as C."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetool.cli import main
from toolkit.calibration import calibrate, fit_reference
from toolkit.calibration.people import walk_recording, walk_signals
from toolkit.data import load
from toolkit.model import load_checkpoint


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that asks for a calibration, one that does not, and a calibration for the first."""
    folder = tmp_path_factory.mktemp("calibrate")
    people = load("synthetic:people=4,seed=5,tasks=level")
    reference = fit_reference(people[:6])
    plain = load_checkpoint("pretrained")
    contract = dataclasses.replace(plain.contract, calibration=reference.to_json())
    dataclasses.replace(plain, contract=contract).save(folder / "asks.safetensors")
    dataclasses.replace(plain, contract=dataclasses.replace(contract, calibration=None)).save(
        folder / "plain.safetensors"
    )
    calibrate(walk_signals(walk_recording(people[6:])), reference, person="Ada").save(folder / "today.json")
    return folder


Said = Callable[..., tuple[int, str]]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """Exit code and output of ``edgetool calibrate`` with words."""

    def run(*words: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["edgetool", "calibrate", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return run


def test_an_earlier_calibration_is_shown_and_written_as_c(said: Said, files: Path, tmp_path: Path) -> None:
    header = tmp_path / "Ada-2.h"
    code, text = said(files / "asks.safetensors", "--calibration", files / "today.json", "--c", header)
    assert code == 0, text
    assert "foot IMU" in text and "soleus EMG" in text and f"Wrote {header}" in text
    assert all(len(line) <= 80 for line in text.splitlines() if not line.startswith("Wrote"))
    assert "static const edgetool_calibration ada_2 = {" in header.read_text()
    assert '#define EDGETOOL_ADA_2_PERSON "Ada"' in header.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("asks.safetensors",),
            "give sources to calibrate with or the file of an earlier calibration, not both",
        ),
        (("asks.safetensors", "--source", "sim://synthetic"), "--source and --config need --out FILE"),
        (("plain.safetensors", "--calibration", "today.json"), "takes sensors as they are worn"),
        (("asks.safetensors", "--calibration", "none.json"), "no such file"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_and_nothing_is_written(
    said: Said, files: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    given = [str(files / word) if word.endswith((".json", ".safetensors")) else word for word in words]
    code, text = said(*given, *(() if "--source" in words else ("--c", str(tmp_path / "x.h"))))
    assert code != 0 and message in text.replace("\n", " ")
    assert not (tmp_path / "x.h").exists()
