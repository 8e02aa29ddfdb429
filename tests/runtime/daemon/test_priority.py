"""The daemon's place in the queue for the processor: real-time where it may, a plain warning where not, always bounded."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading

import pytest

from runtime.daemon import priority
from runtime.daemon.priority import ask_for_priority
from runtime.settings import ServiceSettings

#: What a process of its own does: priorities and limits of the tests' own process stay as they are.
ASKED = """
import os, resource, sys, threading, time
from runtime.daemon.priority import ask_for_priority
from runtime.engines.native_build import _ordinary
from runtime.settings import ServiceSettings
if sys.argv[1] == "refused":
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    os.setgid(65534), os.setuid(65534)
going = threading.Event()
threading.Thread(target=going.wait, daemon=True).start()
said = []
ask_for_priority(ServiceSettings(realtime=7), said.append)
policies = {os.sched_getscheduler(int(task)) for task in os.listdir("/proc/self/task")}
later = []
thread = threading.Thread(target=lambda: later.append(os.sched_getscheduler(0)))
thread.start(), thread.join()
with _ordinary():
    inside = os.sched_getscheduler(0)
print(policies == {os.SCHED_FIFO}, later == [os.SCHED_FIFO], inside == os.SCHED_OTHER, os.sched_getscheduler(0) == 1)
print(os.sched_getparam(0).sched_priority, resource.getrlimit(resource.RLIMIT_RTTIME))
print(said)
"""


def _may() -> bool:
    return os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_RTPRIO)[1] >= 7


def _asked(how: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", ASKED, how], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.skipif(not _may(), reason="this user may not have real-time priority")
def test_all_threads_go_first_within_limits_and_a_compiler_does_not() -> None:
    policies, limits, said = _asked("allowed")
    assert policies == "True True True True"
    assert limits == "7 (2000000, 5000000)" and said == "[]"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not")
def test_without_permission_it_runs_on_with_a_plain_warning() -> None:
    policies, limits, said = _asked("refused")
    assert policies == "False False True False" and limits.startswith("0 ")
    assert (
        "real-time priority 7 was asked for and this user may not have it (Operation not permitted)" in said
    )


@pytest.mark.skipif(not _may(), reason="this user may not have real-time priority")
def test_a_thread_that_runs_away_gives_the_processor_back() -> None:
    """It computes without once waiting, on the last core; the kernel's signal ends that after the soft limit."""
    code = """
import os, time
import runtime.daemon.priority as priority
from runtime.settings import ServiceSettings
priority.RUNAWAY_S, said = 0.3, []
priority.ask_for_priority(ServiceSettings(realtime=1), said.append)
until = time.monotonic() + 60
while not said and time.monotonic() < until: pass
print(os.sched_getscheduler(0) == os.SCHED_OTHER, said)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (
        done.stdout
        == "True ['a thread worked for 0.3 s without waiting: real-time priority was given back']\n"
    )


def test_nothing_is_asked_for_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priority, "_schedule", lambda *_: pytest.fail("asked"))
    said: list[str] = []
    for realtime in (None, 0):
        ask_for_priority(ServiceSettings(realtime=realtime), said.append)
    assert not said and signal.getsignal(signal.SIGXCPU) in (signal.SIG_DFL, None)
    assert threading.current_thread() is threading.main_thread()
