"""Two checkouts side by side: ``python -m benchmarks.studies.compare_checkouts OLD NEW``.

Both convert the shipped checkpoint and a few drawn ones, for every core and profile, and bench it on this machine. The
.tflite files, the checkpoint and the golden vectors must be equal to the byte; the generated C must be equal once the names
in ``RENAMED`` are replaced (the order of includes and objects, which follows names, and the wrapping of lines do not
count); the bench's figures must be equal to the last digit, but for times. Prints a table, with the ratios of the seconds;
exit 1 on a difference.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toolkit.cores import CORES
from toolkit.errors import InputError
from toolkit.model import pretrained
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig

#: Words of the generated C and stems of its files: before, after.
RENAMED: dict[str, str] = {
    "et_sum": "et_add_flat",
    "et_sum_s16": "et_add_flat_s16",
    "et_product": "et_multiply_flat",
    "et_product_s16": "et_multiply_flat_s16",
    "et_dense": "et_fully_connected_sum32",
    "et_dense_s16": "et_fully_connected_sum32_s16",
    "et_dense_arm": "et_fully_connected_arm",
    "et_dense_dsp": "et_fully_connected_dsp",
    "et_dense_mve": "et_fully_connected_mve",
    "et_dense_mve_s16": "et_fully_connected_mve_s16",
    "et_dense_mve_s8": "et_fully_connected_mve_s8",
    "et_dense_units": "et_fully_connected_units",
    "et_mixed_matmul": "et_batch_matmul_mixed",
    "et_mixed_matmul_s16": "et_batch_matmul_mixed_s16",
    "et_mixed_arm": "et_batch_matmul_arm",
    "et_mixed_dsp": "et_batch_matmul_dsp",
    "et_mixed_mve": "et_batch_matmul_mve",
    "et_mixed_rows": "et_batch_matmul_rows",
    "et_mixed_columns": "et_batch_matmul_columns",
    "et_segments": "et_piecewise_linear",
    "et_segments_mve": "et_piecewise_linear_mve",
    "et_segments_sigmoid": "et_piecewise_linear_sigmoid",
    "et_segments_tanh": "et_piecewise_linear_tanh",
    "ET_DENSE_H": "ET_FULLY_CONNECTED_SUM32_H",
    "ET_DENSE_ARM_H": "ET_FULLY_CONNECTED_ARM_H",
    "ET_MIXED_ARM_H": "ET_BATCH_MATMUL_ARM_H",
    "ET_SEGMENTS_H": "ET_PIECEWISE_LINEAR_H",
}
#: Kernels that were written anew with the same results, and why; the emulated boards' tests hold their bits.
REWRITTEN: dict[str, str] = {
    "et_inverse_root.c": "GCC 12.2 stopped with an internal error for RISC-V",
    "et_softmax_template.h": "GCC 12.2 stopped with an internal error for RISC-V",
}
#: Files of a bundle that the older version did not write.
ADDED: dict[str, str] = {"sbom.cdx.json": "the list of what the bundle is made of"}
#: Figures that are meant to differ, by the end of their place in the bench's JSON, and why.
CHANGED: dict[str, str] = {
    "size model_bytes": "the native engine's library holds the model alone, without the kernels of the filters",
}
#: Of the bench: keys whose figures are times, or say what made a row and not what came out.
_NOT_FIGURES = ("latency", "how", "engine_version", "converter", "compared_with")
_WORD = re.compile(r"\b(?:et|ET)_\w+")
_DRAWN = (
    ModelConfig(window=12, hidden=8, head_hidden=5),
    ModelConfig(window=7, hidden=18, heads=3, layers=2, head_hidden=9),
)


@dataclass(frozen=True)
class Checkout:
    """A folder with a version of edgetool, run by this Python."""

    path: Path

    def run(self, *arguments: str | Path) -> float:
        """Seconds of processor time of one command, which a busy machine lengthens less than those on the wall.

        InputError with the command's last line if it fails.
        """
        start = _children_seconds()
        done = self._call([str(argument) for argument in arguments])
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise InputError(f"{self.path}: edgetool {arguments[0]} failed: {last}")
        return _children_seconds() - start

    @property
    def core_option(self) -> str:
        """What names the core of ``convert``; it was ``--target``."""
        return "--core" if "--core" in self._call(["convert", "--help"]).stdout else "--target"

    def _call(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        scripts = tomllib.loads((self.path / "pyproject.toml").read_text())["project"]["scripts"]
        module, _, function = scripts["edgetool"].partition(":")
        program = (
            f"import sys; from {module} import {function}; sys.argv[0] = 'edgetool'; sys.exit({function}())"
        )
        own = {"PYTHONPATH": str(self.path), "PYTHONHASHSEED": "0"}
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=tempfile.gettempdir(),
            env={**os.environ, **own},
            capture_output=True,
            text=True,
        )


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass
class Comparison:
    """What was found: a row each with its differences, and seconds of both checkouts by command."""

    rows: list[tuple[str, list[str]]] = field(default_factory=list)
    seconds: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """True if nothing differs."""
        return not any(differences for _, differences in self.rows)

    def text(self) -> str:
        """The table."""
        lines = []
        for name, differences in self.rows:
            lines.append(f"{name:<40} {'equal' if not differences else f'{len(differences)} differences'}")
            lines += [f"    {difference}" for difference in differences[:10]]
        for name, pairs in self.seconds.items():
            old, new = (sorted(column)[len(column) // 2] for column in zip(*pairs))
            lines.append(
                f"{name:<40} {old:.2f} s before, {new:.2f} s after: {new / old:.2f} (median of {len(pairs)})"
            )
        lines += [f"written anew: {name}: {reason}" for name, reason in REWRITTEN.items()]
        lines += [f"not compared: {name}: {reason}" for name, reason in {**ADDED, **CHANGED}.items()]
        return "\n".join(lines)


def compare(
    old: Checkout, new: Checkout, folder: Path, *, models: int, windows: int, repeats: int
) -> Comparison:
    """Converts and benches with both checkouts, in turn, in ``folder``."""
    found = Comparison()
    for checkpoint in ("pretrained", *_drawn(folder, models)):
        for core in CORES:
            for prefer in ("speed", "size"):
                _convert(found, (old, new), checkpoint, core, prefer, folder)
    for turn in range(repeats):
        pair = {}
        for which, checkout in _turns(old, new, turn):
            bundle, report = folder / f"pretrained-c99-speed-{which}", folder / f"bench-{which}.json"
            data = ("--data", "synthetic", "--on", "host", "--windows", str(windows), "--json", report)
            pair[which] = checkout.run("bench", bundle, *data)
        found.seconds.setdefault("bench", []).append((pair["old"], pair["new"]))
    reports = [json.loads((folder / f"bench-{which}.json").read_text()) for which in ("old", "new")]
    found.rows.append(("bench of pretrained", list(figure_differences(*map(figures, reports)))))
    return found


def _turns(old: Checkout, new: Checkout, turn: int) -> list[tuple[str, Checkout]]:
    """Which goes first changes, so that a machine that grows slower or faster favours neither."""
    order = [("old", old), ("new", new)]
    return order if turn % 2 == 0 else order[::-1]


def _drawn(folder: Path, count: int) -> Iterator[str]:
    """Files of random checkpoints for the shipped one's data."""
    shipped = Checkpoint.load(pretrained())
    for number, config in enumerate(_DRAWN[:count]):
        drawn = Checkpoint.random(config, seed=number)
        contract = replace(shipped.contract, window=drawn.config.window)
        path = folder / f"drawn{number}.safetensors"
        replace(drawn, contract=contract, split=shipped.split).save(path)
        yield str(path)


