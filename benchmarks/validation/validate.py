"""Pass or fail of a bundle on a target, for continuous integration: budgets, bit-exactness, evidence (docs/TARGETS.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.bench import WINDOWS, bench
from benchmarks.budgets import deployed
from benchmarks.records import NotJudged, Report, Run
from benchmarks.report.headline import differences
from benchmarks.stress.bounds import broken
from benchmarks.stress.bounds import read_bounds as read_stress_bounds
from benchmarks.stress.stress import stress as stress_test
from benchmarks.targets import require_known
from benchmarks.validation import evidence
from benchmarks.validation.bounds import (
    FIGURES,
    OF_IMAGE,
    Bounds,
    read_bounds,
)
from benchmarks.validation.verdict import Check, Verdict
from quantization.bundle import Bundle
from quantization.c_emitter.bundle_files import FOLDER, source_files
from quantization.c_emitter.emit import DEFAULT_PREFIX
from quantization.reference import Interpreter
from quantization.tflite.file import graph_of
from toolkit.errors import BudgetError, InputError, UsageError
from toolkit.files import new_folder, write_json
from toolkit.plausibility import Familiar
from toolkit.progress import Progress


def validate(
    bundle: str | Path | Bundle,
    on: Sequence[str] = ("host",),
    *,
    budgets: str | Path | None = None,
    data: str | None = None,
    out: str | Path | None = None,
    json: str | Path | None = None,
    stress: str | Path | None = None,
    windows: int = WINDOWS,
    seed: int = 0,
    progress: Progress | None = None,
    show: Callable[[Verdict], None] | None = None,
) -> Verdict:
    """Bench ``bundle`` on the targets ``on`` and hold its int8 rows against the ``budgets`` file.

    Whatever the file says, a device must give the integer reference's outputs bit for bit, pass its golden vectors, and the
    bundle's golden vectors must be the reference's; the C in the bundle must be what is generated for it here. ``out``
    is a folder for evidence: on an emulated target two runs write the same bytes. ``json`` is the verdict
    alone. ``stress`` is a TOML of bounds on a stress test (:mod:`benchmarks.stress.bounds`), which is run then. Other
    arguments as for :func:`benchmarks.bench.bench`.

    Raises BudgetError (exit code 1) that names what failed, after ``show`` was called and files were written;
    InputError for a budget file with an unknown key, OutputError at once if ``out`` cannot be written, and what bench raises.
    """
    require_known(on)
    loaded = bundle if isinstance(bundle, Bundle) else Bundle.load(Path(bundle))
    bounds = read_bounds(Path(budgets), tuple(on)) if budgets is not None else Bounds()
    with _evidence_folder(out) as folder:  # that it can be written is known before any work
        report = bench(loaded, data, on=on, windows=windows, seed=seed, progress=progress)
        verdict = _verdict(loaded, tuple(on), bounds, report)
        if stress is not None:
            check = stress_check(loaded, Path(stress), data, seed, progress)
            verdict = replace(verdict, checks=(*verdict.checks, check))
        if folder is not None:
            evidence.fill(folder, verdict)
    if json is not None:
        write_json(Path(json), evidence.verdict_json(verdict))
    if show is not None:
        show(verdict)
    if verdict.failed:
        raise BudgetError("validation failed: " + "; ".join(str(check) for check in verdict.failed))
    return verdict


def _evidence_folder(out: str | Path | None) -> AbstractContextManager[Path | None]:
    """A new folder that becomes ``out``; an earlier evidence folder there is replaced, nothing else is."""
    return nullcontext() if out is None else new_folder(Path(out), replace_if=evidence.VERDICT)


def _verdict(bundle: Bundle, on: tuple[str, ...], bounds: Bounds, report: Report) -> Verdict:
    own = [golden_check(bundle), source_check(bundle)]
    checks = [check for check in own if check is not None]
    missing: list[NotJudged] = []
    for target in on:
        found, without = judge_target(report, target, bounds)
        checks += found
        missing += without
    return Verdict(bundle, on, bounds, tuple(checks), tuple(missing), report)


def judge_target(report: Report, target: str, bounds: Bounds) -> tuple[list[Check], list[NotJudged]]:
    """Checks of the int8 rows of one target. InputError if its own table bounds what it does not give."""
    rows = [run for run in (*deployed(report.runs), *report.devices) if run.measured.target == target]
    if not rows:
        raise UsageError(
            f"target {target} gave no row of an int8 graph; convert the bundle with --scheme int8"
        )
    checks = _of_device(target, rows)
    missing = []
    for name, bound in bounds.of(target).items():
        found = [(run, figure) for run in rows if (figure := FIGURES[name](run)) is not None]
        if name in OF_IMAGE:  # the same whichever graph runs
            found = found[-1:]
        for run, (value, label) in found:
            row = "image" if name in OF_IMAGE else _row(run)
            checks.append(Check(target, row, name, value, bound, label))
        if not found and name in bounds.of_target.get(target, {}):
            raise InputError(
                f"{bounds.name}:{bounds.line(target, name)}: {target} has no figure for {name}; take it out"
            )
        if not found:
            missing.append(NotJudged(target, name, "this target has no such figure"))
    return checks, missing


def _of_device(target: str, rows: Sequence[Run]) -> list[Check]:
    """What a device must hold whatever the budgets: the reference's outputs, and its golden vectors at boot."""
    checks, label = [], "computed"
    for run in rows:
        exact = run.measured.figures.get("bit_exact")
        if exact is not None:
            detail = differences(run) if exact["differing"] else ""
            checks.append(
                Check(target, _row(run), "differing_outputs", float(exact["differing"]), 0.0, label, detail)
            )
    tests = [run.measured.figures["self_test"] for run in rows if "self_test" in run.measured.figures]
    if tests:
        failed = float(any(result != "passed" for result in tests))
        checks.append(Check(target, "image", "failed_self_test", failed, 0.0, label))
    return checks


