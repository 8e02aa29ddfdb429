"""``edgetool finetune``: what a few strides of each person gain, beside the general model and one of his own."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.learning import statistics
from benchmarks.learning.comparison import ENTRY, data_hash, load_once
from benchmarks.learning.jobs import Pool, run_jobs
from benchmarks.learning.results import checkpoint_of, read
from toolkit.calibration import for_model
from toolkit.data.splits import Segment
from toolkit.data.windows import cut
from toolkit.errors import RecordingError, UsageError
from toolkit.learning.strides import Rows, apart, strides
from toolkit.model.checkpoint import Checkpoint
from toolkit.progress import Progress, silent
from toolkit.reading import is_folder
from toolkit.records import Recording, Windows

Float = NDArray[np.float64]

#: Strides of the learning curve.
CURVE = (1, 2, 5, 10, 20)
#: Every so many windows of a stride are learnt from and tested: neighbours at 100 Hz say the same.
STRIDE = 2
GENERAL, ADAPTED, INDIVIDUAL = METHODS = ("general", "adapted", "individual")


@dataclass(frozen=True)
class TransferJob:
    """One person: the source checkpoint (its bytes), and for each number of strides three methods on the same test windows."""

    source: str
    data_hash: str
    person: str
    checkpoint: bytes
    checkpoint_hash: str
    policy: str
    numbers: tuple[int, ...]
    seed: int

    @property
    def title(self) -> str:
        """The person."""
        return f"{self.person}, {', '.join(map(str, self.numbers))} strides"

    def to_json(self) -> Mapping[str, Any]:
        """All that the result depends on."""
        return {
            "job": "transfer",
            "format": 2,
            "data": self.data_hash,
            "person": self.person,
            "checkpoint": self.checkpoint_hash,
            "policy": self.policy,
            "strides": list(self.numbers),
            "seed": self.seed,
        }

    def run(self) -> bytes:
        """Adapt, test, pack: a row for each number of strides, method and joint (``all`` for all together)."""
        import pyarrow
        from pyarrow import parquet

        rows = self._rows()
        table = pyarrow.Table.from_pylist(rows).replace_schema_metadata({ENTRY: json.dumps(self.to_json())})
        sink = io.BytesIO()
        parquet.write_table(table, sink)
        return sink.getvalue()

    def _rows(self) -> list[dict[str, Any]]:
        from toolkit.learning.batches import WindowBatches
        from toolkit.learning.finetune import adapt, individual, renormalised
        from toolkit.learning.fit import predict, reproducible
        from toolkit.model.network import CrossLSTM

        checkpoint = Checkpoint.from_bytes(self.checkpoint)
        windows, found = windows_of(load_once(self.source), self.person, checkpoint)
        test = windows.take(_tested(windows, found, self.numbers, checkpoint))
        rows = []
        for number in self.numbers:
            chosen = found[:number]
            adapted = adapt(checkpoint, windows, chosen, self.policy, seed=self.seed)  # type: ignore[arg-type]
            own = individual(checkpoint, windows, chosen, self.seed)
            told = renormalised(test, checkpoint, adapted.checkpoint.contract.inputs)
            with reproducible():
                estimates = {
                    GENERAL: predict(CrossLSTM.from_checkpoint(checkpoint), WindowBatches(test)),
                    ADAPTED: predict(CrossLSTM.from_checkpoint(adapted.checkpoint), WindowBatches(told)),
                    INDIVIDUAL: predict(own, WindowBatches(test)),
                }
            for method, estimate in estimates.items():
                squares = ((estimate - test.targets).astype(np.float64) ** 2).mean(axis=0)
                values = {"all": squares.mean(), **dict(zip(checkpoint.config.outputs, squares))}
                rows += [
                    {
                        "person": self.person,
                        "strides": number,
                        "method": method,
                        "policy": adapted.policy if method == ADAPTED else "",
                        "joint": joint,
                        "rmse": float(np.sqrt(value)),
                        "windows": len(test),
                    }
                    for joint, value in values.items()
                ]
        return rows


def windows_of(
    recordings: Sequence[Recording], person: str, checkpoint: Checkpoint
) -> tuple[Windows, list[Rows]]:
    """The person's windows as the checkpoint's contract cuts them, and the rows of each stride."""
    own = [recording for recording in recordings if recording.person == person]
    ready = for_model(own, checkpoint.contract)
    segments = [Segment(recording, *recording.span_s) for recording in ready]
    windows = cut(segments, checkpoint.contract, STRIDE)
    return windows, strides(windows)


def _tested(windows: Windows, found: Sequence[Rows], numbers: Sequence[int], checkpoint: Checkpoint) -> Rows:
    """The same windows for every number of strides: they share no sample with the strides that the largest learns from."""
    used = np.concatenate(found[: max(numbers)])
    rows = apart(windows, used, checkpoint.config.window / checkpoint.config.rate_hz)
    strided = np.concatenate(found[max(numbers) :])
    return np.intersect1d(rows, strided)


def feasible(total: int, numbers: Sequence[int]) -> tuple[int, ...]:
    """Those of ``numbers`` that leave a stride of ``total`` to test on; an eighth of the strides where there are many."""
    return tuple(n for n in numbers if n <= total - max(1, total // 8))


@dataclass(frozen=True, eq=False)
class Transfer:
    """``rmse[method]`` (people, numbers) over all moments, Nm/kg, NaN where a person has too few strides; ``policies`` too."""

    people: tuple[str, ...]
    numbers: tuple[int, ...]
    rmse: Mapping[str, Float]
    by_joint: Mapping[str, Mapping[str, Float]]
    policies: Mapping[str, tuple[str, ...]]
    kinds: tuple[str, ...]
    policy: str

    def gain(self, number: int) -> tuple[Float, tuple[float, float] | None, float | None]:
        """General less adapted of each person with ``number`` strides, its 95 % interval over people, and Wilcoxon's p."""
        place = self.numbers.index(number)
        values = (self.rmse[GENERAL] - self.rmse[ADAPTED])[:, place]
        known = values[np.isfinite(values)]
        return known, statistics.interval(known), statistics.wilcoxon(known)