def _convert(
    found: Comparison, pair: tuple[Checkout, Checkout], checkpoint: str, core: str, prefer: str, folder: Path
) -> None:
    name = f"{Path(checkpoint).stem} {core} {prefer}"
    data = "synthetic" if checkpoint == "pretrained" else "synthetic:people=2"
    seconds = {}
    for which, checkout in _turns(*pair, len(found.rows)):
        out = folder / f"{name.replace(' ', '-')}-{which}"
        words = ("--data", data, "--out", out, checkout.core_option, core, "--prefer", prefer)
        seconds[which] = checkout.run("convert", checkpoint, *words)
    bundles = [folder / f"{name.replace(' ', '-')}-{which}" for which in ("old", "new")]
    found.rows.append((name, list(bundle_differences(*bundles))))
    found.seconds.setdefault("convert", []).append((seconds["old"], seconds["new"]))


def bundle_differences(old: Path, new: Path) -> Iterator[str]:
    """What two bundles differ in, but for their manifests' words."""
    before, after = _files(old), _files(new)
    before = {_renamed(name): content for name, content in before.items()}
    for name in sorted(before.keys() ^ (after.keys() - ADDED.keys())):
        yield f"{name} is only {'before' if name in before else 'after'}"
    for name in sorted(before.keys() & after.keys()):
        if Path(name).name in REWRITTEN or before[name] == after[name]:
            continue
        if not name.startswith("c/") or normal(name, _renamed(before[name].decode())) != normal(
            name, after[name].decode()
        ):
            yield f"{name} differs"


