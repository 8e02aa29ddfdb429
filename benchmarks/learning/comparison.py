"""One job of a comparison: a model trained on a fold, and what it estimates for people whom it never saw, as Parquet."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import toolkit.data
from benchmarks.learning.stored_network import network_bytes
from toolkit import __version__
from toolkit.contract import SensorContract
from toolkit.data.provenance import data_provenance, source_name
from toolkit.data.rotated import rotated_by
from toolkit.data.splits import Segment, Split, select
from toolkit.data.windows import cut
from toolkit.learning.augment import WornOtherwise
from toolkit.learning.baselines.floors import phases
from toolkit.learning.baselines.table import MODELS
from toolkit.learning.learner import Learnt, learn
from toolkit.learning.prepare import Prepared, prepare
from toolkit.learning.settings import Settings
from toolkit.model.config import config_for
from toolkit.records import Recording, Windows

#: Degrees by which every IMU is turned to see how a model stands sensors that are put on askew.
ANGLES = (10, 20, 30)
#: Of the test windows, one in so many is estimated with turned sensors too.
ROTATED_STRIDE = 4
#: The entry of a Parquet file's metadata that says what its rows are.
ENTRY = b"edgetool"
#: The entry that holds the fold's network: the Cross-LSTM as a checkpoint, a baseline as an imported network.
CHECKPOINT = b"edgetool.checkpoint"


@dataclass(frozen=True)
class CompareJob:
    """``data_hash`` stands for the recordings of ``source``; ``split`` is JSON of the fold's Split; ``test_stride`` thins the
    test windows; ``augmentation`` changes what networks are shown in training."""

    source: str
    data_hash: str
    fold: str
    split: str
    model: str
    settings: Settings
    test_stride: int = 2
    augmentation: WornOtherwise | None = None

    @property
    def title(self) -> str:
        """Model, fold, seed."""
        return f"{MODELS[self.model].title}, {self.fold}, seed {self.settings.seed}"

    def to_json(self) -> Mapping[str, Any]:
        """All that the result depends on."""
        return {
            "job": "compare",
            "format": 1,
            "data": self.data_hash,
            "fold": self.fold,
            "split": json.loads(self.split),
            "model": self.model,
            "settings": dict(self.settings.to_json()),
            "test_stride": self.test_stride,
            "versions": _versions(),
        } | ({} if self.augmentation is None else {"augmentation": self.augmentation.to_json()})

    def run(self) -> bytes:
        """Train, estimate, and pack."""
        grid = tuple(sorted(self.settings.grid.items()))
        prepared, rotated = _prepared(self.source, self.split, grid, self.test_stride)
        config = config_for(self.settings.sizes, prepared.contract)
        recipe, seed = self.settings.recipe, self.settings.seed
        learnt = learn(self.model, config, prepared, recipe, seed, augmentation=self.augmentation)
        return _pack(self, prepared.contract, prepared.windows["test"], rotated, learnt)


@lru_cache(maxsize=1)
def load_once(source: str) -> tuple[Recording, ...]:
    """The recordings of a source, kept for the next job of this process."""
    return tuple(toolkit.data.load(source))


@lru_cache(maxsize=1)
def _prepared(
    source: str, split: str, grid: tuple[tuple[str, Any], ...], test_stride: int
) -> tuple[Prepared, Mapping[int, Windows]]:
    """Windows of a fold, and test windows with turned sensors by angle; kept for the next model of this process."""
    recordings = load_once(source)
    chosen = Split.from_json(json.loads(split))
    prepared = prepare(recordings, chosen, **dict(grid), test_stride=test_stride)
    rotated = {}
    for angle in ANGLES:
        segments = [
            Segment(turned, one.start_s, one.stop_s)
            for one in select(recordings, chosen, "test")
            if (turned := rotated_by(one.recording, angle)) is not None
        ]
        if segments:
            rotated[angle] = cut(segments, prepared.contract, test_stride * ROTATED_STRIDE)
    return prepared, rotated


def _pack(
    job: CompareJob, contract: SensorContract, test: Windows, rotated: Mapping[int, Windows], learnt: Learnt
) -> bytes:
    """Rows are test windows: who, where, when, reference, estimate, and estimates with turned sensors where there are any."""
    import pyarrow
    from pyarrow import parquet

    outputs = [channel.name for channel in contract.outputs]
    columns: dict[str, Any] = {
        "person": [test.recordings[i].person for i in test.recording],
        "task": [test.recordings[i].task for i in test.recording],
        "recording": [test.recordings[i].name for i in test.recording],
        "time_s": test.time_s,
        "phase": phases(test).astype(np.float32),
        **_named("reference", outputs, test.targets),
        **_named("estimate", outputs, learnt.estimate(test)),
    }
    for angle, windows in rotated.items():
        spread = np.full(test.targets.shape, np.nan, np.float32)
        spread[_places(test, windows)] = learnt.estimate(windows)
        columns |= _named(f"rotated_{angle}", outputs, spread)
    about = {
        **job.to_json(),
        "source": source_name(job.source),
        "kinds": sorted({recording.kind for recording in test.recordings}),
        "outputs": outputs,
        "weights": learnt.weights,
        "macs": learnt.macs,
        "best_epoch": learnt.best_epoch,
        "history": [dataclasses.asdict(epoch) for epoch in learnt.history],
    }
    metadata = {ENTRY: json.dumps(about).encode()}
    if learnt.network is not None:
        metadata[CHECKPOINT] = _network(job, contract, learnt, about)
    table = pyarrow.table(columns).replace_schema_metadata(metadata)
    sink = io.BytesIO()
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _network(job: CompareJob, contract: SensorContract, learnt: Learnt, about: Mapping[str, Any]) -> bytes:
    names = ("source", "kinds", "fold", "data", "settings", "augmentation", "best_epoch", "versions")
    provenance = {"comparison": {name: about[name] for name in names if name in about}}
    assert learnt.network is not None
    return network_bytes(learnt.network, contract, json.loads(job.split), provenance)


def _named(what: str, outputs: Sequence[str], values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    return {f"{what}.{name}": values[:, place] for place, name in enumerate(outputs)}


def _places(all_windows: Windows, some: Windows) -> NDArray[np.int64]:
    """Row in ``all_windows`` of each of ``some``, by recording and time."""
    known = {
        (all_windows.recordings[index].name, round(time * 1e6)): row
        for row, (index, time) in enumerate(zip(all_windows.recording, all_windows.time_s))
    }
    return np.array(
        [known[some.recordings[i].name, round(t * 1e6)] for i, t in zip(some.recording, some.time_s)],
        np.int64,
    )


def data_hash(recordings: Sequence[Recording]) -> str:
    """One hash over all recordings."""
    import hashlib

    return hashlib.sha256(json.dumps(data_provenance(recordings, "")).encode()).hexdigest()


def _versions() -> dict[str, str]:
    import importlib.metadata

    return {"edgetool": __version__} | {
        name: importlib.metadata.version(name) for name in ("torch", "numpy", "scipy", "scikit-learn")
    }
