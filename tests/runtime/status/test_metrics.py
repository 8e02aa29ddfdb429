"""What a scrape gets, read back with prometheus-client's own parser."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from runtime.pipeline.estimate import State
from runtime.pipeline.histogram import Histogram
from runtime.status.metrics import Metrics
from runtime.status.pi_health import PiHealth, read_pi_health
from runtime.status.status import DaemonStatus
from tests.runtime.server.served import status_like

NOWHERE = PiHealth({}, None)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(status: DaemonStatus, health: PiHealth = NOWHERE) -> Samples:
    text = Metrics(lambda: status, lambda: health).text().decode()
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} stands twice"
            found[key] = sample.value
    return found


def get(found: Samples, metric: str, /, **labels: str) -> float | None:
    return found.get((f"edgetool_{metric}", frozenset(labels.items())))


def test_every_figure_of_the_status_is_in_its_place() -> None:
    found = scrape(status_like())
    imu, emg = {"link": "0", "node": "1", "name": "imu-node"}, {"link": "1", "node": "2", "name": "emg-node"}
    stream = {"input": "imu", "node": "imu-node", "stream": "imu"}
    expected = {
        ("moments_total", "state=ok"): 12_000,
        ("moments_total", "state=stale"): 10,
        ("state_seconds_total", "state=degraded"): 4.5,
        ("state", "state=ok"): 1,
        ("state", "state=invalid"): 0,
        ("deadlines_missed_total", ""): 1,
        ("rows_decimated_total", ""): 7,
        ("queue_length", ""): 2,
        ("queue_dropped_total", ""): 5,
        ("reloads_total", ""): 2,
        ("reloads_refused_total", ""): 1,
        ("packets_undescribed_total", ""): 4,
        ("packets_untimed_total", ""): 6,
        ("rejected_total", "reason=packet with NaN"): 9,
        ("bytes_dropped_total", ""): 17,
        ("recording_bytes_total", ""): 1_234_567,
        ("clock_error_seconds", ""): 0.00075,
        ("uptime_seconds", ""): 125.5,
        ("first_moment_seconds", ""): 1.75,
        ("advancing", ""): 1,
    }
    for (name, label), value in expected.items():
        labels = dict([label.split("=")]) if label else {}
        assert get(found, name, **labels) == value, name
    assert get(found, "node_clock_error_seconds", **imu) == 0.00075
    assert get(found, "node_clock_skew_ppm", **imu) == -12.5
    assert get(found, "node_reboots_total", **imu) == 1
    assert get(found, "node_battery_percent", **imu) == 87
    assert get(found, "frames_sent_total", **emg) == 2000
    assert get(found, "stream_hertz", **stream) == 99.8
    assert get(found, "stream_rows_in_gaps_total", **stream) == 25
    assert get(found, "sink_dropped_total", sink="mqtt://broker.lan/leg") == 460
    assert get(found, "sink_up", sink="mqtt://broker.lan/leg") == 0
    assert get(found, "sink_up", sink="udp://192.168.1.20:9000") == 1
    assert get(found, "sensor_doubted", sensor="shank", kind="orientation") == 1
    assert (get(found, "sensors_doubted"), get(found, "sensors_judged")) == (1, 1)
    assert get(found, "link_up", link="1", name="ble://shank") == 0


def test_every_metric_is_in_the_docs_and_the_other_way_round() -> None:
    page = Path(__file__).resolve().parents[3] / "docs/DASHBOARD.md"
    rows = [line.split("|")[1] for line in page.read_text().splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    hot = PiHealth({"0:cpu-thermal": 60.0}, 0)
    names = {name for name, _ in scrape(replace(status_like(), reasons=("gap",)), hot)}
    made = {
        re.sub(r"_(bucket|sum|count)$", "", name).removeprefix("edgetool_")
        for name in names
        if "edgetool_" in name
    }
    assert made == told


def test_a_nodes_ledger_adds_up() -> None:
    found = scrape(status_like())
    outcomes = [
        v
        for (name, labels), v in found.items()
        if name == "edgetool_frames_total" and ("link", "0") in labels
    ]
    # 980 delivered, 3 + 12 + 1 + 2 + 2 others.
    assert len(outcomes) == 6 and sum(outcomes) == 1000 == get(
        found, "frames_sent_total", link="0", node="1", name="imu-node"
    )


def test_a_histogram_is_cumulative_and_in_seconds() -> None:
    found = scrape(status_like())
    # 98 of 1.4 ms lie in (1, 2], one of 4.2 ms in (3, 5], one of 22 ms in (15, 25].
    for bound, count in {
        "0.001": 0,
        "0.002": 98,
        "0.003": 98,
        "0.005": 99,
        "0.015": 99,
        "0.025": 100,
        "+Inf": 100,
    }.items():
        assert get(found, "age_seconds_bucket", le=bound) == count, bound
    assert get(found, "age_seconds_count") == 100
    assert get(found, "age_seconds_sum") == pytest.approx((98 * 1.4 + 4.2 + 22.0) / 1e3)


def test_what_is_not_known_has_no_sample() -> None:
    status = replace(status_like(), clock_error_ms=None, first_moment_s=None, recording=None)
    found = scrape(status)
    for name in ("clock_error_seconds", "first_moment_seconds", "recording_bytes_total"):
        assert get(found, name) is None
    emg = {"link": "1", "node": "2", "name": "emg-node"}
    assert (
        get(found, "node_clock_error_seconds", **emg) is None
        and get(found, "node_battery_percent", **emg) is None
    )
    assert get(found, "stream_hertz", input="emg", node="emg-node", stream="emg") is None
    assert not [name for name, _ in found if "temperature" in name or "throttled" in name]


def test_a_fresh_daemon_can_be_scraped() -> None:
    status = replace(
        status_like(),
        nodes=(),
        streams=(),
        sinks=(),
        links=(),
        age=Histogram(),
        state_moments={},
        state_seconds={},
    )
    found = scrape(status)
    assert get(found, "age_seconds_count") == 0 and get(found, "moments_total", state="ok") == 0


def test_state_and_its_reasons() -> None:
    found = scrape(replace(status_like(), state=State.INVALID, reasons=("sensor-off", "gap")))
    assert get(found, "state", state="invalid") == 1 and get(found, "state", state="ok") == 0
    assert (
        get(found, "state_reason", reason="gap") == 1 and get(found, "state_reason", reason="sensor-off") == 1
    )
    assert get(found, "state_reason", reason="flat") is None


def test_two_sinks_of_one_name_are_two() -> None:
    sink = status_like().sinks[0]
    found = scrape(replace(status_like(), sinks=(sink, replace(sink, published=7))))
    assert get(found, "sink_published_total", sink=sink.name) == 12_460
    assert get(found, "sink_published_total", sink=f"{sink.name}#2") == 7


def test_labels_are_escaped() -> None:
    sink = replace(status_like().sinks[0], name='ndjson:"a\\b"\nc')
    found = scrape(replace(status_like(), sinks=(sink,)))
    assert get(found, "sink_published_total", sink='ndjson:"a\\b"\nc') == 12_460


def test_memory_of_the_process_is_there() -> None:
    text = Metrics(status_like, lambda: NOWHERE).text().decode()
    line = next(line for line in text.splitlines() if line.startswith("process_resident_memory_bytes "))
    assert float(line.split()[1]) > 1e6


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_pi_that_is_hot_and_had_too_little_voltage(tmp_path: Path) -> None:
    write(tmp_path, "sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", "81250\n")
    # Bit 1: frequency capped now; bits 16 and 17: under-voltage and capped frequency since the start.
    write(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", "30002\n")
    health = read_pi_health(tmp_path)
    assert health.temperatures_c == {"0:cpu-thermal": 81.25} and health.hottest_c == 81.25
    found = scrape(status_like(), health)
    assert get(found, "temperature_celsius", zone="0:cpu-thermal") == 81.25
    now = {"under_voltage": 0, "frequency_capped": 1, "throttled": 0, "soft_temperature_limit": 0}
    for cause, on in now.items():
        assert get(found, "pi_throttled", cause=cause) == on, cause
    assert get(found, "pi_throttled_since_start", cause="under_voltage") == 1
    assert get(found, "pi_throttled_since_start", cause="throttled") == 0


def test_vcgencmd_is_asked_where_the_kernel_does_not_tell(tmp_path: Path) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text('#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x50005\n')
    program.chmod(0o755)
    health = read_pi_health(tmp_path, str(program))
    # 0x50005: under-voltage and throttled, now (bits 0 and 2) and since the start (16 and 18).
    assert [name for name, on in health.now().items() if on] == ["under_voltage", "throttled"]
    assert health.since_start() == health.now()
    program.write_text("#!/bin/sh\nexit 1\n")
    assert read_pi_health(tmp_path, str(program)).throttled is None


@pytest.mark.parametrize("word", ["", "no word", "0x"])
def test_a_firmware_that_says_nothing(tmp_path: Path, word: str) -> None:
    write(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", word)
    assert read_pi_health(tmp_path).throttled is None


def test_a_zone_that_is_off_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, "sys/class/thermal/thermal_zone0/type", "wifi\n")
    (
        tmp_path / "sys/class/thermal/thermal_zone0/temp"
    ).mkdir()  # reading it fails, as the kernel does for such a zone
    write(tmp_path, "sys/class/thermal/thermal_zone1/type", "cpu-thermal\n")
    write(tmp_path, "sys/class/thermal/thermal_zone1/temp", "45000\n")
    assert read_pi_health(tmp_path).temperatures_c == {"1:cpu-thermal": 45.0}


def test_another_computer_has_neither(tmp_path: Path) -> None:
    assert read_pi_health(tmp_path) == PiHealth({}, None)
    assert read_pi_health(tmp_path).hottest_c is None and read_pi_health(tmp_path).now() == {}
