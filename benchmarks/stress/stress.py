"""``edgetool stress``: which ways of wearing and breaking sensors a bundle stands and notices, and what calibrating brings."""

from __future__ import annotations

import shlex
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bench import own_source
from benchmarks.stress import html as report_html
from benchmarks.stress.bounds import broken, read_bounds
from benchmarks.stress.perturbations import NONE, Perturbation, catalogue
from benchmarks.stress.records import StressReport, StressRow
from benchmarks.stress.score import Truth, rmse_of, row_of
from benchmarks.stress.session import Estimated, estimates
from quantization.bundle import Bundle
from runtime.engines import open_engine
from runtime.engines.interface import Engine
from toolkit.calibration import Calibration, calibrate, calibrated, with_own_walk
from toolkit.calibration.people import by_person, walk_recording, walk_signals
from toolkit.calibration.reference import reference_of
from toolkit.data.faulty import from_then_on
from toolkit.data.splits import Segment, Split, select
from toolkit.data.windows import moments_at
from toolkit.errors import BudgetError, MissingDependencyError, RecordingError, UsageError
from toolkit.files import write_json
from toolkit.progress import Progress, silent
from toolkit.records import Recording

#: When it happens, in s after the start of a recording; at most a quarter of it.
ONSET_S = 5.0
#: Seconds of recordings that each perturbation is tried on, in all.
SECONDS, QUICK_SECONDS = 180.0, 60.0

Session = tuple[Truth, Estimated | None]


def stress(
    bundle: str | Path | Bundle,
    data: str | Sequence[Recording] | None = None,
    *,
    json: str | Path | None = None,
    html: str | Path | None = None,
    quick: bool = False,
    only: Sequence[str] = (),
    seconds: float | None = None,
    engine: str | None = None,
    seed: int = 0,
    bounds: str | Path | None = None,
    progress: Progress | None = None,
    show: Callable[[StressReport], None] | None = None,
) -> StressReport:
    """Run every perturbation, or those whose name is in ``only``, on the test part of ``data`` (by default what the bundle was
    made from), through states, plausibility and error bars as live.

    Without calibration it happens ``ONSET_S`` after the start of each recording, in a session that was calibrated before; with
    calibration the session is calibrated on the person's walk with the sensors as they are then. ``seconds`` of recordings are
    taken in all, of every person and task alike; ``quick`` takes one size of each and a minute. ``json`` and ``html`` are files
    to write, ``bounds`` a TOML of what must hold (docs/STRESS.md). The same seed gives the same figures.

    Raises BudgetError if a bound does not hold, after ``show`` was called and the files were written; UsageError for a name
    that is not known, RecordingError for data without a test part, without moments or too short.
    """
    held = [] if bounds is None else read_bounds(Path(bounds))
    loaded = bundle if isinstance(bundle, Bundle) else Bundle.load(Path(bundle))
    chosen = _chosen(loaded, quick, only)
    source = data if data is not None else own_source(loaded)
    told = progress or silent
    told("data", 0, 1)
    limit = seconds if seconds is not None else (QUICK_SECONDS if quick else SECONDS)
    people = _People.of(loaded, source, limit)
    running = _engine(loaded, engine)
    rows = tuple(_rows(loaded, running, people, chosen, seed, told))
    report = StressReport(
        {"name": loaded.path.resolve().name, "hash": loaded.hash, "contract_hash": loaded.contract.hash},
        _about(people, source),
        {"quick": quick, "seconds": limit, "seed": seed, "engine": f"{running.name} {running.version}"},
        _command(loaded, source, quick, only, seconds, running.name, seed),
        rows,
        tuple(broken(held, rows)),
    )
    _publish(report, json, html, show)
    if report.broken:
        raise BudgetError("; ".join(report.broken))
    return report


def _publish(
    report: StressReport,
    json: str | Path | None,
    html: str | Path | None,
    show: Callable[[StressReport], None] | None,
) -> None:
    if json is not None:
        write_json(Path(json), report.to_json())
    if html is not None:
        report_html.write(report, Path(html))
    if show is not None:
        show(report)


