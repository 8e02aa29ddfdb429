"""Jobs: each once, resumable, and a worker that is killed loses nothing but time."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from benchmarks.learning.jobs import Pool, job_file, run_jobs
from tests.benchmarks.learning.sums import Sum
from toolkit.errors import OutputError, RecordingError, UsageError

HERE = Pool(workers=1)


def done(log: Path) -> list[int]:
    return sorted(int(line.split()[0]) for line in log.read_text().splitlines())


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "jobs"
    jobs = [Sum(n, str(log)) for n in range(1, 6)]

    def stop(stage: str, number: int, total: int) -> None:
        if number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, folder, HERE, stop)
    assert done(log) == [1, 2, 3]
    told: list[str] = []
    files = run_jobs(jobs, folder, HERE, lambda stage, number, total: told.append(stage))
    assert told[1].startswith("4 of 5 jobs, last sum 4, 0 s of processor time")
    assert told[-1].startswith("2 jobs done in ") and told[-1].endswith(" s of processor time")
    assert done(log) == [1, 2, 3, 4, 5]
    assert [file.read_bytes() for file in files] == [b"1", b"3", b"6", b"10", b"15"]
    assert sorted(folder.iterdir()) == sorted(files) == sorted(job_file(job, folder) for job in jobs)


def test_a_job_that_fails_stops_no_other_and_runs_again(tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "jobs"
    jobs = [Sum(1, str(log)), Sum(2, str(log), fails="ours"), Sum(3, str(log))]
    with pytest.raises(RecordingError, match="no data for 2"):
        run_jobs(jobs, folder, HERE)
    assert [job_file(job, folder).exists() for job in jobs] == [True, False, True]
    run_jobs([Sum(n, str(log)) for n in (1, 2, 3)], folder, HERE)
    assert done(log) == [1, 2, 2, 3]


def test_24_jobs_on_two_workers_of_which_one_is_killed(tmp_path: Path) -> None:
    """All results are there, none twice, and the same bits as without the kill."""
    whole, log = tmp_path / "whole", tmp_path / "log"
    wanted = [
        f.read_bytes() for f in run_jobs([Sum(n, str(tmp_path / "other")) for n in range(24)], whole, HERE)
    ]
    killed: list[int] = []

    def kill(stage: str, number: int, total: int) -> None:
        if number == 8 and not killed:
            worker = multiprocessing.active_children()[0]
            assert worker.pid is not None
            killed.append(worker.pid)
            worker.kill()

    jobs = [Sum(n, str(log), seconds=0.1) for n in range(24)]
    files = run_jobs(jobs, tmp_path / "jobs", Pool(workers=2), kill)
    assert [file.read_bytes() for file in files] == wanted
    assert len({*files}) == 24 and sorted((tmp_path / "jobs").iterdir()) == sorted(files)
    workers = {int(line.split()[1]) for line in log.read_text().splitlines()}
    assert killed and len(workers - set(killed)) >= 1 and set(done(log)) == set(range(24))


def test_a_job_that_kills_its_workers_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "jobs"
    jobs = [Sum(1, str(log)), Sum(2, str(log), fails="exit"), Sum(3, str(log))]
    with pytest.raises(RuntimeError, match="1 of the jobs failed, first sum 2: KilledWorker"):
        run_jobs(jobs, folder, Pool(workers=2))
    assert job_file(jobs[0], folder).exists() and job_file(jobs[2], folder).exists()


@pytest.mark.parametrize(
    ("pool", "says"),
    [
        ({"workers": 0}, "workers is 0; it must be at least 1"),
        ({"scheduler": "localhost:8786"}, "give its address, such as tcp://host:8786"),
    ],
)
def test_pools_that_are_refused(pool: dict[str, int | str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Pool(**pool)  # type: ignore[arg-type]


def test_a_scheduler_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.learning.jobs._CONNECT_S", 0.5)
    with pytest.raises(
        UsageError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9 .*leave --scheduler out"
    ):
        run_jobs([Sum(1, str(tmp_path / "log"))], tmp_path, Pool(scheduler="tcp://127.0.0.1:9"))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        run_jobs([Sum(1, str(tmp_path / "log"))], tmp_path / "file" / "jobs", HERE)