def transfer(
    checkpoint: str | Path,
    source: str,
    folder: Path,
    *,
    policy: str = "auto",
    numbers: Sequence[int] = CURVE,
    seed: int = 0,
    pool: Pool | None = None,
    progress: Progress = silent,
) -> Transfer:
    """The learning curve of every person in ``source``, as jobs whose results lie in ``folder``.

    ``checkpoint``: a checkpoint that saw none of them, or the folder of a comparison, whose fold without the person is used.
    UsageError if a person trained the checkpoint, or nobody has enough strides.
    """
    recordings = load_once(source)
    people = sorted({recording.person for recording in recordings})
    sources = sources_for(checkpoint, people)
    whole = data_hash(recordings)
    jobs = []
    for person in people:
        model = sources[person]
        total = len(windows_of(recordings, person, model)[1])
        chosen = feasible(total, numbers)
        if chosen:
            jobs.append(
                TransferJob(source, whole, person, model.to_bytes(), model.hash, policy, chosen, seed)
            )
    if not jobs:
        raise UsageError(
            f"nobody has {min(numbers)} whole strides and one more to test on; the data needs heel strikes and moments"
        )
    files = run_jobs(jobs, folder, pool, progress)
    kinds = tuple(sorted({recording.kind for recording in recordings}))
    return _gather(files, tuple(numbers), kinds, policy)


def sources_for(checkpoint: str | Path, people: Sequence[str]) -> dict[str, Checkpoint]:
    """The checkpoint for each person, who had no part in its training."""
    from toolkit.model import load_checkpoint

    path = Path(checkpoint)
    if not is_folder(path):
        model = load_checkpoint(checkpoint)
        require_new(model, people)
        return dict.fromkeys(people, model)
    found: dict[str, Checkpoint] = {}
    for file in sorted(path.glob("*.parquet")):
        about = read(file).about
        if about["model"] == "cross-lstm" and about["fold"] in people and about["fold"] not in found:
            found[about["fold"]] = checkpoint_of(file)
    missing = [person for person in people if person not in found]
    if missing:
        raise UsageError(
            f"{path} has no Cross-LSTM that was trained without {missing[0]}; run edgetool compare on this data first, with "
            "--models cross-lstm and leave-one-person-out"
        )
    return found


def new_people(checkpoint: Checkpoint, people: Sequence[str]) -> list[str]:
    """Those of ``people`` who neither trained nor validated the checkpoint."""
    split = checkpoint.split or {}
    if split.get("kind") == "by-subject":
        known = {*split["people"]["train"], *split["people"]["validation"]}
    else:
        known = set(checkpoint.provenance.get("data", {}).get("people", ()))
    return [person for person in people if person not in known]


def require_new(checkpoint: Checkpoint, people: Sequence[str]) -> None:
    """UsageError if one of ``people`` trained or validated the checkpoint."""
    new = new_people(checkpoint, people)
    seen = [person for person in people if person not in new]
    if seen:
        raise UsageError(
            f"{', '.join(seen)} took part in this checkpoint's training; give strides of a new person, or the "
            "general model would have seen the test"
        )


