"""What a validation found: checks against bounds, what could not be judged, and whether all of it passed."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.records import NotJudged, Report, figure
from benchmarks.validation.bounds import Bounds
from quantization.bundle import Bundle


@dataclass(frozen=True)
class Check:
    """A figure of a row against its upper bound. ``label``: computed, emulated or measured. NaN never passes.

    ``detail`` says more of a figure that does not pass: how many of how many, and where it begins.
    """

    target: str
    row: str
    name: str
    value: float
    bound: float
    label: str
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether the value is within the bound."""
        return self.value <= self.bound

    def __str__(self) -> str:
        value, bound = figure(self.value), figure(self.bound)
        text = f"{self.name} of {self.target} {self.row} is {value}, the bound is {bound}"
        return f"{text}: {self.detail}" if self.detail else text


@dataclass(frozen=True, eq=False)
class Verdict:
    """All checks of a validation, what could not be judged, and the report they were read from."""

    bundle: Bundle
    targets: tuple[str, ...]
    bounds: Bounds
    checks: tuple[Check, ...]
    not_judged: tuple[NotJudged, ...]
    report: Report

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)
