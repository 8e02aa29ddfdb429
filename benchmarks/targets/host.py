"""The target ``host``: every engine of this machine, one after the other, on the same windows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine
from benchmarks.engines import ENGINES, CannotRunError, HostEngine, engine, load
from benchmarks.evaluation.latency import measure, summarise
from benchmarks.records import BASELINE, Judged, Measured, Skipped
from benchmarks.targets.job import Job
from quantization.graph.graph_file import GraphFile
from toolkit.errors import ModelFileError


@dataclass(frozen=True, eq=False)
class _Row:
    engine: str
    graph: GraphFile | None
    loaded: HostEngine
    converter: str = "edgetool"

    @property
    def kind(self) -> str:
        return self.graph.graph if self.graph else "window"

    @property
    def scheme(self) -> str:
        return self.graph.scheme if self.graph else "float32"

    @property
    def name(self) -> str:
        return f"{self.converter} {self.engine} {self.scheme} {self.kind}"


def judge(job: Job, target: str) -> Judged:
    """Accuracy of each engine on all windows, then latency with the engines taking turns."""
    rows, skipped = _load(job, target)
    return Judged(tuple(_judge_rows(job, target, rows)), tuple(skipped))


def judge_float(job: Job) -> list[Measured]:
    """The float rows that every other row is compared with: the baseline, and the float stream if there is one."""
    rows = [_Row(BASELINE, None, load(BASELINE, job.bundle, None, job.threads))]
    for graph in job.bundle.graphs:
        if (graph.graph, graph.scheme) == ("stream", "float32"):
            rows.append(_Row("litert", graph, load("litert", job.bundle, graph, job.threads)))
    return _judge_rows(job, "host", rows)


def _judge_rows(job: Job, target: str, rows: list[_Row]) -> list[Measured]:
    estimates = [_estimate(job, row) for row in rows]
    job.progress("latency", 0, 1)
    times = measure({row.name: row.loaded.single_call(job.data) for row in rows})
    job.progress("latency", 1, 1)
    processor = str(machine.describe()["processor"])
    return [
        Measured(
            target=target,
            engine=row.engine,
            graph=row.kind,
            scheme=row.scheme,
            version=row.loaded.version,
            how=row.loaded.how,
            estimates=moments,
            latency=summarise(times[row.name], job.data.contract.grid_rate_hz, processor),
            size=row.loaded.size(),
            judged_latency=engine(row.engine).deployed,
            converter=row.converter,
        )
        for row, moments in zip(rows, estimates)
    ]


def _load(job: Job, target: str) -> tuple[list[_Row], list[Skipped]]:
    rows = [_Row(BASELINE, None, load(BASELINE, job.bundle, None, job.threads))]
    skipped = []
    graphs = sorted(job.bundle.graphs, key=lambda graph: (graph.graph != "window", graph.scheme != "float32"))
    for name, graph in itertools.product(ENGINES, graphs):
        if name == "native" and graph.scheme == "int8":
            job.progress("the native engine: compiling its C, the first time on this machine", 0, 1)
        try:
            rows.append(_Row(name, graph, load(name, job.bundle, graph, job.threads)))
        except CannotRunError as reason:
            skipped.append(Skipped(target, name, graph.graph, graph.scheme, str(reason)))
    _load_peers(job, target, rows, skipped)
    return rows, skipped


def _load_peers(job: Job, target: str, rows: list[_Row], skipped: list[Skipped]) -> None:
    able = [name for name, engine in ENGINES.items() if engine.any_tflite]
    for peer in job.peers:
        if not peer.graphs:
            skipped.append(Skipped(target, peer.converter, "window", "int8", peer.reason))
        for graph, name in itertools.product(peer.graphs, able):
            try:
                rows.append(_Row(name, graph, load(name, job.bundle, graph, job.threads), peer.converter))
            except (CannotRunError, ModelFileError) as reason:
                label = f"{name} by {peer.converter}"
                skipped.append(Skipped(target, label, graph.graph, graph.scheme, str(reason)))


def _estimate(job: Job, row: _Row) -> NDArray[np.float32]:
    total, done = len(job.data.windows), 0
    job.progress(row.name, 0, total)

    def tick(number: int) -> None:
        nonlocal done
        done += number
        job.progress(row.name, done, total)

    moments = row.loaded.estimate(job.data, tick)
    if moments.shape != (total, len(job.data.joints)) or not np.isfinite(moments).all():
        where = row.graph.file if row.graph else "the checkpoint"
        raise ModelFileError(
            f"{where}: {row.engine} gave moments of shape {moments.shape} or not finite; convert the checkpoint again"
        )
    return moments
