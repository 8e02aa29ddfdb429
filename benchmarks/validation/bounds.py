"""Budgets of a validation: a small TOML, the figure of a row that each is held against, and what breaks them.

rmse_increase_pct = 1.5
window_instructions = 3_400_000
flash_bytes = 96_000

[target."qemu:cortex-m55"]      # stands in for the bounds above on that target
window_instructions = 1_000_000
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.records import Run
from toolkit.errors import InputError
from toolkit.reading import read_text
from toolkit.toml_lines import Lines

#: A row's figure and how it came about ("computed", "measured", "emulated"); None if the row has none.
Figure = Callable[[Run], tuple[float, str] | None]
#: Frame of an interrupt with floating-point registers (26 words, Armv7-M Architecture Reference Manual B1.5.7), and what the
#: firmware's handlers save themselves.
INTERRUPT_BYTES = 4 * 26 + 40


def _instructions(graph: str) -> Figure:
    def read(run: Run) -> tuple[float, str] | None:
        counted = run.measured.figures.get("instructions")
        if run.measured.graph != graph or counted is None:
            return None
        return float(counted["mean"]), str(counted["label"])

    return read


def _flash(run: Run) -> tuple[float, str] | None:
    sizes = run.measured.figures.get("flash_bytes")
    return (float(sizes["library"]), str(sizes["label"])) if isinstance(sizes, Mapping) else None


def _ram(run: Run) -> tuple[float, str] | None:
    """State, and the stack that the golden vectors took undisturbed, with room for an interrupt where it is deepest.

    When an interrupt comes is the same in no two runs, so that what it adds is bounded and not left to chance; what the
    run itself has seen counts if it is more.
    """
    sizes, stack = run.measured.figures.get("ram_bytes"), run.measured.figures.get("stack_bytes")
    if not isinstance(sizes, Mapping) or not isinstance(stack, Mapping):
        return None
    deepest = max(stack["at_start"] + INTERRUPT_BYTES, stack["value"])
    return float(sizes["library"] + deepest), str(sizes["label"])


def _p99(run: Run) -> tuple[float, str] | None:
    """Only what was measured where the model is to run: no emulator's time, and not TFLM's on a workstation."""
    latency = run.measured.latency
    if latency is None or latency.label != "measured" or not run.measured.judged_latency:
        return None
    return latency.p99_us / 1000.0, "measured"


#: Budgets by name: each is an upper bound.
FIGURES: dict[str, Figure] = {
    "rmse_increase_pct": lambda run: (run.accuracy.overall.rmse_increase_pct, "computed"),
    "error_vs_float_pct": lambda run: (run.accuracy.overall.error_vs_float_pct, "computed"),
    "window_instructions": _instructions("window"),
    "step_instructions": _instructions("stream"),
    "flash_bytes": _flash,
    "ram_bytes": _ram,
    "p99_ms": _p99,
}
#: Of these a target has one, whichever graph runs.
OF_IMAGE = ("flash_bytes", "ram_bytes")


@dataclass(frozen=True)
class Bounds:
    """``general`` bounds, and those of single targets that stand in for them; ``text`` is the file as it was."""

    general: Mapping[str, float] = field(default_factory=dict)
    of_target: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    text: str = ""
    name: str = "budgets"

    def of(self, target: str) -> dict[str, float]:
        """The bounds that hold on ``target``."""
        return {**self.general, **self.of_target.get(target, {})}

    def line(self, target: str, budget: str) -> int:
        """Where the bound of ``budget`` on ``target`` stands."""
        own = budget in self.of_target.get(target, {})
        return Lines(self.text).of(("target", target, budget) if own else (budget,))


def read_bounds(path: Path, targets: tuple[str, ...]) -> Bounds:
    """Read a budget file; InputError names file and line of what is not allowed in it.

    A table of a target that is not in ``targets`` is fine (one file serves several jobs), a misspelt budget is not.
    """
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            f"budget file {path} cannot be read: {reason}; give a TOML (docs/TARGETS.md)"
        ) from None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = found[1] if found else str(len(text.splitlines()))
        raise InputError(f"{path}:{line}: not TOML: {error}; correct it there") from None
    except (ValueError, RecursionError) as error:  # tomllib's own limits, without a place
        raise InputError(f"{path}: not TOML that can be read: {error or 'it is nested too deep'}") from None
    lines = Lines(text)
    own = values.pop("target", {})
    if not isinstance(own, dict) or not all(isinstance(table, dict) for table in own.values()):
        raise InputError(
            f'{path}:{lines.of(("target",))}: target must hold tables: write [target."{targets[0]}"]'
        )
    general = _table(path, lines, (), values)
    of_target = {name: _table(path, lines, ("target", name), table) for name, table in own.items()}
    return Bounds(general, of_target, text, str(path))


def _table(path: Path, lines: Lines, where: tuple[str, ...], table: Mapping[str, Any]) -> dict[str, float]:
    for name, value in table.items():
        at = f"{path}:{lines.of((*where, name))}"
        if name not in FIGURES:
            raise InputError(
                f'{at}: there is no budget {name!r}; allowed: {", ".join(FIGURES)}, and [target."..."]'
            )
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise InputError(f"{at}: {name} is {value!r}; give a number")
        if value < 0 and name not in ("rmse_increase_pct",):
            raise InputError(f"{at}: {name} is {value!r}; it must be at least 0")
    return {name: float(value) for name, value in table.items()}
