"""The targets ``ssh://USER@HOST`` (a Raspberry Pi, or any Linux with Python) and ``pi-emulated`` (QEMU, on this machine).

Both run the same engines on the same rows as this machine, so that every row says how many of its moments differ from those of
the same engine here. Times are measured there; of an emulation none are given, because they would mean nothing.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.latency import Latency, summarise
from benchmarks.records import Judged, Measured, Size, Skipped
from benchmarks.targets.job import Job
from benchmarks.targets.pi_answer import Answer, Expected
from benchmarks.targets.pi_transport import bench_there, remote_shell
from benchmarks.targets.pi_worker import RUNS, run
from toolkit.errors import UsageError

Arrays = Mapping[str, NDArray[Any]]
EMULATED = "pi-emulated"
_HOW = {
    "measured": "runtime engine from Python on that machine, one thread: checks, quantization, inference",
    "emulated": "runtime engine from Python on Debian's arm64 user land under QEMU (Cortex-A72), one thread; not timed",
}


@dataclass(frozen=True)
class Place:
    """Where Python is started, and what its figures are called."""

    command: Sequence[str]
    label: str
    environment: Mapping[str, str] | None = None


def judge(job: Job, target: str) -> Judged:
    """Run there and here, and compare."""
    place = place_of(target, job)
    inputs = inputs_of(job)
    timed = place.label == "measured"
    job.progress(f"{target} engines", 0, 2)
    asked = expected_of(job, inputs, timed)
    found = bench_there(place.command, target, job.bundle, inputs, asked, place.environment)
    job.progress(f"{target} engines", 1, 2)
    here = run(job.bundle, inputs, timed=False)
    job.progress(f"{target} engines", 2, 2)
    rows, skipped = [], []
    for graph in sorted(job.bundle.graphs, key=lambda graph: graph.graph != "window"):
        for engine, scheme in RUNS:
            key = f"{engine}/{scheme}"
            if scheme != graph.scheme:
                continue
            if key in found.refused:
                skipped.append(Skipped(target, engine, graph.graph, scheme, found.refused[key]))
                continue
            rows.append(
                Measured(
                    target=target,
                    engine=engine,
                    graph=graph.graph,
                    scheme=scheme,
                    version=found.versions[key],
                    how=_HOW[place.label],
                    estimates=estimates_of(job, found.arrays, key, graph.graph),
                    latency=_latency(job, found, key, graph.graph),
                    size=Size(len(graph.content)),
                    judged_latency=timed,
                    figures=_figures(place.label, found, _differing(found.arrays, here, key, graph.graph)),
                )
            )
    return Judged(tuple(rows), tuple(skipped))


def expected_of(job: Job, inputs: Arrays, timed: bool) -> Expected:
    """What must come back for ``inputs``."""
    stream = job.data.contract.inputs[0].stream.name
    steps = tuple(len(inputs[f"{recording}/{stream}"]) for recording in range(len(job.data.sequences)))
    engines = tuple(f"{engine}/{scheme}" for engine, scheme in RUNS)
    return Expected(engines, len(job.data.windows), len(job.data.joints), steps, timed)


def place_of(target: str, job: Job) -> Place:
    """UsageError for a URL that is not one, MissingDependencyError where nothing can be emulated."""
    if target == EMULATED:
        return _emulated(job)
    unknown = UsageError(
        f"target {target!r} is not known; allowed: ssh://USER@HOST, ssh://USER@HOST:PORT, with ?python=PATH"
    )
    try:
        parts = urllib.parse.urlsplit(target)
        user, host, port = parts.username, parts.hostname, parts.port
    except ValueError:  # half a bracket, or a port that is no number
        raise unknown from None
    options = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
    # A name that began with a dash would be an option of ssh, and a config of the user's may hand names to a shell.
    names = [host or "", *([] if user is None else [user])]
    good = all(re.fullmatch(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]*", name) for name in names)
    if not good or parts.password is not None or parts.path.strip("/") or parts.fragment:
        raise unknown
    if set(options) - {"python"} or not options.get("python", "python3"):
        raise unknown
    to = f"{user}@{host}" if user else str(host)
    more = ["-p", str(port)] if port is not None else []
    quiet = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15"]
    return Place(["ssh", *quiet, *more, "--", to, remote_shell(options.get("python"))], "measured")


def _emulated(job: Job) -> Place:
    from benchmarks.targets.pi_emulated import default_folder, make, own_requirements
    from benchmarks.targets.pi_transport import BOOTSTRAP

    job.progress("arm64 user land", 0, 1)
    land = make(default_folder(), "bench", own_requirements())
    job.progress("arm64 user land", 1, 1)
    return Place(land.command(["-c", BOOTSTRAP]), "emulated", land.environment("bench"))


def inputs_of(job: Job) -> dict[str, NDArray[np.float32]]:
    """All windows of the evaluation, and each recording from its first row to that of its last window."""
    data = job.data
    names = [item.stream.name for item in data.contract.inputs]
    found = {f"window/{name}": data.windows.inputs[name] for name in names}
    for recording, sequence in enumerate(data.sequences):
        last = int(data.sequence_row[data.windows.recording == recording].max(initial=-1))
        # A recording without windows runs one step, so that numbers stay those of the recordings.
        found |= {f"{recording}/{name}": sequence.inputs[name][: max(last, 0) + 1] for name in names}
    return found


def estimates_of(job: Job, results: Arrays, key: str, graph: str) -> NDArray[np.float32]:
    """Moments (n, outputs) of every window, by the window or the stream graph."""
    if graph == "window":
        windows: NDArray[np.float32] = results[f"{key}/window"]
        return windows
    data = job.data
    moments = np.empty((len(data.windows), len(data.joints)), np.float32)
    for recording in range(len(data.sequences)):
        mine = np.flatnonzero(data.windows.recording == recording)
        moments[mine] = results[f"{key}/{recording}"][data.sequence_row[mine]]
    return moments


def _latency(job: Job, found: Answer, key: str, graph: str) -> Latency | None:
    times = found.arrays.get(f"{key}/time/{graph}")
    if times is None:
        return None
    processor = str(found.machine["model"] or found.machine["architecture"])
    return summarise([int(t) for t in times], job.data.contract.grid_rate_hz, processor)


def _differing(there: Arrays, here: Arrays, key: str, graph: str) -> dict[str, Any] | None:
    """How many moments differ from those of the same engine on this machine, and by how much at most in Nm/kg."""
    names = [
        name
        for name in there
        if name.startswith(f"{key}/")
        and "/time/" not in name
        and name.endswith("/window") == (graph == "window")
    ]
    if any(name not in here for name in names):
        return None
    pairs = [(there[name].astype(np.float64), here[name].astype(np.float64)) for name in names]
    return {
        "compared": int(sum(a.size for a, _ in pairs)),
        "differing": int(sum((a != b).sum() for a, b in pairs)),
        "most_nm_per_kg": float(max(np.abs(a - b).max(initial=0.0) for a, b in pairs)),
    }


def _figures(label: str, found: Answer, differing: dict[str, Any] | None) -> dict[str, Any]:
    figures: dict[str, Any] = {"label": label, "machine": found.machine, "against_this_machine": differing}
    if found.machine_after is not None:
        figures["machine_after"] = found.machine_after
    return figures