def _engine(bundle: Bundle, name: str | None) -> Engine:
    """The engine ``name``; without one the generated C, ten times as fast a row, or LiteRT where there is no compiler."""
    if name is not None:
        return open_engine(bundle, name, "int8")
    try:
        return open_engine(bundle, "native", "int8")
    except MissingDependencyError:
        return open_engine(bundle, "litert", "int8")


def _chosen(bundle: Bundle, quick: bool, only: Sequence[str]) -> list[Perturbation]:
    every = catalogue(bundle.contract)
    known = dict.fromkeys(one.name for one in every)
    unknown = [name for name in only if name not in known]
    if unknown:
        raise UsageError(f"perturbation {unknown[0]!r} is not known; allowed: {', '.join(known)}")
    kept = [one for one in every if one is NONE or not only or one.name in only]
    return [one for one in kept if one.quick] if quick else kept


@dataclass(frozen=True, eq=False)
class _People:
    """The recordings that are tried, as worn, whose parts count, and each person's walk and calibration before anything."""

    bundle: Bundle
    segments: tuple[Segment, ...]
    walks: dict[str, Recording]

    @classmethod
    def of(cls, bundle: Bundle, source: str | Sequence[Recording], seconds: float) -> _People:
        """RecordingError if there is nothing to try it on."""
        from toolkit.data import load

        recordings = load(source) if isinstance(source, str) else list(source)
        split = bundle.checkpoint.split
        parts = Split.from_json(split) if split is not None else Split("chronological", (0.0, 0.0, 1.0))
        segments = [one for one in select(recordings, parts, "test") if one.recording.moments is not None]
        if not segments:
            raise RecordingError(
                "no recording of the test part has reference moments; a stress test needs them"
            )
        walks = {}
        if bundle.contract.calibration is not None:
            walks = {person: walk_recording(theirs) for person, theirs in by_person(recordings).items()}
        return cls(bundle, tuple(_evenly(segments, seconds)), walks)

    @property
    def recordings(self) -> list[Recording]:
        """In order, one a segment."""
        return [segment.recording for segment in self.segments]

    @cached_property
    def calibrations(self) -> dict[str, Calibration]:
        """Of each person, before anything is done to the sensors; none for a model that takes none."""
        names = dict.fromkeys(recording.person for recording in self.recordings)
        found = {name: self.calibration(name, self.walks[name]) for name in names if self.walks}
        return {name: one for name, one in found.items() if one is not None}

    def calibration(self, person: str, walk: Recording) -> Calibration | None:
        """Of a session that begins with ``walk``; None where it is refused."""
        reference = reference_of(self.bundle.contract)
        assert reference is not None
        try:
            signals = walk_signals(walk)
            found = with_own_walk(calibrate(signals, reference, person=person), signals, self.bundle.contract)
        except RecordingError:
            return None
        return None if found.refused else found

    @cached_property
    def truths(self) -> list[Truth]:
        """Of each segment."""
        return [_truth(self.bundle, segment) for segment in self.segments]


def _evenly(segments: Sequence[Segment], seconds: float) -> list[Segment]:
    """Segments of ``seconds`` in all, of every person and of each task in turn; one of each person at least."""
    queues: dict[tuple[str, str], list[Segment]] = {}
    for segment in segments:
        queues.setdefault((segment.recording.task, segment.recording.person), []).append(segment)
    people = list(dict.fromkeys(person for _, person in queues))
    tasks = list(dict.fromkeys(task for task, _ in queues))
    order = [(task, person, turn) for turn in range(len(segments)) for task in tasks for person in people]
    chosen: list[Segment] = []
    total = 0.0
    for task, person, turn in order:
        queue = queues.get((task, person), [])
        if turn < len(queue):
            total += queue[turn].stop_s - queue[turn].start_s
            if total > seconds and len(chosen) >= len(people):
                break
            chosen.append(queue[turn])
    return chosen