def _files(bundle: Path) -> dict[str, bytes]:
    paths = [path for path in sorted(bundle.rglob("*")) if path.is_file() and path.name != "manifest.json"]
    return {path.relative_to(bundle).as_posix(): path.read_bytes() for path in paths}


def _renamed(text: str) -> str:
    """``text`` with every word of ``RENAMED`` replaced."""
    return _WORD.sub(lambda word: RENAMED.get(word[0], word[0]), text)


def normal(name: str, text: str) -> str:
    """A file of C without what follows from the length and the order of names."""
    if name.endswith(("Makefile", "CMakeLists.txt")):
        return " ".join(sorted(text.split()))
    lines = text.split("\n")
    includes = sorted(line for line in lines if line.startswith("#include"))
    rest = "\n".join(line for line in lines if not line.startswith("#include"))
    return "\n".join([*includes, re.sub(r"\s+(?:\* )?", " ", rest)])


def figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """Every figure of a bench's rows by its place."""
    found: dict[str, Any] = {}

    def walk(place: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                if key not in _NOT_FIGURES:
                    walk(f"{place} {key}", inner)
        else:
            found[place] = value

    for run in report["runs"]:
        walk(" ".join(run[key] for key in ("engine", "scheme", "graph")), run)
    return found


def figure_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """What two benches' figures differ in, but for ``CHANGED``."""
    for place in old.keys() | new.keys():
        if place not in old or place not in new:
            yield f"{place} is only {'before' if place in old else 'after'}"
        elif old[place] != new[place] and not place.endswith(tuple(CHANGED)):
            yield f"{place}: {old[place]} before, {new[place]} after"


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument(
        "--models", type=int, default=len(_DRAWN), help="drawn checkpoints beside the shipped one"
    )
    parser.add_argument("--windows", type=int, default=2000, help="of the bench")
    parser.add_argument("--repeats", type=int, default=3, help="of the bench, for its seconds")
    asked = parser.parse_args(arguments)
    old, new = Checkout(asked.old.resolve()), Checkout(asked.new.resolve())
    with tempfile.TemporaryDirectory(prefix="edgetool-compare-") as folder:
        found = compare(
            old, new, Path(folder), models=asked.models, windows=asked.windows, repeats=asked.repeats
        )
    print(found.text())
    return 0 if found.equal else 1


if __name__ == "__main__":
    sys.exit(main())
