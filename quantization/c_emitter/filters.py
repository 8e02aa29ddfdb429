"""The contract's filter chains as C: raw sensor samples in, normalised rows on the model's grid out.

One function a stream, a chain of small ones inside, in the order of the contract's stages. The arithmetic is
:mod:`toolkit.filtering.stages`, float32, equal bit for bit without fused multiply-add.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from quantization.c_emitter.calibration import (
    STATUS,
    CalibratedStream,
    calibrated_stream,
    declaration,
    identity,
    reference_number,
)
from quantization.c_fragments.text import Pool, float_literal, identifier
from toolkit.contract import FilterStage, ModelInput, SensorContract
from toolkit.errors import ContractError
from toolkit.filtering.chain import Chain
from toolkit.filtering.stages import resample_step

HEADER = "edgetool_filters.h"
SOURCE = "edgetool_filters.c"


@dataclass
class _Stream:
    """The C of one stream while its stages are added: state members, functions from the last stage to the first."""

    name: str
    channels: int
    members: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    reset: list[str] = field(default_factory=list)
    calibrated: CalibratedStream | None = None

    @property
    def type_name(self) -> str:
        return f"edgetool_{self.name}_filter"

    def stage(self, number: int, body: list[str]) -> None:
        """A function for one stage: changes ``row`` and hands it on; returns the rows given out so far."""
        lines = "\n".join(f"    {line}" for line in body)
        self.functions.append(
            f"static int32_t {self.name}_stage_{number}({self.type_name} *filter, float *row, float *out, int32_t rows) {{\n"
            f"{lines}\n}}\n"
        )


def _sections(stream: _Stream, pool: Pool, stage: FilterStage, number: int, following: str) -> None:
    rows = np.asarray(stage.parameters["coefficients"], np.float64).astype(np.float32)
    fields = []
    for b0, b1, b2, a1, a2 in rows:
        gain = np.float32((b0 + b1 + b2) / (np.float32(1) + a1 + a2))
        fields.append("{" + ", ".join(float_literal(float(v)) for v in (b0, b1, b2, a1, a2, gain)) + "}")
    braced = ["{" + ", ".join(fields) + "}"]
    name = pool.struct(f"{stream.name}_sections_{number}", f"et_section_{len(rows)}", braced)
    stream.members += [
        f"float sections_{number}[{2 * len(rows) * stream.channels}];",
        f"int32_t started_{number};",
    ]
    stream.reset.append(f"filter->started_{number} = 0;")
    call = (
        f"et_filter_sections({name}.sections, {len(rows)}, {stream.channels}, filter->sections_{number}, "
        f"&filter->started_{number}, row);"
    )
    stream.stage(number, [call, following])


def _resample(stream: _Stream, stage: FilterStage, number: int, following: str) -> float:
    """Adds the stage; returns how many rows it gives out for one, at most."""
    rates = [float(stage.parameters[name]) for name in ("from_hz", "to_hz")]
    step = resample_step(stage.parameters)
    if max(step.numerator, 2 * step.denominator) > 2**31 - 1:
        raise ContractError(
            f"stream {stream.name!r}: a resampling from {rates[0]:g} to {rates[1]:g} Hz needs more than 32 bits in C; "
            "use rates with fewer digits"
        )
    stream.members += [f"et_resampler resampler_{number};", f"float last_{number}[{stream.channels}];"]
    stream.reset += [f"filter->resampler_{number}.{member} = 0;" for member in ("whole", "part", "started")]
    arguments = (
        f"&filter->resampler_{number}, {step.numerator}, {step.denominator}, {stream.channels}, "
        f"filter->last_{number}, row, next"
    )
    stream.stage(
        number,
        [
            f"float next[{stream.channels}];",
            f"et_filter_resample_begin(&filter->resampler_{number});",
            f"while (et_filter_resample_next({arguments}) != 0) {{",
            f"    {following.replace('return', 'rows =').replace('row,', 'next,')}",
            "}",
            f"et_filter_resample_end({stream.channels}, filter->last_{number}, row);",
            "return rows;",
        ],
    )
    return 1.0 / float(step)


def _push_body(stream: _Stream, pool: Pool) -> str:
    """Of the function that takes a sample: it is copied, calibrated and filtered."""
    lines = [f"float row[{stream.channels}];"]
    one = stream.calibrated
    if one is not None:
        lines += ["if (filter->calibration == 0) {", f"    return {STATUS};", "}"]
    lines.append(f"filter->held += et_filter_hold({stream.channels}, filter->good, sample, row);")
    if one is not None and one.imus:
        places = pool.array(f"{stream.name}_places", np.array([imu.places for imu in one.imus], np.int16))
        lines.append(
            f"et_filter_rotate(filter->calibration->{one.name}_imus, {places}, {len(one.imus)}, row);"
        )
    if one is not None and one.scaled:
        lines.append(f"et_filter_scale(filter->calibration->{one.name}_gains, {stream.channels}, row);")
    lines.append(f"return {stream.name}_stage_0(filter, row, features, 0);")
    return "\n".join(f"    {line}" for line in lines)


def _stream(contract: SensorContract, item: ModelInput, pool: Pool) -> tuple[_Stream, int]:
    """The C of a stream and the most rows that one sample can give out."""
    Chain.of(item, contract.grid_rate_hz)  # refuses what the Python chain refuses
    stream = _Stream(identifier(item.stream.name, "a stream of the contract"), len(item.stream.channels))
    stream.calibrated = calibrated_stream(contract, item)
    stream.members += [
        "int32_t held; /* values since the reset that were not finite or beyond 1e12, see et_filter_hold */",
        f"float good[{stream.channels}];",
    ]
    stream.reset += [
        "filter->held = 0;",
        f"for (int32_t i = 0; i < {stream.channels}; ++i) {{ filter->good[i] = 0.0f; }}",
    ]
    if stream.calibrated is not None:
        stream.members.append("const edgetool_calibration *calibration; /* 0: none */")
        stream.reset.append("filter->calibration = 0;")
    mean = pool.array(f"{stream.name}_mean", np.asarray(item.normaliser.mean, np.float32))
    inverse = (1.0 / np.asarray(item.normaliser.std, np.float64)).astype(np.float32)
    deviation = pool.array(f"{stream.name}_inverse_deviation", inverse)
    last = len(item.filters)
    stream.stage(
        last,
        [
            "(void)filter;",
            f"et_filter_normalise({mean}, {deviation}, {stream.channels}, row);",
            f"for (int32_t i = 0; i < {stream.channels}; ++i) {{ out[rows * {stream.channels} + i] = row[i]; }}",
            "return rows + 1;",
        ],
    )
    most = 1
    for number in range(last - 1, -1, -1):
        stage = item.filters[number]
        following = f"return {stream.name}_stage_{number + 1}(filter, row, out, rows);"
        if stage.kind == "sections":
            _sections(stream, pool, stage, number, following)
        elif stage.kind == "rectify":
            stream.stage(number, [f"et_filter_rectify({stream.channels}, row);", following])
        elif stage.kind == "scale":
            gain = pool.array(
                f"{stream.name}_gain_{number}", np.asarray(stage.parameters["gain"], np.float32)
            )
            stream.stage(number, [f"et_filter_scale({gain}, {stream.channels}, row);", following])
        elif stage.kind != "resample":
            raise ContractError(f"filter stage {stage.kind!r} of stream {item.stream.name!r} has no C")
        else:
            most *= math.ceil(_resample(stream, stage, number, following)) + 1
    return stream, most


def _push_declaration(stream: _Stream) -> str:
    return f"int32_t edgetool_{stream.name}_push({stream.type_name} *filter, const float *sample, float *features)"


def _calibrate_declaration(stream: _Stream) -> str:
    return (
        f"int32_t edgetool_{stream.name}_filter_calibrate({stream.type_name} *filter, "
        "const edgetool_calibration *calibration)"
    )


def _stream_header(stream: _Stream, most: int, rate_hz: float) -> list[str]:
    """Type and functions of one stream."""
    upper = stream.name.upper()
    members = "\n".join(f"    {m}" for m in stream.members)
    lines = [
        f"/* {stream.channels} channels at {rate_hz:g} Hz. */",
        f"typedef struct {{\n{members}\n}} {stream.type_name};",
        "",
        f"/* Most rows that one sample of {stream.name} gives out. */",
        f"#define EDGETOOL_{upper}_ROWS_MOST {most}",
        "",
        "/* The next sample is the first. */"
        if stream.calibrated is None
        else "/* The next sample is the first; the calibration is to be given again. */",
        f"void edgetool_{stream.name}_filter_reset({stream.type_name} *filter);",
    ]
    if stream.calibrated is not None:
        lines += [
            "/* Uses a calibration from here on; it must outlive the filter. Returns 0, or EDGETOOL_UNCALIBRATED for one that",
            " * is 0, all zero or made for another model: nothing of it is used then, and the filter has none. */",
            f"{_calibrate_declaration(stream)};",
        ]
    return [
        *lines,
        f"/* Takes sample[{stream.channels}] in the contract's units; writes the grid rows now known to",
        f" * features[EDGETOOL_{upper}_ROWS_MOST * {stream.channels}] and returns how many. */"
        if stream.calibrated is None
        else f" * features[EDGETOOL_{upper}_ROWS_MOST * {stream.channels}] and returns how many, or EDGETOOL_UNCALIBRATED. */",
        "/* A value that is not finite or beyond 1e12 is held at its channel's last good one, and counted in `held`. */",
        f"{_push_declaration(stream)};",
        "",
    ]


def _stream_source(stream: _Stream, body: str, reference: str) -> list[str]:
    """The functions of one stream."""
    reset = "\n".join(f"    {line}" for line in stream.reset)
    lines = [
        "\n".join(stream.functions),
        f"void edgetool_{stream.name}_filter_reset({stream.type_name} *filter) {{\n{reset}\n}}\n",
    ]
    if stream.calibrated is not None:
        lines.append(
            f"{_calibrate_declaration(stream)} {{\n"
            f"    const int fits = calibration != 0 && calibration->reference == {reference};\n"
            "    filter->calibration = fits ? calibration : 0;\n"
            f"    return fits ? 0 : {STATUS};\n}}\n"
        )
    lines.append(f"{_push_declaration(stream)} {{\n{body}\n}}\n")
    return lines


def files(contract: SensorContract) -> dict[str, str]:
    """``edgetool_filters.h`` and ``edgetool_filters.c``. Raises ContractError for a chain that does not fit."""
    pool = Pool("filter_")
    streams = [_stream(contract, item, pool) for item in contract.inputs]
    bodies = [_push_body(stream, pool) for stream, _ in streams]
    header = [
        "/* Generated by edgetool: the contract's causal filters, raw samples to normalised rows on the grid, float32. */",
        "#ifndef EDGETOOL_FILTERS_H",
        "#define EDGETOOL_FILTERS_H",
        "",
        '#include "kernels/et_filter.h"',
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        f'#define EDGETOOL_FILTERS_CONTRACT_HASH "{contract.hash}"',
        "",
        *declaration(contract),
    ]
    source = [
        "/* Generated by edgetool; see edgetool_filters.h. */",
        f'#include "{HEADER}"',
        "",
    ]
    sizes = sorted(set(_section_sizes(contract)))
    source += [f"typedef struct {{ et_section sections[{n}]; }} et_section_{n};\n" for n in sizes]
    source.append(pool.text())
    if any(stream.calibrated is not None for stream, _ in streams):
        source.append(identity(contract))
    for (stream, most), body, item in zip(streams, bodies, contract.inputs):
        header += _stream_header(stream, most, item.stream.rate_hz)
        source += _stream_source(stream, body, reference_number(contract) if stream.calibrated else "")
    return {
        HEADER: "\n".join([*header, "#ifdef __cplusplus", "}", "#endif", "", "#endif", ""]),
        SOURCE: "\n".join(source),
    }


def _section_sizes(contract: SensorContract) -> list[int]:
    return [
        len(stage.parameters["coefficients"])
        for item in contract.inputs
        for stage in item.filters
        if stage.kind == "sections"
    ]
