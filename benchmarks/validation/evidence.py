"""The evidence of a validation: a folder that two runs on the same emulated target write byte for byte alike.

No dates, no paths, no times but in ``measured.json``, which is there only if something was timed. Counts of instructions
jitter by a tick of the counter (6 to 50 instructions): the evidence gives their mean over all inferences, to four digits. An
interrupt comes at a moment that no run repeats: the evidence gives the stack after the undisturbed golden vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from math import floor, isfinite, log10
from pathlib import Path
from typing import Any

from benchmarks.report import json_file as report_json
from benchmarks.validation.verdict import Check, Verdict
from quantization.bundle import GOLDEN, MANIFEST
from toolkit import __version__
from toolkit.files import write_bytes, write_json

SCHEMA = 1
VERDICT = "verdict.json"
#: What depends on the machine and the moment, of a row's figures.
_PASSING = ("resent_requests", "damaged_frames", "time_us", "simd_limit_pct", "machine", "machine_after")


def fill(folder: Path, verdict: Verdict) -> None:
    """Write all evidence into the empty ``folder``."""
    write_json(folder / VERDICT, verdict_json(verdict))
    report = report_json.to_json(verdict.report)
    write_json(folder / "report.json", lasting(report))
    timed = times(report)
    if timed:
        write_json(folder / "measured.json", {"machine": report["machine"], "rows": timed})
    write_json(folder / "build.json", {target: _build(verdict, target) for target in verdict.targets})
    write_bytes(folder / GOLDEN, verdict.bundle.files[GOLDEN])
    write_bytes(folder / MANIFEST, verdict.bundle.manifest_content)
    if verdict.bounds.text:
        write_bytes(folder / "budgets.toml", verdict.bounds.text.encode())
    names = sorted(path.name for path in folder.iterdir())
    sums = "".join(f"{_sha256(folder / name)}  {name}\n" for name in names)
    write_bytes(folder / "SHA256SUMS", sums.encode())


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Schema 1; docs/TARGETS.md names the fields."""
    return {
        "schema": SCHEMA,
        "edgetool": __version__,
        "passed": not verdict.failed,
        "targets": list(verdict.targets),
        "contract_hash": verdict.bundle.contract.hash,
        "checkpoint_hash": verdict.bundle.checkpoint.hash,
        "signer": verdict.report.bundle["signer"],
        "checks": [_check(check) for check in verdict.checks],
        "not_judged": [vars(one) for one in verdict.not_judged],
    }


def _check(check: Check) -> dict[str, Any]:
    value = four_digits(check.value) if check.label == "emulated" else check.value
    return {**vars(check), "value": value if isfinite(value) else None, "passed": check.passed}


def four_digits(value: float) -> float:
    """``value`` rounded to four significant digits."""
    if value == 0 or not isfinite(value):
        return value
    return round(value, 3 - floor(log10(abs(value))))


def lasting(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report's JSON without what depends on machine or moment."""
    bundle = {name: value for name, value in report["bundle"].items() if name != "name"}
    runs = [_lasting_run(run) for run in report["runs"]]
    kept = {name: report[name] for name in ("schema", "data", "skipped")}
    return {**kept, "bundle": bundle, "settings": report["settings"], "runs": runs}


def _lasting_run(run: Mapping[str, Any]) -> dict[str, Any]:
    # The native engine is compiled for the processor: its size, and its version that names it, are of one machine.
    passing = ("latency", "figures", *(("size", "engine_version") if run["engine"] == "native" else ()))
    kept = {name: value for name, value in run.items() if name not in passing}
    figures = {name: value for name, value in run.get("figures", {}).items() if name not in _PASSING}
    if "instructions" in figures:
        counted = figures["instructions"]
        figures["instructions"] = {"label": counted["label"], "mean": four_digits(counted["mean"])}
    figures.pop("cycles", None)
    if "stack_bytes" in figures:
        stack = figures["stack_bytes"]
        figures["stack_bytes"] = {"label": stack["label"], "at_start": stack["at_start"]}
    if "ram_bytes" in figures:
        figures["ram_bytes"] = {
            name: value for name, value in figures["ram_bytes"].items() if name != "library_with_stack"
        }
    return {**kept, **({"figures": figures} if figures else {})}


def times(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was timed or counted in cycles, of the rows that budgets are for: int8 rows of this bundle."""
    found = []
    for run in report["runs"]:
        cycles = run.get("figures", {}).get("cycles")
        own = run["scheme"] != "float32" and run["converter"] == "edgetool"
        if own and (run["latency"] is not None or cycles is not None):
            row = {name: run[name] for name in ("target", "engine", "graph", "scheme", "latency")}
            found.append({**row, **({"cycles": cycles} if cycles is not None else {})})
    return found


def _build(verdict: Verdict, target: str) -> dict[str, Any]:
    """How the image that was judged on ``target`` came about."""
    build = verdict.report.builds.get(target)
    if build is None:
        return {"note": "nothing was built here for this target"}
    return {**vars(build), "flags": list(build.flags), "sources": dict(build.sources)}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
