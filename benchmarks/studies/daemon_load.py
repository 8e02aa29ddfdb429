"""The daemon under eight nodes, and beside it a plain loop: ``python -m benchmarks.studies.daemon_load --seconds 600``.

Eight virtual nodes (benchmarks.studies.daemon_nodes) on eight pseudo-terminals, in a process of their own, feed first
the daemon as users start it, ``edgetool run CONFIG``, then the loop that a user would write
(benchmarks.studies.daemon_plain_loop), for the same time.
Counted from outside: processor time and resident memory as the kernel says, ages as the moments themselves say, losses
from the ledger. A moment that is older than a period because a core of this machine stood still then or up to 50 ms before
(benchmarks.studies.machine_stalls) is counted as late all the same, and how many there are of that kind is said beside it.
All runs on this machine, so the nodes and whatever else is busy here take part of its cores: ages suffer from that. ``--awake``
keeps idle cores from sleeping (benchmarks.studies.awake_cores), from which a busy host wakes a virtual machine late.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.studies.awake_cores import AwakeCores
from benchmarks.studies.daemon_nodes import NODES, inputs
from benchmarks.studies.machine_stalls import StallWatch, delayed
from quantization.bundle import Bundle
from runtime.daemon.demo import demo_bundle
from runtime.engines import open_engine
from toolkit.files import write_json

#: Between two moments.
PERIOD_MS = 10.0
_TICK_HZ = os.sysconf("SC_CLK_TCK")
_PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
#: Memory is called flat if its mean over the last quarter is at most this much above that over the second.
_FLAT_MB = 2.0


@dataclass(frozen=True)
class Load:
    """One program under the load. Ages in ms, last byte in to moment out; memory in MB."""

    program: str
    seconds: float
    moments: int
    usable: int
    frames_sent: int
    frames_lost: int
    deadlines_missed: int
    #: Of them those while, or up to 50 ms after, a core of the machine stood still.
    in_stalls: int
    age_p50_ms: float
    age_p99_ms: float
    age_worst_ms: float
    first_moment_s: float
    core_percent: float
    resident_mb: float
    growth_mb: float
    #: How often a core of the machine stood still for 2 ms or longer, and whether that was watched at real-time priority.
    stalls: int
    privileged: bool


class _Process:
    """A program under watch: processor time and memory once a second, from /proc."""

    def __init__(self, arguments: Sequence[str], seconds: float, out: Path) -> None:
        self.began = time.monotonic()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with (out.parent / f"{out.name}.log").open("w") as log:
            self.process = subprocess.Popen(arguments, env=environment, stdout=log, stderr=log)
        self.first_s: float | None = None
        self.memory: list[float] = []
        self.cpu: list[tuple[float, float]] = []
        while self.process.poll() is None and time.monotonic() - self.began < seconds + 30:
            self._look(out)
            time.sleep(0.02 if self.first_s is None else 1.0)
        if self.process.wait(30) != 0:
            raise SystemExit(f"{' '.join(arguments)} ended with {self.process.returncode}; see {out}.log")

    def _look(self, out: Path) -> None:
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            return
        now_s = time.monotonic() - self.began
        self.memory.append(int(fields[21]) * _PAGE_KB / 1024)
        self.cpu.append((now_s, (int(fields[11]) + int(fields[12])) / _TICK_HZ))
        if self.first_s is None and out.exists() and b'"moments":{' in out.read_bytes():
            self.first_s = now_s

    @property
    def core_percent(self) -> float:
        """Share of one core, start-up left out: between the first moment and the end."""
        steady = [entry for entry in self.cpu if self.first_s is not None and entry[0] > self.first_s + 1]
        (from_s, from_cpu), (to_s, to_cpu) = steady[0], steady[-1]
        return 100 * (to_cpu - from_cpu) / (to_s - from_s)

    @property
    def growth_mb(self) -> float:
        """Mean of the last quarter less that of the second quarter."""
        first_s = self.first_s or 0.0
        steady = np.array([mb for (at_s, _), mb in zip(self.cpu, self.memory) if at_s > first_s + 1])
        quarter = len(steady) // 4
        return float(steady[-quarter:].mean() - steady[quarter : 2 * quarter].mean())


@contextmanager
def _eight_nodes(folder: Path, seconds: float, realtime: bool = False) -> Iterator[None]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.studies.daemon_nodes",
        str(folder),
        "--seconds",
        str(seconds + 20),
        *(["--realtime"] if realtime else []),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield
    finally:
        process.terminate()
        process.wait(10)


def _config(folder: Path, bundle: Path, engine: str) -> Path:
    urls = [f"serial://{folder / name}" for name in NODES]
    text = f'[model]\nbundle = "{bundle}"\nengine = "{engine}"\n[sources]\nurls = {json.dumps(urls)}\n'
    for name, streams in inputs().items():
        text += f"[inputs.{name}]\nfrom = {json.dumps(streams)}\n"
    text += f'[[sinks]]\nurl = "ndjson:{folder / "daemon.ndjson"}"\n[server]\nport = 0\n'
    path = folder / "run.toml"
    path.write_text(text)
    return path


def _ages(
    out: Path,
) -> tuple[int, np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.float64]]]:
    """How many moments there were, and of those with values the ages in ms and when they were published, in s."""
    count, ages, published = 0, [], []
    with out.open() as lines:
        for line in lines:
            moment = json.loads(line)
            count += 1
            if moment["moments"]:
                ages.append(moment["age_ms"])
                published.append(moment["published_ns"] * 1e-9)
    return count, np.array(ages), np.array(published)


def daemon(seconds: float, engine: str, bundle: Path, realtime: bool = False) -> Load:
    """``edgetool run`` for ``seconds``; at real-time priority if asked for, and then the nodes are above even that, as
    sensors are that run on no computer's time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, status_file = _config(folder, bundle, engine), folder / "status.json"
        command = [
            str(Path(sys.executable).parent / "edgetool"),
            "run",
            str(config),
            "--seconds",
            str(seconds),
            *(["--realtime"] if realtime else []),
        ]
        with _eight_nodes(folder, seconds, realtime), StallWatch() as watch:
            process = _Process([*command, "--json", str(status_file)], seconds, folder / "daemon.ndjson")
        status = json.loads(status_file.read_text())
        ledgers = [node["ledger"] for node in status["nodes"]]
        return _load(
            f"run --realtime, {engine}" if realtime else f"edgetool run, {engine}",
            seconds,
            folder / "daemon.ndjson",
            process,
            watch,
            sum(ledger["sent"] for ledger in ledgers),
            sum(ledger["sent"] - ledger["delivered"] for ledger in ledgers) + status["queue_dropped"],
        )


