"""The header of the generated source: interface, sizes, and the sensor contract as constants."""

from __future__ import annotations

from quantization.c_emitter.graph_function import Port, Program
from quantization.c_emitter.memory import Arenas
from quantization.c_fragments.text import decimal_literal, identifier, string_literal
from toolkit import __version__
from toolkit.contract import ModelInput, SensorContract

_INTERFACE = """\
/* What is in the image, to be read from it with nm, a debugger or a bootloader; the linker keeps those that are used. */
extern const char edgetool_model_hash[sizeof EDGETOOL_MODEL_HASH];
extern const char edgetool_contract_hash[sizeof EDGETOOL_CONTRACT_HASH];
extern const char edgetool_version[sizeof EDGETOOL_VERSION];

/* Reentrancy: all that a call changes is its state and its outputs. Calls on different states may interrupt each other; on one
 * state, do not call while a call is running, so call from one task or one interrupt. Nothing is allocated, nothing waits. */

/* Memory of one instance. Its content is private; several instances may run at the same time. The window functions use
 * the same memory as the stream and end it: call edgetool_reset before the next step. */
typedef struct {{
    int32_t place; /* of the next row in the memory of earlier ones; also aligns what follows to 4 bytes */
    int16_t shorts[{shorts}];
    int8_t bytes[{bytes}];
}} edgetool_state;

#define EDGETOOL_STATE_BYTES {total}

/* Starts a new stream: zero LSTM state, no memory of earlier samples. Call it once before the first use. */
void edgetool_reset(edgetool_state *state);

/* What the functions on float values return. SATURATED: an input is beyond twice what its integers hold and was limited; the
 * moments are written and the stream goes on. NOT_FINITE: an input is infinite or not a number; nothing was changed or
 * written, and the stream goes on with the next row. */
#define EDGETOOL_OK 0
#define EDGETOOL_SATURATED 1
#define EDGETOOL_NOT_FINITE (-2)
"""


def state_bytes(arenas: Arenas) -> int:
    """sizeof(edgetool_state): the place, the int16 part, the int8 part, and padding to four bytes."""
    total = 4 + 2 * arenas.shorts + arenas.bytes
    return total + -total % 4


def strings(name: str, values: list[str]) -> str:
    """A macro with strings, in which a prefix of the model's names changes nothing: their underscores are escapes."""
    quoted = ", ".join(map(string_literal, values))
    for word in ("edgetool", "EDGETOOL"):
        quoted = quoted.replace(f"{word}_", f"{word}\\137")
    return f"#define {name} {quoted}"


def _function(program: Program, public: str, summary: str) -> str:
    def row(port: Port) -> str:
        return f"{port.name}[{port.count}]"

    inputs = ", ".join(map(row, program.inputs))
    outputs = ", ".join(map(row, program.outputs))
    quantized = ", ".join(
        [
            "edgetool_state *state",
            *(f"const {p.ctype} *{p.name}" for p in program.inputs),
            *(f"{p.ctype} *{p.name}" for p in program.outputs),
        ]
    )
    floats = ", ".join(
        [
            "edgetool_state *state",
            *(f"const float *{p.name}" for p in program.inputs),
            *(f"float *{p.name}" for p in program.outputs),
        ]
    )
    return (
        f"/* {summary}\n * In: {inputs}, filtered and normalised as the contract says, rows in time order. "
        f"Out: {outputs}, Nm/kg. */\n"
        f"int32_t {public}({floats});\n"
        "/* The same on quantized values: real = scale * (value - zero point), with the constants above. */\n"
        f"void {public}_quantized({quantized});\n"
    )


def _bits(port: Port) -> int:
    """Bits of a quantized value, for code that is written for any model."""
    return {"int8_t": 8, "int16_t": 16}[port.ctype]


def _stream_macros(item: ModelInput, port: Port) -> list[str]:
    upper = identifier(item.stream.name, "a stream of the contract").upper()
    return [
        f"#define EDGETOOL_{upper}_CHANNELS {len(item.stream.channels)}",
        strings(f"EDGETOOL_{upper}_NAMES", list(item.stream.channel_names)),
        strings(f"EDGETOOL_{upper}_UNITS", [channel.unit for channel in item.stream.channels]),
        f"#define EDGETOOL_{upper}_STREAM_HZ {decimal_literal(item.stream.rate_hz)}",
        f"#define EDGETOOL_{upper}_SCALE {decimal_literal(float(port.affine.single))}",
        f"#define EDGETOOL_{upper}_ZERO_POINT ({port.affine.zero_point})",
        f"#define EDGETOOL_{upper}_BITS {_bits(port)}",
        "",
    ]


