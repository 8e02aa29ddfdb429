"""Whether a late moment waited while the machine stood still, in benchmarks."""

from __future__ import annotations

import os
import time

from benchmarks.studies.awake_cores import AwakeCores
from benchmarks.studies.machine_stalls import (
    STALL_S,
    Stall,
    StallWatch,
    delayed,
)


def test_an_interval_meets_a_stall_or_not() -> None:
    stalls = [Stall(10.0, 0.02), Stall(20.0, 0.01)]
    assert delayed(stalls, 9.99, 10.0) and delayed(stalls, 10.01, 10.012) and delayed(stalls, 10.02, 10.03)
    # What piled up in it is worked off for 50 ms.
    assert delayed(stalls, 10.069, 10.075) and not delayed(stalls, 10.071, 10.075)
    assert (
        not delayed(stalls, 9.9, 9.999) and not delayed(stalls, 10.1, 19.999) and not delayed([], 0.0, 99.0)
    )


def test_every_core_is_watched_until_the_end() -> None:
    began_s = time.monotonic()
    with StallWatch() as watch:
        assert len(watch._watchers) == len(os.sched_getaffinity(0))
        time.sleep(0.1)
    assert all(watcher.returncode == 0 for watcher in watch._watchers)
    assert all(s.length_s > STALL_S and began_s < s.start_s < time.monotonic() for s in watch.stalls)


def test_every_core_is_kept_awake_by_who_gives_way_to_all() -> None:
    with AwakeCores() as awake:
        cores = {next(iter(os.sched_getaffinity(spinner.pid))) for spinner in awake._spinners}
        assert cores == os.sched_getaffinity(0) and len(cores) == len(awake._spinners)
        assert all(os.sched_getscheduler(spinner.pid) == os.SCHED_IDLE for spinner in awake._spinners)
    assert all(spinner.poll() is not None for spinner in awake._spinners)
    with AwakeCores(False) as asleep:
        assert not asleep._spinners
