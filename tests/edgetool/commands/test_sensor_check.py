"""``monitor --config`` and ``replay --config``: sensors held against the daemon's model through its [inputs]."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import edgetool
from edgetool.cli import main
from edgetool.commands.sensor_lines import sensor_lines
from toolkit.errors import UsageError

SOURCE = "sim://synthetic?speed=max&seconds=8&hum_mv=0.2"


def _config(folder: Path, bundle: Path, more: str = "") -> Path:
    path = folder / "run.toml"
    path.write_text(f'[model]\nbundle = "{bundle}"\n[sources]\nurls = ["{SOURCE}"]\n{more}')
    return path


def test_the_monitor_says_what_is_doubted_and_takes_the_notch(shipped_bundle: Path, tmp_path: Path) -> None:
    """Hum on all nine electrodes, from the sources of the configuration; with the notch of its [inputs] all is well."""
    out = tmp_path / "state.json"
    edgetool.monitor(config=_config(tmp_path, shipped_bundle), json=out)
    said = json.loads(out.read_text())["sensors"]
    assert (said["state"], said["reasons"], said["trouble"], said["missing"]) == (
        "degraded",
        ["hum"],
        None,
        [],
    )
    assert [one["kind"] for one in said["findings"]] == ["hum"] * 9 and said["findings"] == said["found"]
    lines = sensor_lines(said)
    assert lines[0] == "Sensors: degraded (hum)" and lines[-1] == "  and 3 more"
    assert lines[1].startswith("  electrode soleus: mains hum of 0.2") and max(map(len, lines)) <= 79
    notched = _config(tmp_path, shipped_bundle, '[inputs.emg]\nfrom = ["emg"]\nnotch_hz = 50\n')
    health = edgetool.monitor(config=notched)
    said = health.to_json()["sensors"]
    assert (said["state"], said["findings"]) == ("ok", [])


def test_a_recording_is_held_against_the_model(
    shipped_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was found at any time is told, and how much of it was ok; another input's name says what is missing."""
    recording, config = tmp_path / "a.etl", _config(tmp_path, shipped_bundle)
    edgetool.record(source=SOURCE, out=recording)
    with pytest.raises(SystemExit) as ended:
        main(["replay", str(recording), "--config", str(config)])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "Sensors: 800 estimates, invalid 8 %, ok " in shown and "mains hum of 0.2" in shown
    config.write_text(config.read_text() + '[inputs.emg]\nfrom = ["semg"]\n')
    said = edgetool.replay(recording, config=config).sensors
    assert said is not None and said["missing"] == ["semg"]
    assert sensor_lines(said, ever=True) == ["Sensors: waiting for semg"]
    assert edgetool.replay(recording).sensors is None


def test_sensors_that_do_not_fit_say_why() -> None:
    """The daemon's own line, wrapped."""
    said = {
        "trouble": "sensors imu: " + "word " * 30,
        "missing": [],
        "state": "",
        "findings": [],
        "found": [],
    }
    lines = sensor_lines(said)
    assert lines[0].startswith("Sensors: sensors imu: word") and max(map(len, lines)) <= 79
    assert sensor_lines(said | {"trouble": None}) == ["Sensors: fit the model; no estimate yet"]


def test_a_monitor_without_sources_is_refused() -> None:
    """Neither a URL nor a configuration."""
    with pytest.raises(UsageError, match="give a source, or a configuration that has some"):
        edgetool.monitor()