def _truth(bundle: Bundle, segment: Segment) -> Truth:
    contract, recording = bundle.contract, segment.recording
    start_s = recording.span_s[0]
    seconds = min(recording.signals[item.stream.name].duration_s for item in contract.inputs)
    time_s = start_s + np.arange(int(seconds * contract.grid_rate_hz)) / contract.grid_rate_hz
    label_s = time_s + contract.horizon_ms / 1000.0
    targets = moments_at(recording, contract.outputs, label_s).astype(np.float64)
    onset = round(min(ONSET_S, 0.25 * seconds) * contract.grid_rate_hz)
    counted = np.isfinite(targets).all(axis=1) & recording.is_valid(label_s)
    counted &= (time_s >= segment.start_s) & (label_s < segment.stop_s)
    counted[: max(onset, contract.window)] = False
    return Truth(targets, counted, onset, contract.grid_rate_hz)


def _rows(
    bundle: Bundle,
    engine: Engine,
    people: _People,
    chosen: Sequence[Perturbation],
    seed: int,
    told: Progress,
) -> list[StressRow]:
    joints = [channel.name for channel in bundle.contract.outputs]
    asks = bundle.contract.calibration is not None
    plain: list[float] | None = None
    rows = []
    for number, perturbation in enumerate(chosen):
        for again in (False, True) if asks else (False,):
            told(f"{perturbation}{', calibrated' if again else ''}", number, len(chosen))
            sessions = _sessions(bundle, engine, people, perturbation, again, seed)
            present = {r.person for r, (_, found) in zip(people.recordings, sessions) if found is not None}
            rows.append(row_of(perturbation, again, joints, sessions, len(present), plain))
            plain = plain or rmse_of(sessions, len(joints))
    told("done", len(chosen), len(chosen))
    return rows


def _sessions(
    bundle: Bundle,
    engine: Engine,
    people: _People,
    perturbation: Perturbation,
    again: bool,
    seed: int,
) -> list[Session]:
    """All recordings with it done to them; ``again``: calibrated with the sensors as they are then."""

    def rng(person: str) -> np.random.Generator:
        return np.random.default_rng([seed, *(zlib.crc32(t.encode()) for t in (str(perturbation), person))])

    found: dict[str, Calibration | None] = dict(people.calibrations)
    if again:
        for person in found:
            found[person] = people.calibration(person, perturbation.change(people.walks[person], rng(person)))
    worn, places = [], []
    for place, (recording, truth) in enumerate(zip(people.recordings, people.truths)):
        if people.walks and found.get(recording.person) is None:
            continue
        changed = perturbation.change(recording, rng(recording.person))
        if not again:
            changed = from_then_on(recording, changed, truth.onset / truth.rate_hz)
        worn.append(changed)
        places.append(place)
    calibrations = [found.get(recording.person) for recording in worn]
    after = [r if one is None else calibrated(r, one) for r, one in zip(worn, calibrations)]
    results = estimates(bundle, engine, worn, calibrations, after, perturbation.ends) if worn else []
    by_place = dict(zip(places, results))
    return [(truth, by_place.get(place)) for place, truth in enumerate(people.truths)]


def _about(people: _People, source: str | Sequence[Recording]) -> dict[str, Any]:
    recordings = people.recordings
    return {
        "source": source if isinstance(source, str) else "recordings in memory",
        "kinds": sorted({recording.kind for recording in recordings}),
        "people": sorted({recording.person for recording in recordings}),
        "tasks": sorted({recording.task for recording in recordings}),
        "recordings": len(recordings),
        "asks_for_calibration": bool(people.walks),
    }


def _command(
    bundle: Bundle,
    source: str | Sequence[Recording],
    quick: bool,
    only: Sequence[str],
    seconds: float | None,
    engine: str,
    seed: int,
) -> str:
    words = ["edgetool", "stress", str(bundle.path), "--data", source if isinstance(source, str) else "..."]
    words += ["--quick"] if quick else []
    for name in only:
        words += ["--only", name]
    words += ["--seconds", f"{seconds:g}"] if seconds is not None else []
    return shlex.join([*words, "--engine", engine, "--seed", str(seed)])