def _gather(files: Sequence[Path], numbers: tuple[int, ...], kinds: tuple[str, ...], policy: str) -> Transfer:
    import pyarrow
    from pyarrow import parquet

    rows: list[dict[str, Any]] = []
    for file in files:
        try:
            rows += parquet.read_table(file).to_pylist()
        except (pyarrow.ArrowException, OSError) as error:
            raise RecordingError(
                f"{file} is not a result of edgetool finetune ({type(error).__name__}); delete it, and the job runs again"
            ) from None
    people = tuple(dict.fromkeys(row["person"] for row in rows))
    joints = list(dict.fromkeys(row["joint"] for row in rows))
    used = tuple(n for n in numbers if any(row["strides"] == n for row in rows))
    tables = {joint: {m: np.full((len(people), len(used)), np.nan) for m in METHODS} for joint in joints}
    policies = {person: [""] * len(used) for person in people}
    for row in rows:
        at = people.index(row["person"]), used.index(row["strides"])
        tables[row["joint"]][row["method"]][at] = row["rmse"]
        if row["method"] == ADAPTED:
            policies[row["person"]][at[1]] = row["policy"]
    by_joint = {joint: tables[joint] for joint in joints if joint != "all"}
    return Transfer(
        people, used, tables["all"], by_joint, {p: tuple(v) for p, v in policies.items()}, kinds, policy
    )


@dataclass(frozen=True, eq=False)
class OnePerson:
    """A checkpoint adapted to one person: what was chosen, and RMSE (Nm/kg) by joint and of all on the strides that were left,
    None where none was left."""

    checkpoint: Checkpoint
    person: str
    strides: int
    left: int
    policy: str
    held_out: Mapping[str, float]
    rmse: Mapping[str, Mapping[str, float]] | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "schema": 1,
            "checkpoint_sha256": self.checkpoint.hash,
            "person": self.person,
            "strides": self.strides,
            "strides_left": self.left,
            "policy": self.policy,
            "held_out_rmse": dict(self.held_out),
            "rmse": None if self.rmse is None else {m: dict(v) for m, v in self.rmse.items()},
        }


def adapt_person(
    model: Checkpoint, source: str, number: int, *, policy: str, person: str | None, seed: int
) -> OnePerson:
    """``model`` adapted to the first ``number`` strides of ``person`` (None: the only one in ``source``).

    UsageError if there are several people, too few strides, or the person trained the model.
    """
    from toolkit.learning.finetune import adapt

    recordings = load_once(source)
    people = sorted({recording.person for recording in recordings})
    if person is None and len(people) > 1:
        raise UsageError(f"the data has {len(people)} people, {', '.join(people)}; choose one with --person")
    name = person or people[0]
    if name not in people:
        raise UsageError(f"the data has no person {name!r}; it has {', '.join(people)}")
    require_new(model, [name])
    windows, found = windows_of(recordings, name, model)
    if not 1 <= number <= len(found):
        raise UsageError(
            f"{number} strides were asked for and {name} has {len(found)} with heel strikes and moments; choose --strides 1 "
            f"to {max(1, len(found))}, or record more"
        )
    adapted = adapt(model, windows, found[:number], policy, seed=seed)  # type: ignore[arg-type]
    left = len(found) - number
    scores = _scored(model, adapted.checkpoint, windows, found, number) if left else None
    return OnePerson(adapted.checkpoint, name, number, left, adapted.policy, dict(adapted.held_out), scores)


def _scored(
    general: Checkpoint, adapted: Checkpoint, windows: Windows, found: Sequence[Rows], number: int
) -> dict[str, dict[str, float]] | None:
    from toolkit.learning.batches import WindowBatches
    from toolkit.learning.finetune import renormalised
    from toolkit.learning.fit import predict, reproducible
    from toolkit.model.network import CrossLSTM

    test = windows.take(_tested(windows, found, [number], general))
    if not len(test):
        return None
    told = renormalised(test, general, adapted.contract.inputs)
    result = {}
    for method, model, rows in ((GENERAL, general, test), (ADAPTED, adapted, told)):
        with reproducible():
            estimate = predict(CrossLSTM.from_checkpoint(model), WindowBatches(rows))
        squares = ((estimate - test.targets).astype(np.float64) ** 2).mean(axis=0)
        by_joint = {name: float(np.sqrt(v)) for name, v in zip(general.config.outputs, squares)}
        result[method] = {**by_joint, "all": float(np.sqrt(squares.mean()))}
    return result