def plain(seconds: float, bundle: Path) -> Load:
    """The plain loop for ``seconds``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out, counts = folder / "plain.ndjson", folder / "counts.json"
        command = [sys.executable, "-m", "benchmarks.studies.daemon_plain_loop", str(folder), str(bundle)]
        with _eight_nodes(folder, seconds), StallWatch() as watch:
            process = _Process([*command, str(out), str(counts), str(seconds)], seconds, out)
        counted = json.loads(counts.read_text())
        return _load("plain loop", seconds, out, process, watch, counted["sent"], counted["lost"])


def _load(
    program: str, seconds: float, out: Path, process: _Process, watch: StallWatch, sent: int, lost: int
) -> Load:
    moments, ages, published_s = _ages(out)
    median, p99, worst = (float(v) for v in np.percentile(ages, [50, 99, 100]))
    assert process.first_s is not None
    late = np.flatnonzero(ages > PERIOD_MS)
    stalled = sum(delayed(watch.stalls, published_s[i] - ages[i] * 1e-3, published_s[i]) for i in late)
    return Load(
        program,
        seconds,
        moments,
        len(ages),
        sent,
        lost,
        len(late),
        stalled,
        median,
        p99,
        worst,
        process.first_s,
        process.core_percent,
        max(process.memory),
        process.growth_mb,
        len(watch.stalls),
        watch.privileged,
    )


def table(loads: Sequence[Load]) -> str:
    """Rows of at most 80 columns, targets beside the daemon's figures."""
    rows = [
        ("frames lost", "0", [f"{x.frames_lost} of {x.frames_sent}" for x in loads]),
        ("moments", "", [str(x.moments) for x in loads]),
        ("of them usable", "", [str(x.usable) for x in loads]),
        ("older than a period (10 ms)", "0", [str(x.deadlines_missed) for x in loads]),
        ("of them in a stall", "", [str(x.in_stalls) for x in loads]),
        ("age p50, ms", "", [f"{x.age_p50_ms:.2f}" for x in loads]),
        ("age p99, ms", "5", [f"{x.age_p99_ms:.2f}" for x in loads]),
        ("age worst, ms", "", [f"{x.age_worst_ms:.1f}" for x in loads]),
        ("start to first moment, s", "3", [f"{x.first_moment_s:.2f}" for x in loads]),
        ("processor, % of a core", "30", [f"{x.core_percent:.1f}" for x in loads]),
        ("resident memory, MB", "120", [f"{x.resident_mb:.0f}" for x in loads]),
        ("stalls of a core of 2 ms on", "", [str(x.stalls) for x in loads]),
        (f"growth, MB (flat: {_FLAT_MB:g})", f"{_FLAT_MB:g}", [f"{x.growth_mb:+.1f}" for x in loads]),
    ]
    lines = [f"{'':<28}{'at most':>8}" + "".join(f"{x.program:>22}" for x in loads)]
    lines += [
        f"{name:<28}{bound:>8}" + "".join(f"{value:>22}" for value in values) for name, bound, values in rows
    ]
    return "\n".join(lines)


@click.command()
@click.option("--seconds", default=60.0, help="For each program.")
@click.option("--plain-seconds", type=float, help="For the plain loop; not given: as long as the daemon.")
@click.option("--engine", default="native")
@click.option(
    "--nice", default=0, help="Niceness of nodes and programs alike; below 0 (needs root) other work waits."
)
@click.option("--realtime", is_flag=True, help="The daemon with edgetool run --realtime.")
@click.option("--awake", is_flag=True, help="Keep idle cores from sleeping, as on a machine of one's own.")
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE")
def main(
    seconds: float,
    plain_seconds: float | None,
    engine: str,
    nice: int,
    realtime: bool,
    awake: bool,
    json: Path | None,
) -> None:
    """Measure the daemon and the plain loop, one after the other."""
    os.nice(nice)
    bundle = demo_bundle()
    open_engine(Bundle.load(bundle), engine)  # compiles the native engine if need be, as an installation does
    before = os.getloadavg()[0]
    plain_seconds = seconds if plain_seconds is None else plain_seconds
    with AwakeCores(awake):
        loads = [daemon(seconds, engine, bundle, realtime), plain(plain_seconds, bundle)]
    click.echo(table(loads))
    click.echo(
        f"{seconds:g} s, plain loop {plain_seconds:g} s; synthetic gait over pseudo-terminals; {os.cpu_count()} cores; "
        f"load average before: {before:.1f}; niceness {nice}; idle cores {'kept awake' if awake else 'asleep'}"
    )
    if json is not None:
        write_json(json, [asdict(load) for load in loads])


if __name__ == "__main__":
    main()
