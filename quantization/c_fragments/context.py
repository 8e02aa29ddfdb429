"""What an emission collects while ops are lowered: constants, kernels, functions, assembly, notes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from quantization.c_fragments.text import Pool
from toolkit.errors import UsageError

Target = Literal["c99", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"]
Prefer = Literal["speed", "size"]
TARGETS: tuple[Target, ...] = get_args(Target)

#: Compiler options of a core; the float ABI is hard where there is an FPU.
CORE_FLAGS: dict[Target, tuple[str, ...]] = {
    "c99": (),
    "cortex-m4": ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
    "cortex-m7": ("-mcpu=cortex-m7", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv5-sp-d16"),
    "cortex-m33": ("-mcpu=cortex-m33", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv5-sp-d16"),
    "cortex-m55": ("-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard"),
}


@dataclass
class Context:
    """State of one emission. ``kernels`` are source files of ``quantization/kernels`` without their folder."""

    target: Target
    prefer: Prefer
    pool: Pool = field(default_factory=Pool)
    kernels: set[str] = field(default_factory=set)
    headers: set[str] = field(default_factory=set)
    functions: dict[str, str] = field(default_factory=dict)
    assembly: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise UsageError(f"target is {self.target!r}; allowed: {', '.join(TARGETS)}")
        if self.prefer not in get_args(Prefer):
            raise UsageError(f"prefer is {self.prefer!r}; allowed: {', '.join(get_args(Prefer))}")

    @property
    def dsp(self) -> bool:
        """True if the core has the DSP extension and no Helium."""
        return self.target in ("cortex-m4", "cortex-m7", "cortex-m33")

    @property
    def helium(self) -> bool:
        """True if the core has Helium (MVE)."""
        return self.target == "cortex-m55"

    def use(self, *sources: str, header: str) -> None:
        """Kernel sources to compile and the header that declares them."""
        self.kernels.update(sources)
        self.headers.add(header)
