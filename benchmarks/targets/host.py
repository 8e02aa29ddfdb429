"""The target ``host``: every engine of this machine, one after the other, on the same windows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.engines import (
    BASELINE,
    GRAPH_ENGINES,
    CannotRunError,
    HostEngine,
    load,
    native,
)
from benchmarks.evaluation.latency import measure, summarise
from benchmarks.records import Measured, Skipped
from benchmarks.targets import Job
from quantization.bundle import Bundle
from quantization.graph.graph_file import GraphFile
from toolkit.errors import ModelFileError

#: The engine that compiles a whole bundle and does not read a .tflite, so that peers' graphs are not for it.
NATIVE = "native"
#: Engines whose time on a workstation is not that of any deployment.
_ONLY_ACCURACY = ("tflm",)


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


def judge(job: Job, target: str) -> tuple[list[Measured], list[Skipped]]:
    """Accuracy of each engine on all windows, then latency with the engines taking turns."""
    rows, skipped = _load(job, target)
    return _judge_rows(job, target, rows), skipped


def judge_float(job: Job) -> list[Measured]:
    """The float rows that every other row is compared with: the baseline, and the float stream if there is one."""
    rows = [_Row(BASELINE, None, load(BASELINE, job.checkpoint, None, job.threads))]
    for graph in job.graphs:
        if (graph.graph, graph.scheme) == ("stream", "float32"):
            rows.append(_Row("litert", graph, load("litert", job.checkpoint, graph, job.threads)))
    return _judge_rows(job, "host", rows)


def _judge_rows(job: Job, target: str, rows: list[_Row]) -> list[Measured]:
    estimates = [_estimate(job, row) for row in rows]
    job.progress("latency", 0, 1)
    times = measure({row.name: row.loaded.single_call(job.data) for row in rows})
    job.progress("latency", 1, 1)
    return [
        Measured(
            target=target,
            engine=row.engine,
            graph=row.kind,
            scheme=row.scheme,
            version=row.loaded.version,
            how=row.loaded.how,
            estimates=moments,
            latency=summarise(times[row.name], job.data.contract.grid_rate_hz),
            size=row.loaded.size(),
            judged_latency=row.engine not in _ONLY_ACCURACY,
            converter=row.converter,
        )
        for row, moments in zip(rows, estimates)
    ]


def _load(job: Job, target: str) -> tuple[list[_Row], list[Skipped]]:
    rows = [_Row(BASELINE, None, load(BASELINE, job.checkpoint, None, job.threads))]
    skipped = []
    graphs = sorted(job.graphs, key=lambda graph: (graph.graph != "window", graph.scheme != "float32"))
    bundle = Bundle.load(job.bundle)
    for name, graph in itertools.product((*GRAPH_ENGINES, NATIVE), graphs):
        try:
            if name == NATIVE:
                loaded = native.load(bundle, graph, job.threads)
            else:
                loaded = load(name, job.checkpoint, graph, job.threads)
            rows.append(_Row(name, graph, loaded))
        except CannotRunError as reason:
            skipped.append(Skipped(target, name, graph.graph, graph.scheme, str(reason)))
    _load_peers(job, target, rows, skipped)
    return rows, skipped


def _load_peers(job: Job, target: str, rows: list[_Row], skipped: list[Skipped]) -> None:
    for peer in job.peers:
        if not peer.graphs:
            skipped.append(Skipped(target, peer.converter, "window", "int8", peer.reason))
        for graph, name in itertools.product(peer.graphs, GRAPH_ENGINES):
            try:
                rows.append(_Row(name, graph, load(name, job.checkpoint, graph, job.threads), peer.converter))
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
