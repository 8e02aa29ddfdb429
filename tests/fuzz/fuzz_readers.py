"""Mutants of valid files through every reader: anything that is not an EdgetoolError is a bug.

    python -m tests.fuzz.fuzz_readers --megabytes 100        # all readers, the long run
    python -m tests.fuzz.fuzz_readers --reader npz --seed 7

A mutant that a reader trips over is kept in ``build/fuzz`` with its traceback. Memory is bounded, and a mutant that takes
longer than 20 s is a failure too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import mutants
from toolkit.data import load, readers
from toolkit.data.readers.npz import write_recording
from toolkit.errors import EdgetoolError, RecordingError
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig

ROOT = Path(__file__).resolve().parents[2]
SMALL = ModelConfig(imu_channels=6, emg_channels=2, window=8, hidden=4, head_hidden=4)
MEMORY = 6 << 30
SECONDS = 20
STO = (
    "walk\nversion=1\nnRows=4\nnColumns=3\ninDegrees=yes\nendheader\ntime\ta\tb\n"
    "0.00\t1.5\t2\n0.01\t-3\t4e1\n0.02\t5\t6\n0.03\t7\t8\n"
)
CSV = 'time,a,"b"\n0.00,1.5,2\n0.01,-3,4e1\n0.02,5,6\n0.03,7,8\n'


@dataclass
class Reader:
    """A reader under test: valid files, how they are mutated, where a mutant is put, and what reads it."""

    valid: list[bytes]
    mutate: mutants.Mutation
    path: Path
    read: Callable[[Path], Any]


@dataclass
class Outcome:
    """What came of the mutants of one reader."""

    mutants: int = 0
    bytes: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.mutants:>8,} mutants {self.bytes / 1e6:>8.1f} MB {self.refused:>8,} refused "
            f"{self.slowest_s:>6.2f} s at most {len(self.failures):>4} failures"
        )


def all_readers(folder: Path) -> dict[str, Callable[[], Reader]]:
    """Name -> what makes the reader, in its own folder below ``folder``."""

    def at(name: str, file: str) -> Path:
        place = folder / name
        place.mkdir()
        return place / file

    return {
        "checkpoint": lambda: _checkpoint(at("checkpoint", "x.safetensors")),
        "npz": lambda: _npz(at("npz", "x.npz")),
        "csv": lambda: _table(at("csv", "x.csv"), CSV),
        "sto": lambda: _table(at("sto", "x.sto"), STO),
        "dataset": lambda: _dataset(at("dataset", "x.toml")),
        "key-map": lambda: _key_map(at("key-map", "x.toml")),
        "recipe": lambda: _recipe(at("recipe", "x.json")),
        "split": lambda: _split(at("split", "x.json")),
        "budgets": lambda: _budgets(at("budgets", "x.toml")),
        "config": lambda: _config(at("config", "x.toml")),
        "contract": lambda: _contract(at("contract", "x.json")),
        "manifest": lambda: _manifest(at("manifest", "manifest.json")),
        "tflite": lambda: _tflite(at("tflite", "x.tflite")),
        "etl": lambda: _etl(at("etl", "x.etl")),
        "recover": lambda: _recover(at("recover", "x.etl")),
        "pytorch": lambda: _pytorch(at("pytorch", "x.pt")),
        "pt2": lambda: _pt2(at("pt2", "x.pt2")),
    }


def _checkpoint(path: Path) -> Reader:
    valid = [Checkpoint.random(SMALL, seed).to_bytes() for seed in (1, 2)]
    return Reader(valid, mutants.safetensors, path, _inspected)


def _inspected(path: Path) -> None:
    """As a user would: loaded, described and shown."""
    from click.testing import CliRunner

    from edgetool.cli import edgetool

    CliRunner().invoke(edgetool, ["inspect", str(path)], catch_exceptions=False)


def _npz(path: Path) -> Reader:
    write_recording(path, load("synthetic:people=1,seconds=1,tasks=level")[0])
    valid = [path.read_bytes()]
    np.savez(path, time=np.arange(4) / 100, a=np.arange(4.0), b=np.arange(4, dtype=np.float32))
    valid.append(path.read_bytes())

    def read(file: Path) -> None:
        with contextlib.suppress(RecordingError):
            load(str(file))
        _columns(file)

    return Reader(valid, mutants.npz, path, read)


def _table(path: Path, text: str) -> Reader:
    return Reader(
        [text.encode(), text.replace("\n", "\r\n").encode("utf-8-sig")], mutants.text, path, _columns
    )


def _columns(path: Path) -> None:
    table = readers.read(path)
    times = table.time_axis("time", 100.0)
    assert np.isfinite(table.columns(["a", "b"], times)).all()


def _dataset(path: Path) -> Reader:
    from toolkit.data.export import export

    recording = load("synthetic:people=1,seconds=2,tasks=level")[:1]
    export(recording, path.parent / "data", "csv")
    for file in (path.parent / "data").iterdir():
        shutil.move(file, path.parent)
    valid = [
        (path.parent / "dataset.toml").read_bytes(),
        (ROOT / "examples/opensim_walk36.toml").read_bytes(),
    ]
    return Reader(valid, mutants.text, path, lambda file: load(str(file)))


def _key_map(path: Path) -> Reader:
    from toolkit.model.foreign import read_key_map

    text = (
        'contract = "x.json"\nignore = ["a"]\ninside = "model"\n[model]\nhidden = 4\n[target]\nmean = [0.1, 2]\nstd = [1, 2]\n'
        '[weights]\n"imu.lstm.0.weight_ih" = "rnn.w"\nb = ["x", "y"]\nc = { key = "z", rows = [0, 4], transpose = true }\n'
    )
    return Reader([text.encode()], mutants.text, path, read_key_map)


def _recipe(path: Path) -> Reader:
    from quantization.quantizer.recipe import Recipe
    from toolkit.reading import read_json_object

    valid = json.dumps(Recipe().to_json()).encode()
    return Reader(
        [valid], mutants.text, path, lambda file: Recipe.from_json(read_json_object(file, "a recipe"))
    )


def _split(path: Path) -> Reader:
    from toolkit.data.split_text import parse_split

    valid = [
        b'{"kind": "chronological", "fractions": [0.6, 0.1, 0.3]}',
        b'{"kind": "by-subject", "people": {"train": ["a"], "validation": ["b"], "test": ["c", "d"]}}',
    ]
    return Reader(valid, mutants.text, path, lambda file: parse_split(str(file), [], 0))


def _budgets(path: Path) -> Reader:
    from benchmarks.validation.bounds import read_bounds

    text = 'max_rmse_increase_pct = 2.0\n[target."qemu:cortex-m4"]\nmax_instructions = 3_000_000\nmax_ram_bytes = 30000\n'
    return Reader(
        [text.encode()], mutants.text, path, lambda file: read_bounds(file, ("host", "qemu:cortex-m4"))
    )


def _config(path: Path) -> Reader:
    from runtime.config import read_config

    text = (ROOT / "examples/run.toml").read_text()
    keys = "\n".join(
        line.removeprefix("# ") if "=" in line or line.startswith("# [") else line
        for line in text.splitlines()
    )
    return Reader([text.encode(), keys.encode()], mutants.text, path, read_config)


def _contract(path: Path) -> Reader:
    from quantization.tflite.contract import parse_contract

    contract = Checkpoint.random(SMALL, 3).contract
    valid = json.dumps({"contract": contract.to_json(), "hash": contract.hash}).encode()
    return Reader([valid], mutants.text, path, lambda file: parse_contract(file.read_bytes(), str(file)))


def _bundle(folder: Path) -> Path:
    from quantization.convert import convert
    from toolkit.model import pretrained

    convert(pretrained(), "synthetic:people=3,seconds=3,tasks=level", folder, calibration_windows=8)
    return folder


def _manifest(path: Path) -> Reader:
    bundle = _bundle(path.parent / "bundle")
    valid = (bundle / "manifest.json").read_bytes()
    return Reader([valid], mutants.text, bundle / "manifest.json", lambda file: _inspected(file.parent))


def _tflite(path: Path) -> Reader:
    from quantization.converters import builtin
    from quantization.tflite.contract import embed_contract
    from tests.quantization import small_models

    checkpoint = Checkpoint.random(small_models.SMALL, 4)
    graphs = builtin.build(checkpoint, small_models.windows(checkpoint, 16), scheme="int8")
    valid = [embed_contract(graph.content, checkpoint.contract) for graph in graphs]
    return Reader(valid, mutants.one_of(*mutants.BYTES, mutants.number), path, _inspected)


def _recorded(path: Path) -> bytes:
    import asyncio

    from firmware_bridge.tools.record import record

    asyncio.run(record(["sim://synthetic?drop=0.01"], path, 0.3))
    content = path.read_bytes()
    path.unlink()
    return content


def _etl(path: Path) -> Reader:
    from firmware_bridge.tools.replay import replay

    return Reader([_recorded(path)], mutants.recording, path, replay)


def _recover(path: Path) -> Reader:
    from firmware_bridge.recording.recover import recover

    def read(file: Path) -> None:
        out = file.with_suffix(".mended")
        out.unlink(missing_ok=True)
        recover(file, out)

    return Reader([_recorded(path)], mutants.recording, path, read)


def _pytorch(path: Path) -> Reader:
    import torch

    from toolkit.model.foreign import read_tensors

    tensors = {"a": torch.zeros(3, 4), "b": torch.arange(5.0)}
    torch.save(tensors, path)
    valid = [path.read_bytes()]
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    return Reader([*valid, path.read_bytes()], mutants.raw, path, read_tensors)


def _pt2(path: Path) -> Reader:
    """Exported networks, read and run; nothing of them is unpickled."""
    import torch

    from quantization.importers.evaluate import run as evaluate
    from quantization.importers.torch_export import parse_network
    from tests.quantization.importers.networks import Sizes, exported, made

    valid = []
    for name, channels in (("lstm", (3,)), ("cnn-lstm", (3,)), ("her-cross-lstm", (3, 2))):
        sizes = Sizes(channels, window=4, hidden=4)
        inputs = tuple(torch.zeros(1, sizes.window, c) for c in channels)
        valid.append(exported(made(name, sizes), inputs))

    def read(file: Path) -> None:
        program = parse_network(file.read_bytes(), file.name)
        with np.errstate(all="ignore"):
            evaluate(program, {n: np.zeros(shape) for n, shape in program.inputs.items()})

    return Reader(valid, mutants.pt2, path, read)


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"a reader took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(reader: Reader, seed: int, *, count: int = 0, size: int = 0, keep: Path | None = None) -> Outcome:
    """Mutants until there are ``count`` of them or ``size`` bytes; the same for a seed. Failures stay in ``keep``."""
    rng = random.Random(seed)
    outcome = Outcome()
    while outcome.mutants < count or outcome.bytes < size:
        mutant = reader.mutate(rng.choice(reader.valid), rng)
        reader.path.write_bytes(mutant)
        outcome.mutants += 1
        outcome.bytes += len(mutant)
        started = time.monotonic()
        try:
            with _time_limit():
                reader.read(reader.path)
        except EdgetoolError:
            outcome.refused += 1
        except Exception as error:
            outcome.failures.append(
                f"mutant {outcome.mutants} of seed {seed}: {type(error).__name__}: {error}"[:300]
            )
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                place = keep / f"{reader.path.name}.{seed}.{outcome.mutants}"
                place.write_bytes(mutant)
                place.with_name(place.name + ".txt").write_text(
                    traceback.format_exc(), errors="backslashreplace"
                )
        outcome.slowest_s = max(outcome.slowest_s, time.monotonic() - started)
    return outcome


def main() -> int:
    """The long run; exit code 1 if a reader raised anything but an EdgetoolError."""
    parser = argparse.ArgumentParser(description="Mutants of valid files through every reader.")
    parser.add_argument("--megabytes", type=float, default=100, help="in all, in equal parts (default 100)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reader", help="only this one")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="folder of mutants that fail")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    failed, total = 0, 0
    with tempfile.TemporaryDirectory(prefix="edgetool-fuzz-") as folder:
        makers = all_readers(Path(folder))
        names = [given.reader] if given.reader else list(makers)
        for name in names:
            outcome = run(
                makers[name](), given.seed, size=int(given.megabytes * 1e6 / len(names)), keep=given.keep
            )
            print(f"{name:<12}{outcome}", flush=True)
            for failure in outcome.failures[:5]:
                print(f"    {failure}", flush=True)
            failed, total = failed + len(outcome.failures), total + outcome.bytes
    print(f"{total / 1e6:.1f} MB of mutants, {failed} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
