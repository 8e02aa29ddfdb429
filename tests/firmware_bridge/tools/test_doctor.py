"""The link doctor: what a descriptor needs by hand calculation, and findings on links with known faults."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.studies.bridge_nodes import programme
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import VirtualNode
from firmware_bridge.sources.base import SourceUrl
from firmware_bridge.streams.session import Session
from firmware_bridge.tools.doctor import (
    ble_bytes_per_s,
    diagnose,
    judge,
    required_bytes_per_s,
)
from firmware_bridge.tools.monitor import Health


def test_required_bytes_by_hand() -> None:
    # imu: 4 samples x 12 bytes + 25 = 73 bytes, 50 a second; emg: 20 x 8 + 25 = 185 bytes, 50 a second.
    assert required_bytes_per_s(programme(0).descriptor) == pytest.approx(50 * 73 + 50 * 185)


def test_a_clean_link_is_good_but_for_the_clock_that_nobody_asks() -> None:
    diagnosis = diagnose("sim://synthetic:people=1,seconds=2,tasks=level?speed=max&seconds=4", 30)
    verdicts = {finding.verdict for finding in diagnosis.findings}
    assert verdicts == {"good", "warning"} and diagnosis.worst == "warning"
    assert next(f.what for f in diagnosis.findings if f.verdict == "warning").endswith("(assumed)")
    assert any(finding.what.startswith("0 of ") for finding in diagnosis.findings)


def test_loss_is_bad_and_damage_is_told_from_loss() -> None:
    data = "synthetic:people=1,seconds=2,tasks=level"
    lossy = diagnose(f"sim://{data}?speed=max&seconds=4&drop=0.05&seed=1", 30)
    damaged = diagnose(f"sim://{data}?speed=max&seconds=4&flip=0.05&seed=1", 30)
    assert lossy.worst == damaged.worst == "bad"
    assert any("distance" in finding.advice for finding in lossy.findings)
    assert any("cable" in finding.advice for finding in damaged.findings)


def test_silence_is_bad() -> None:
    diagnosis = diagnose("sim://synthetic:people=1,seconds=2,tasks=level?speed=max&seconds=2&drop=1", 30)
    assert diagnosis.worst == "bad" and "no intact frame" in diagnosis.findings[0].what


def heard(seconds: float = 3.0) -> Health:
    """A node of the load benchmark (10.4 kB/s of values) heard over a link of 30 ms connection intervals."""
    link = VirtualLink(VirtualNode(programme(0), max_frame=244))
    health = Health(Session())
    for event in range(1, int(seconds / 0.03)):
        for item in link.advance(event * 0.03):
            at_event = replace(item, arrival_ns=event * 30_000_000)
            health.count(at_event, health.session.process(at_event))
    return health


def test_what_ble_carries_by_hand() -> None:
    # 244 + 21 bytes x 8 us + 380 us = 2.5 ms; 82 % of 244 / 2.5 ms.
    assert ble_bytes_per_s(247) == pytest.approx(0.82 * 244 / 2.5e-3)
    # 20 + 21 bytes x 8 us + 380 us = 708 us.
    assert ble_bytes_per_s(23) == pytest.approx(0.82 * 20 / 708e-6)


@pytest.mark.parametrize(
    ("facts", "verdict", "text", "advice"),
    [
        ({"att_mtu": 247}, "good", "negotiated ATT MTU 247: notifications of up to 244 bytes", ""),
        ({"att_mtu": 100}, "warning", "negotiated ATT MTU 100", "MTU of 247"),
        ({"att_mtu": 23}, "bad", "notifications of up to 20 bytes", "MTU of 247"),
        ({}, "warning", "the negotiated MTU cannot be read here", "have the node log"),
    ],
)
def test_the_mtu_is_read_or_said_not_to_be(
    facts: dict[str, float], verdict: str, text: str, advice: str
) -> None:
    findings = judge(SourceUrl.parse("ble://x"), heard(), facts)
    finding = next(
        each
        for each in findings
        if ("MTU" in each.what and "notif" in each.what) or "cannot be read here" in each.what
    )
    assert finding.verdict == verdict and advice in finding.advice and bool(finding.advice) == bool(advice)
    capacity = next(each.what for each in findings if "kB/s" in each.what)
    assert f"and MTU {facts.get('att_mtu', 247)})" in capacity


def test_the_connection_interval_is_seen_from_outside_and_said_not_to_be_readable() -> None:
    findings = judge(SourceUrl.parse("ble://x"), heard(), {"att_mtu": 247})
    (interval,) = [each for each in findings if "interval" in each.what]
    assert interval.verdict == "good" and "cannot be read through BlueZ" in interval.what
    assert "every 30.0 ms (median, measured)" in interval.what
    (few,) = [each for each in judge(SourceUrl.parse("ble://x"), heard(0.3), {}) if "interval" in each.what]
    assert few.verdict == "warning" and few.advice == "listen for longer"


def test_lsl_is_said_to_tell_of_no_loss() -> None:
    findings = judge(SourceUrl.parse("lsl://x"), heard())
    assert any("LSL does not report losses" in each.what for each in findings)
