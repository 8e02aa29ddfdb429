"""The daemon's place in the queue for the processor, and what keeps the machine alive when it goes before all others.

Under SCHED_FIFO the daemon's threads run before every ordinary process. Three things bound that: the kernel leaves
5 % of each second to the others (``sched_rt_runtime_us``), a thread that works for :data:`RUNAWAY_S` without once waiting
takes all of them back among the ordinary ones, and one that cannot even do that is killed after :data:`KILLED_S`
(RLIMIT_RTTIME, setrlimit(2)), whereupon systemd starts the daemon anew.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from runtime.settings import ServiceSettings

#: What ``--realtime`` and an installed system service ask for: above nothing but ordinary processes and what asked for less;
#: the kernel's own threads for interrupts have 50.
REALTIME = 10
#: How long a thread may work without once waiting. The longest piece of work of a daemon that runs, a reload's, waits for the
#: interpreter's lock all the time.
RUNAWAY_S = 2.0
KILLED_S = 5.0
_TASKS = Path("/proc/self/task")


def ask_for_priority(wanted: ServiceSettings, told: Callable[[str], None]) -> None:
    """Take the place that the config asks for, for all threads that there are and those that they start.

    ``told`` hears a line for each that this user may not have, and later if a thread ran away. To be called once the model is
    there: what loads and compiles it may wait its turn.
    """
    if wanted.nice:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, wanted.nice)
        except OSError as error:
            told(f"service.nice is {wanted.nice} and this user may not have it: {error.strerror}")
    if not wanted.realtime:
        return
    if not hasattr(os, "sched_setscheduler"):
        told("real-time priority is Linux's alone; moments will come later when this computer is busy")
        return
    try:
        _bound(told)
        _schedule(os.SCHED_FIFO, wanted.realtime)
    except OSError as error:
        _schedule(os.SCHED_OTHER, 0)
        told(
            f"real-time priority {wanted.realtime} was asked for and this user may not have it ({error.strerror}): moments "
            "will come later when this computer is busy; edgetool service install gives it, as does LimitRTPRIO in a unit or "
            "rtprio in /etc/security/limits.conf"
        )


def _schedule(policy: int, priority: int) -> None:
    """All threads of this process; one that has ended meanwhile needs none."""
    for thread in [int(entry.name) for entry in _TASKS.iterdir()]:
        with suppress(ProcessLookupError):
            if os.sched_getscheduler(thread) != policy:
                os.sched_setscheduler(thread, policy, os.sched_param(priority))


def _bound(told: Callable[[str], None]) -> None:
    """Limit how long a thread may work at this priority without waiting, and give it back before the kernel kills."""
    import resource

    hard = round(KILLED_S * 1e6)
    allowed = resource.getrlimit(resource.RLIMIT_RTTIME)[1]
    hard = hard if allowed == resource.RLIM_INFINITY else min(hard, allowed)
    resource.setrlimit(resource.RLIMIT_RTTIME, (min(round(RUNAWAY_S * 1e6), hard), hard))
    if threading.current_thread() is not threading.main_thread():
        return  # only the main thread hears signals; elsewhere the kernel ends a thread that runs away

    def give_back(*_: object) -> None:
        _schedule(os.SCHED_OTHER, 0)
        told(f"a thread worked for {RUNAWAY_S:g} s without waiting: real-time priority was given back")

    signal.signal(signal.SIGXCPU, give_back)
