"""Many independent jobs on Dask or in this process: each keyed by what it depends on, one file a job, none done twice.

A job's file is written beside and renamed, by the process that asked; a job whose file exists is not run again. So a run that
was stopped goes on where it stood, and a worker that is killed loses only the job it had, which another one then does.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from toolkit.errors import EdgetoolError, MissingDependencyError, UsageError
from toolkit.files import write_bytes
from toolkit.progress import Progress, silent
from toolkit.reading import is_file

if TYPE_CHECKING:
    from distributed import Client

#: A job whose worker dies so often is given up: it is the job's fault, as a rule for want of memory.
ALLOWED_DEATHS = 3
#: How long a scheduler may take to answer.
_CONNECT_S = 10


class Job(Protocol):
    """What one job is; it travels to a worker as it is."""

    @property
    def title(self) -> str:
        """A few words for progress and errors."""

    def to_json(self) -> Mapping[str, Any]:
        """All that its result depends on."""

    def run(self) -> bytes:
        """The content of its file; the same job gives the same bytes."""


@dataclass(frozen=True)
class Pool:
    """Where jobs run. ``workers``: local processes, one is this process; ``scheduler``: ``tcp://HOST:PORT`` of a Dask cluster
    whose workers have edgetool and read the data under the same paths."""

    workers: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"workers is {self.workers}; it must be at least 1")
        if self.scheduler is not None and not self.scheduler.startswith(("tcp://", "tls://")):
            raise UsageError(f"scheduler is {self.scheduler!r}; give its address, such as tcp://host:8786")


def job_key(job: Job) -> str:
    """SHA-256 of the job's JSON, 64 hex digits."""
    return hashlib.sha256(json.dumps(job.to_json(), sort_keys=True).encode()).hexdigest()


def job_file(job: Job, folder: Path) -> Path:
    """Where the job's result lies."""
    return folder / f"{job_key(job)[:32]}.parquet"


def run_jobs(
    jobs: Sequence[Job], folder: Path, pool: Pool | None = None, progress: Progress = silent
) -> list[Path]:
    """Do all jobs that have no file in ``folder`` yet; the files of all, in order.

    Every job gets its turn, also when others fail; then the first failure is raised: an error of ours as it is, any other
    as a RuntimeError that names the job. ``progress`` is told the processor time of each, and in the end that of all: a file
    holds no time, for the same job gives the same bytes.
    """
    pool = pool or Pool()
    files = [job_file(job, folder) for job in jobs]
    left = {file: job for file, job in zip(files, jobs) if not is_file(file)}
    done = len(set(files)) - len(left)
    progress("jobs", done, len(set(files)))
    failures: list[tuple[str, BaseException]] = []
    seconds = 0.0
    for file, result in _results(left, pool):
        if isinstance(result, BaseException):
            failures.append((left[file].title, result))
            continue
        write_bytes(file, result.content)
        done, seconds = done + 1, seconds + result.cpu_s
        last = f"last {left[file].title}, {result.cpu_s:.0f} s of processor time"
        progress(f"{done} of {len(set(files))} jobs, {last}", done, len(set(files)))
    if left:
        spent = f"{len(left) - len(failures)} jobs done in {seconds:.0f} s of processor time"
        progress(spent, done, len(set(files)))
    if failures:
        _raise_first(failures)
    return files


def _raise_first(failures: Sequence[tuple[str, BaseException]]) -> None:
    title, error = failures[0]
    if isinstance(error, EdgetoolError):
        raise error
    raise RuntimeError(
        f"{len(failures)} of the jobs failed, first {title}: {type(error).__name__}: {error}"
    ) from error


@dataclass(frozen=True)
class _Done:
    content: bytes
    cpu_s: float


def _results(jobs: Mapping[Path, Job], pool: Pool) -> Iterator[tuple[Path, _Done | BaseException]]:
    workers = pool.workers or min(_cores(), max(1, len(jobs)))
    if not jobs:
        return
    if pool.scheduler is None and workers == 1:
        for file, job in jobs.items():
            yield file, _run(job)
        return
    with _client(pool, workers) as client:
        yield from _on_dask(client, jobs)


def _run(job: Job) -> _Done | BaseException:
    start = time.process_time()
    try:
        return _Done(job.run(), time.process_time() - start)
    except Exception as error:  # told at the end; the other jobs go on
        return error


def _on_dask(client: Client, jobs: Mapping[Path, Job]) -> Iterator[tuple[Path, _Done | BaseException]]:
    from distributed import as_completed

    futures = {
        client.submit(_run, job, key=f"edgetool-{file.stem}", pure=True): file for file, job in jobs.items()
    }
    for future in as_completed(futures):  # type: ignore[no-untyped-call]
        error = future.exception()
        yield futures[future], error if error is not None else future.result()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _client(pool: Pool, workers: int) -> Iterator[Client]:
    try:
        import dask
        from distributed import Client, LocalCluster
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"several workers need {error.name}, which is not installed: pip install 'edgetool[learn]', or use --workers 1"
        ) from None
    settings = {
        "distributed.scheduler.allowed-failures": ALLOWED_DEATHS,
        "distributed.comm.timeouts.connect": _CONNECT_S,
    }
    with dask.config.set(settings):
        if pool.scheduler is not None:
            with _remote(pool.scheduler, Client) as client:
                yield client
            return
        quiet = logging.CRITICAL
        with (
            LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs=quiet,
                memory_limit=0,
            ) as cluster,
            Client(cluster) as client,  # type: ignore[no-untyped-call]
        ):
            yield client


@contextmanager
def _remote(address: str, client_of: Callable[..., Client]) -> Iterator[Client]:
    try:
        client = client_of(address, timeout=_CONNECT_S)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}); start one with 'dask scheduler', or leave "
            "--scheduler out to work on this machine"
        ) from None
    with client:
        yield client
