"""The tables of sigmoid and tanh in the C kernels, all of them from TFLM's one table of the logistic function.

``python -m quantization.c_fragments.activation_tables`` writes them into ``quantization/kernels/activation``. TFLM
interpolates between the table's entries and rounds; on the stretch between two entries that is a straight line, sign and
rounding included: the upper half of ``base + slope * y`` modulo 2^32, where y is the argument in steps of the table.
Portable C interpolates in the table itself (``et_activation.c``), the DSP kernels read a line as one pair
(``et_piecewise_linear.c``), Helium gathers bases and slopes from two arrays (``et_piecewise_linear_mve.c``).
"""

from __future__ import annotations

from collections.abc import Sequence

from quantization.arithmetic.activations import sigmoid_table
from quantization.kernels import kernel_paths

Line = tuple[int, int]

#: Lines before y = 0: an int16 in Q3.12 reaches 192 entries of sigmoid's table, and tanh's argument is limited to 256.
SIGMOID_ZERO = 192
TANH_ZERO = 256
#: Steps between two entries, as a power of two: of sigmoid's argument and of tanh's.
_SIGMOID_BITS, _TANH_BITS = 9, 8


def sigmoid_lines() -> list[Line]:
    """(base, slope) of each stretch of 512 steps, from -192 on; the result is Q0.15."""
    return [_line(k, _SIGMOID_BITS, 1 << 9, (1 << 25) + (1 << 9) - 1, 6) for k in range(-192, 192)]


def tanh_lines() -> list[Line]:
    """(base, slope) of each stretch of 256 steps, from -256 on; the result is Q0.15. From entry 255 on it is the limit's."""
    half, rounding = 1 << 23, 1 << 7
    return [_line(k, _TANH_BITS, rounding - half, half + rounding - 1, 8) for k in range(-256, 256)]


def _line(stretch: int, bits: int, positive: int, negative: int, shift: int) -> Line:
    """The line of a stretch: low + (y - start) * difference, shifted up so that the result is the upper half of 32 bits.

    ``positive`` and ``negative`` are added on either side of 0: what mirrors the function, and rounding.
    """
    table = [int(value) for value in sigmoid_table()]
    entry = stretch if stretch >= 0 else -stretch - 1
    if entry < 255:
        low, difference = table[entry] << bits, table[entry + 1] - table[entry]
    else:
        low, difference = 0xFFFF << bits, 0
    start = (entry << bits) * difference
    base = low - start + positive if stretch >= 0 else negative - low + start
    return _int32(base << shift), difference << shift


def _int32(value: int) -> int:
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


def _array(declaration: str, items: Sequence[str], across: int, last: str = ",") -> str:
    rows = [", ".join(items[k : k + across]) for k in range(0, len(items), across)]
    return (
        f"const {declaration}[{len(items)}] = {{\n"
        + ",\n".join(f"    {row}" for row in rows)
        + f"{last}\n}};\n"
    )


def _pairs(name: str, lines: Sequence[Line]) -> str:
    return _array(f"et_line {name}", [f"{{{base}, {slope}}}" for base, slope in lines], 5)


def _columns(name: str, lines: Sequence[Line], unit: int = 1) -> list[str]:
    """Bases, and slopes in ``unit``: those of tanh are whole multiples of 256, which would not fit 16 bits."""
    bases, slopes = zip(*lines)
    return [
        _array(f"int32_t {name}_bases", [str(base) for base in bases], 8),
        _array(f"uint16_t {name}_slopes", [str(slope // unit) for slope in slopes], 14),
    ]


def tables() -> dict[str, str]:
    """Text of the kernel files that hold tables, by file name."""
    entries = [str(int(value)) for value in sigmoid_table()]
    sigmoid, tanh = sigmoid_lines(), tanh_lines()
    parts = {
        "et_activation.c": ['#include "et_activation.h"\n', _array("uint16_t et_sigmoid_table", entries, 16)],
        "et_piecewise_linear.c": [
            '#include "et_piecewise_linear.h"\n',
            _pairs("et_sigmoid_lines", sigmoid),
            _pairs("et_tanh_lines", tanh),
        ],
        "et_piecewise_linear_mve.c": [
            '#include "et_lstm_mve.h"\n',
            *_columns("et_sigmoid", sigmoid),
            *_columns("et_tanh", tanh, 256),
        ],
    }
    return {name: "\n".join(texts) for name, texts in parts.items()}


if __name__ == "__main__":
    for name, text in tables().items():
        kernel_paths()[name].write_text(text)
