"""The link doctor: what a descriptor needs by hand calculation, and findings on links with known faults."""

from __future__ import annotations

import pytest

from benchmarks.bridge_load import programme
from firmware_bridge.doctor import diagnose, required_bytes_per_s


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
