"""A session's calibration in C: the struct that a contract asks for, and a calibration file as its initialiser.

The arithmetic is that of the filter stages ``rotate`` and ``scale`` (:mod:`toolkit.filtering.stages`), float32, before the
contract's own filters, as in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quantization.c_fragments.text import comment_text, float_literal, identifier, string_literal
from toolkit.calibration import Calibration, reference_of, require_calibration_fits, stages
from toolkit.contract import ModelInput, SensorContract
from toolkit.data.imus import Imu, imus
from toolkit.errors import ContractError

#: What a filter gives that has no calibration and needs one.
STATUS = "EDGETOOL_UNCALIBRATED"
_NO_TURN = ((1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0))


@dataclass(frozen=True)
class CalibratedStream:
    """What a calibration does to one stream: its ``imus`` are turned, its channels scaled if ``scaled``."""

    name: str
    channels: int
    imus: tuple[Imu, ...]
    scaled: bool

    @property
    def members(self) -> list[str]:
        """Of the struct, a line each."""
        segments = comment_text(", ".join(imu.segment for imu in self.imus))
        turned = f"et_mounting {self.name}_imus[{len(self.imus)}]; /* {segments} */"
        gains = f"float {self.name}_gains[{self.channels}];"
        return [turned] * bool(self.imus) + [gains] * self.scaled

    def initialiser(self, turns: list[str], gains: list[float]) -> list[str]:
        """Values of :attr:`members`."""
        lines = [f".{self.name}_imus = {{", *(f"    {turn}," for turn in turns), "},"] if self.imus else []
        if self.scaled:
            lines.append(f".{self.name}_gains = {{{', '.join(map(float_literal, gains))}}},")
        return lines


def calibrated_stream(contract: SensorContract, item: ModelInput) -> CalibratedStream | None:
    """What sessions of ``contract`` do to one of its inputs; None for nothing."""
    reference = reference_of(contract)
    if reference is None:
        return None
    stream = item.stream
    turned = imus(stream) if reference.template is not None else ()
    scaled = any(name in reference.amplitudes for name in stream.channel_names)
    if not turned and not scaled:
        return None
    name = identifier(stream.name, "a stream of the contract")
    return CalibratedStream(name, len(stream.channels), turned, scaled)


def reference_number(contract: SensorContract) -> str:
    """Begins the hash of what a session is calibrated on, as a C constant that is not 0."""
    return f"0x{max(int(contract.calibration_hash[:8], 16), 1):08x}u"


def declaration(contract: SensorContract) -> list[str]:
    """Of the struct and its identity, for the header; empty for a contract that asks for no calibration."""
    streams = _streams(contract)
    if not streams:
        return []
    members = [line for stream in streams for line in stream.members]
    return [
        "/* Where the sensors are on one person, one day: sensor to segment axes, gains to training amplitudes",
        " * (docs/CALIBRATION.md). edgetool calibrate --c FILE writes one. All zero is none. */",
        "typedef struct {",
        "    uint32_t reference; /* EDGETOOL_CALIBRATION_REFERENCE of the model that it was made for; 0: none */",
        *(f"    {line}" for line in members),
        "} edgetool_calibration;",
        "",
        f"#define EDGETOOL_CALIBRATION_REFERENCE {reference_number(contract)}",
        "/* What takes a sample gives this, and nothing else, while it has no calibration or one made for another model. */",
        f"#define {STATUS} (-1)",
        "",
        "/* Sensors as they are worn, to run without a calibration on purpose: moments are not to be relied on then. */",
        "extern const edgetool_calibration edgetool_calibration_identity;",
        "",
    ]


def identity(contract: SensorContract) -> str:
    """Definition of the identity, for the source."""
    lines = []
    for stream in _streams(contract):
        turns = [_mounting(*_NO_TURN)] * len(stream.imus)
        lines += stream.initialiser(turns, [1.0] * stream.channels)
    return _definition("const edgetool_calibration edgetool_calibration_identity", lines)


def calibration_header(
    calibration: Calibration,
    contract: SensorContract,
    name: str = "calibration",
    prefix: str = "edgetool",
    walk: Sequence[str] = (),
) -> str:
    """A C header with ``calibration`` as the constant struct ``name``, for the filters of a bundle with ``contract`` whose
    names begin with ``prefix``. ``walk`` are lines of the wearer's own walk, for a bundle that checks its sensors.

    ContractError for a calibration that does not fit the contract or is refused, and for a contract that asks for none.
    """
    if contract.calibration is None:
        raise ContractError("the model takes sensors as they are worn: its C needs no calibration")
    require_calibration_fits(contract, calibration)
    identifier(name, "the calibration")
    lines = []
    for item in contract.inputs:
        stream = calibrated_stream(contract, item)
        if stream is None:
            continue
        kinds = {stage.kind: stage.parameters for stage in stages(calibration, item.stream)}
        turns, gains = [], [1.0] * stream.channels
        if "rotate" in kinds:
            pairs = zip(kinds["rotate"]["rotation"], kinds["rotate"]["bias"])
            turns = [_mounting(tuple(turn), tuple(bias)) for turn, bias in pairs]
        if "scale" in kinds:
            gains = [float(np.float32(gain)) for gain in kinds["scale"]["gain"]]
        lines += stream.initialiser(turns, gains)
    made = f"{calibration.created or 'an unknown day'}, {calibration.strides} strides, {calibration.verdict}"
    upper = f"{prefix}_{name}".upper()
    definition = "\n".join([_definition(f"static const edgetool_calibration {name}", lines), *walk])
    included = ["filters", "plausibility"] if walk else ["filters"]
    return "\n".join(
        [
            f"/* Generated by edgetool from calibration {calibration.hash}: {comment_text(made)}. */",
            f"#ifndef {upper}_H",
            f"#define {upper}_H",
            "",
            *(f'#include "{prefix}_{header}.h"' for header in included),
            "",
            f"#define {upper}_PERSON {string_literal(calibration.person)}",
            f"#define {upper}_HASH {string_literal(calibration.hash)}",
            "",
            definition.replace("edgetool_", f"{prefix}_").replace("EDGETOOL_", f"{prefix.upper()}_"),
            "#endif",
            "",
        ]
    )


def _streams(contract: SensorContract) -> list[CalibratedStream]:
    found = (calibrated_stream(contract, item) for item in contract.inputs)
    return [stream for stream in found if stream is not None]


def _mounting(rotation: tuple[float, ...], bias: tuple[float, ...]) -> str:
    turn, off = (", ".join(float_literal(value) for value in values) for values in (rotation, bias))
    return f"{{{{{turn}}}, {{{off}}}}}"


def _definition(what: str, lines: list[str]) -> str:
    body = "\n".join(f"    {line}" for line in [".reference = EDGETOOL_CALIBRATION_REFERENCE,", *lines])
    return f"{what} = {{\n{body}\n}};\n"
