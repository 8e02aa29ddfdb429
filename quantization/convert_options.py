"""What a conversion is asked for, checked before any data is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quantization import converters
from quantization.c_emitter.bundle_files import require_core_and_profile
from quantization.c_emitter.emit import DEFAULT_PREFIX, require_prefix
from quantization.graph.graph_file import Scheme, require_scheme
from toolkit.errors import UsageError

DEFAULT_PREFER = "speed"


@dataclass(frozen=True)
class ConvertOptions:
    """The options of :func:`quantization.convert.convert`; UsageError names the first that is not allowed.

    ``of_converter`` are passed on to the converter, which checks them itself.
    """

    scheme: Scheme = "int8"
    converter: str = converters.DEFAULT_CONVERTER
    calibration_windows: int = 200
    seed: int = 0
    max_rmse_increase: float | None = None
    core: str | None = None
    prefer: str = DEFAULT_PREFER
    prefix: str = DEFAULT_PREFIX
    of_converter: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_scheme(self.scheme)
        if self.calibration_windows < 1 or self.seed < 0:
            raise UsageError(
                f"calibration windows are {self.calibration_windows} and the seed {self.seed}; "
                "at least 1 and 0 are allowed"
            )
        if self.core is not None:
            require_core_and_profile(self.core, self.prefer)
            require_prefix(self.prefix)
        elif (self.prefer, self.prefix) != (DEFAULT_PREFER, DEFAULT_PREFIX):
            raise UsageError(
                "--prefer and --prefix are for the C source; give --core too, such as --core cortex-m4"
            )
        converters.converter_named(self.converter)
        if self.max_rmse_increase is not None and (self.converter, self.scheme) != ("builtin", "int8"):
            raise UsageError(
                "--max-rmse-increase searches recipes of the builtin converter for int8; leave out --converter and --scheme"
            )
