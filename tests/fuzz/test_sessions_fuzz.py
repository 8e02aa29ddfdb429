"""Some hostile sessions, always the same ones, through session, pipeline and daemon. The long run is ``make fuzz``."""

from __future__ import annotations

from collections import Counter

from tests.fuzz.fuzz_sessions import run_daemon, run_pipeline, run_session


def test_hostile_sessions_through_session_and_pipeline() -> None:
    total = Counter[str]()
    for seed in range(1, 21):
        total += run_session(seed, 2.0)
        total += run_pipeline(seed, 2.0)
    # They reach what they are meant to reach: rows and estimates, damage, reboots and times that cannot be.
    assert total["rows"] > 5_000 and total["estimates"] > 1_000 and total["clear"] > 10
    assert total["damaged"] > 500 and total["reboots"] > 100 and total["untimed"] > 500


def test_hostile_sessions_through_the_daemon() -> None:
    total = Counter[str]()
    for seed in range(1, 4):
        total += run_daemon(seed, 2.0)
    assert total["daemons"] == 3 and total["daemon estimates"] > 100 and total["recorded"] > 100_000
