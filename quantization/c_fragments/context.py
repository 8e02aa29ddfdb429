"""What an emission collects while ops are lowered: constants, kernels, functions, assembly, notes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from quantization.c_fragments.text import Pool
from toolkit.cores import require_core
from toolkit.errors import UsageError

Prefer = Literal["speed", "size"]


@dataclass
class Context:
    """State of one emission for the core of that name.

    ``kernels`` are source files of ``quantization/kernels`` without their folder.
    """

    core: str
    prefer: Prefer
    pool: Pool = field(default_factory=Pool)
    kernels: set[str] = field(default_factory=set)
    headers: set[str] = field(default_factory=set)
    functions: dict[str, str] = field(default_factory=dict)
    assembly: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: So many elements the int8 and the int16 part of the state must have at least: kernels that take whole vectors read past
    #: a tensor's end, and multiply what is there by zero.
    reach_bytes: int = 0
    reach_shorts: int = 0

    def __post_init__(self) -> None:
        self.row = require_core(self.core)
        if self.prefer not in get_args(Prefer):
            raise UsageError(f"prefer is {self.prefer!r}; allowed: {', '.join(get_args(Prefer))}")

    @property
    def dsp(self) -> bool:
        """True if the core runs the kernels of the DSP extension."""
        return self.row.kernels == "dsp"

    @property
    def helium(self) -> bool:
        """True if the core runs those of Helium (MVE)."""
        return self.row.kernels == "helium"

    def use(self, *sources: str, header: str) -> None:
        """Kernel sources to compile and the header that declares them."""
        self.kernels.update(sources)
        self.headers.add(header)