def _every_input(contract: SensorContract, ports: tuple[Port, ...]) -> list[str]:
    """All inputs at once, for code that is written for any number of streams. No stream's own macro ends like these."""
    widths = [len(item.stream.channels) for item in contract.inputs]
    starts = [sum(widths[:place]) for place in range(len(widths))]
    sizes = {_bits(port) // 8 for port in ports}
    split = ", ".join(f"(values) + (rows) * {start}" for start in starts)
    return [
        "/* All inputs: how many, the channels of each and of all; bytes of a quantized value; the arguments of the functions",
        " * below from an array of pointers, and from values that lie input after input, `rows` of each. */",
        f"#define EDGETOOL_INPUTS {len(widths)}",
        f"#define EDGETOOL_WIDTHS {{{', '.join(map(str, widths))}}}",
        f"#define EDGETOOL_PER_ROW {sum(widths)}",
        f"#define EDGETOOL_VALUE_SIZE {sizes.pop() if len(sizes) == 1 else 0}",
        f"#define EDGETOOL_EACH(pointers) {', '.join(f'(pointers)[{place}]' for place in range(len(widths)))}",
        f"#define EDGETOOL_SPLIT(values, rows) {split}",
        "",
    ]


def _output_macros(contract: SensorContract, output: Port) -> list[str]:
    return [
        f"#define EDGETOOL_OUTPUTS {output.count}",
        strings("EDGETOOL_OUTPUT_NAMES", [channel.name for channel in contract.outputs]),
        f"#define EDGETOOL_OUTPUT_SCALE {decimal_literal(float(output.affine.single))}",
        f"#define EDGETOOL_OUTPUT_ZERO_POINT ({output.affine.zero_point})",
        f"#define EDGETOOL_OUTPUT_BITS {_bits(output)}",
        "",
    ]


def header_text(
    contract: SensorContract,
    programs: list[Program],
    arenas: Arenas,
    core: str,
    prefer: str,
    model_hash: str,
) -> str:
    """``edgetool_model.h``."""
    window = programs[0]
    lines = [
        f"/* Generated by edgetool {__version__} for {core}, preferring {prefer}. Do not edit: convert again.",
        " *",
        " * A network that estimates joint moments from body-worn sensors, in int8. Calls neither allocate nor block;",
        " * the quantized functions use no floating point and no C library but memcpy and memset. */",
        "#ifndef EDGETOOL_MODEL_H",
        "#define EDGETOOL_MODEL_H",
        "",
        "#include <stdint.h>",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        f'#define EDGETOOL_VERSION "{__version__}"',
        f'#define EDGETOOL_TARGET "{core}"',
        "/* SHA-256 of the graphs' constants, and of the sensor contract's canonical JSON. */",
        f'#define EDGETOOL_MODEL_HASH "{model_hash}"',
        f'#define EDGETOOL_CONTRACT_HASH "{contract.hash}"',
        "",
        "/* The contract: samples a window, their rate on the model's grid, how far ahead the moments look. */",
        f"#define EDGETOOL_WINDOW {contract.window}",
        f"#define EDGETOOL_GRID_HZ {decimal_literal(contract.grid_rate_hz)}",
        f"#define EDGETOOL_HORIZON_MS {decimal_literal(contract.horizon_ms)}",
        f"#define EDGETOOL_HAS_STREAM {int(len(programs) > 1)}",
        "",
    ]
    for item, port in zip(contract.inputs, window.inputs):
        lines += _stream_macros(item, port)
    lines += _every_input(contract, window.inputs)
    lines += [
        *_output_macros(contract, window.outputs[0]),
        _INTERFACE.format(shorts=arenas.shorts, bytes=arenas.bytes, total=state_bytes(arenas)),
        _function(window, "edgetool_window", "One window, from zero state."),
    ]
    if len(programs) > 1:
        lines.append(
            _function(
                programs[1], "edgetool_step", "One sample of each stream; state is carried from step to step."
            )
        )
    lines += ["#ifdef __cplusplus", "}", "#endif", "", "#endif", ""]
    return "\n".join(lines)