def _row(run: Run) -> str:
    """A row's name; on a device there is one engine, and its graph says all."""
    return run.measured.graph if "bit_exact" in run.measured.figures else run.measured.name


def stress_check(
    bundle: Bundle, bounds: Path, data: str | None, seed: int, progress: Progress | None
) -> Check:
    """Bounds on sensors that are worn wrongly, mistaken or broken, of which none may be broken.

    Only what the bounds name is run; everything if one of them names nothing.
    """
    asked = read_stress_bounds(bounds)
    names = dict.fromkeys(bound.where.get("name", "") for bound in asked)
    report = stress_test(bundle, data, only=() if "" in names else tuple(names), seed=seed, progress=progress)
    wrong = broken(asked, report.rows)
    detail = "; ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
    return Check("bundle", "stress", "broken_bounds", float(len(wrong)), 0.0, "computed", detail)


def golden_check(bundle: Bundle) -> Check | None:
    """Golden windows whose TFLM outputs are not the integer reference's; None if the bundle has no such vectors."""
    vectors = bundle.golden
    if "moments.window.int8.tflm" not in vectors:
        return None
    graph = graph_of(bundle.graph("window", "int8"))
    names = [item.stream.name for item in bundle.contract.inputs]
    given = [vectors[f"{name}.window.int8"][:, None] for name in names]
    interpreter = Interpreter(graph)
    interpreter.run(given)
    expected = vectors["moments.window.int8.tflm"]
    outputs = interpreter.tensor_at(graph.outputs[0]).reshape(expected.shape)
    wrong = np.flatnonzero((outputs != expected).any(axis=1))
    detail = (
        f"{len(wrong)} of {len(outputs)} golden windows differ; first window {wrong[0]}" if len(wrong) else ""
    )
    return Check("bundle", "golden", "differing_outputs", float(len(wrong)), 0.0, "computed", detail)


def source_check(bundle: Bundle) -> Check | None:
    """Files of the bundle's C that are not what its graphs give here; None for a bundle without C.

    A device runs C that is generated from the graphs, so that what the bundle hands out is validated only if it is the same: it
    is not after an edgetool of another version.
    """
    about = bundle.manifest.get("c")
    if not about:
        return None
    golden = {item.stream.name: bundle.golden[item.stream.name] for item in bundle.contract.inputs}
    options = (about["target"], about["prefer"], about.get("prefix", DEFAULT_PREFIX))
    known = Familiar.of(bundle.checkpoint)
    made, _ = source_files(bundle.graphs, bundle.contract, golden, *options, bundle.error_bars, known)
    names = {name for name in bundle.manifest["files"] if name.startswith(f"{FOLDER}/")} | set(made)
    differing = sum(bundle.files.get(name) != made.get(name) for name in names)
    return Check("bundle", FOLDER, "differing_sources", float(differing), 0.0, "computed")
