"""The alarm that docs/DASHBOARD.md gave for Prometheus never fired.

``rate(edgetool_moments_total{state="ok"}[1m]) < 0.9 * edgetool_grid_hertz`` compares a series with the label ``state`` with one
without it: Prometheus pairs only series with the same labels, so the comparison was always empty. promtool evaluates the
rules on series with the names and labels of a real scrape.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from runtime.status.metrics import Metrics
from runtime.status.pi_health import PiHealth
from runtime.status.status import PartStatus, SensorStatus, SinkStatus
from tests.runtime.server.served import status_like
from tests.tools import require

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "examples" / "prometheus_rules.yml"
OLD = 'rate(edgetool_moments_total{state="ok"}[1m]) < 0.9 * edgetool_grid_hertz'


def _scrape() -> dict[str, dict[str, str]]:
    """Name of a series of a real scrape -> its labels, with those that Prometheus adds."""
    from dataclasses import replace

    shank = SensorStatus("shank", "imu", ("orientation",))
    status = replace(
        status_like(),
        sensors=(shank,),
        parts=(PartStatus("model", 1, "x"),),
        sinks=(SinkStatus("udp://a:1", 1, 0, "down"),),
    )
    text = Metrics(lambda: status, lambda: PiHealth({}, 0x50005)).text().decode()
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"(\w+)(?:\{(.*)\})? \S+", line)
        if match is not None:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
            if labels.get("state", "ok") == "ok":
                found.setdefault(match[1], labels | {"job": "edgetool", "instance": "pi:8765"})
    return found


def _series(name: str, values: str) -> dict[str, str]:
    labels = _scrape()[name] if name != "up" else {"job": "edgetool", "instance": "pi:8765"}
    text = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{text}}}", "values": values}


def _fires(tmp_path: Path, rules: Path, alert: str, series: list[dict[str, str]]) -> bool:
    """Whether the alarm fires after ten minutes of these series: promtool is told that it does not, and objects."""
    test = {
        "rule_files": [str(rules)],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": series,
                "alert_rule_test": [{"eval_time": "10m", "alertname": alert, "exp_alerts": []}],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(json.dumps(test))  # JSON is YAML
    done = subprocess.run([require("promtool"), "test", "rules", str(file)], capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert (done.returncode == 0 and "SUCCESS" in said) or f"alertname: {alert}" in said, said
    return done.returncode != 0


CASES = {
    "EdgetoolNotEnoughEstimates": (
        [("edgetool_moments_total", "0+1200x60"), ("edgetool_grid_hertz", "100x60")],  # 80 a second
        [("edgetool_moments_total", "0+1500x60"), ("edgetool_grid_hertz", "100x60")],
    ),
    "EdgetoolGone": ([("up", "0x60")], [("up", "1x60")]),
    "EdgetoolPartFails": (
        [("edgetool_part_failures_total", "0+1x60")],
        [("edgetool_part_failures_total", "7x60")],
    ),
    "EdgetoolSinkDown": ([("edgetool_sink_up", "0x60")], [("edgetool_sink_up", "1x60")]),
    # A doubt that ended has no series any more.
    "EdgetoolSensorDoubted": (
        [("edgetool_sensor_doubted", "1x60")],
        [("edgetool_sensor_doubted", "1x2 _x58")],
    ),
    "EdgetoolPiHeldBack": ([("edgetool_pi_throttled", "1x60")], [("edgetool_pi_throttled", "0x60")]),
}


def test_each_alarm_fires_on_the_series_of_a_scrape_and_only_then(tmp_path: Path) -> None:
    names = set(re.findall(r"alert: (\w+)", RULES.read_text()))
    assert names == set(CASES)
    for alert, (bad, good) in CASES.items():
        assert _fires(tmp_path, RULES, alert, [_series(*each) for each in bad]), alert
        assert not _fires(tmp_path, RULES, alert, [_series(*each) for each in good]), alert


def test_the_old_rule_would_not_pass(tmp_path: Path) -> None:
    new = re.search(r"alert: EdgetoolNotEnoughEstimates.*?expr: ([^\n]*)\n", RULES.read_text(), re.DOTALL)
    assert new is not None
    old = tmp_path / "old.yml"
    old.write_text(RULES.read_text().replace(new[1], OLD))
    series = [_series(*each) for each in CASES["EdgetoolNotEnoughEstimates"][0]]
    assert not _fires(tmp_path, old, "EdgetoolNotEnoughEstimates", series)


def test_the_docs_give_these_rules() -> None:
    docs = (ROOT / "docs" / "DASHBOARD.md").read_text()
    assert OLD not in docs and "prometheus_rules.yml" in docs
