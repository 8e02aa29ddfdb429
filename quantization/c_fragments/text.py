"""What becomes text of C: names, numbers, strings, and constants that are written once however often they are used.

Nothing that comes from a file is written into C, a Makefile or CMake but through this module: a name through
:func:`identifier`, text through :func:`string_literal` or, within a comment, :func:`comment_text`, a number through the
function of its type.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import ModelFileError

_CTYPES = {
    np.dtype(np.int8): "int8_t",
    np.dtype(np.int16): "int16_t",
    np.dtype(np.int32): "int32_t",
    np.dtype(np.int64): "int64_t",
    np.dtype(np.float32): "float",
}
_LINE = 110
#: C99 and C++ say that a compiler tells 63 characters apart; a prefix and a suffix come to this.
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,30}")
#: Words of C up to C23 and of C++ up to C++23, those of compilers, and what a generated function itself uses.
_WORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char class co_await co_return co_yield compl concept
    const const_cast consteval constexpr constinit continue decltype default delete do double dynamic_cast else enum explicit
    export extern false float for friend goto if inline int linux long mutable namespace new noexcept not not_eq nullptr
    operator or or_eq private protected public register reinterpret_cast requires restrict return short signed sizeof static
    static_assert static_cast struct switch template this thread_local throw true try typedef typeid typename typeof
    typeof_unqual union unix unsigned using virtual void volatile wchar_t while xor xor_eq
    i j k l m n memcpy memset moments place range run_step run_window state to worst
"""
_TAKEN = frozenset(_WORDS.split())
#: Beginnings of the names that are the kernels', the model's and the layers'.
_TAKEN_BEGINNINGS = ("et_", "edgetool_", "int8_", "int16_", "int32_", "int64_", "uint", "lstm_", "quantized_")


def ctype(dtype: Any) -> str:
    """The C99 type of a numpy type."""
    return _CTYPES[np.dtype(dtype)]


def identifier(text: str, what: str) -> str:
    """``text`` as a name in C, unchanged; ModelFileError if it cannot be one, or is one already. ``what`` names it there."""
    if not _IDENTIFIER.fullmatch(text):
        raise ModelFileError(
            f"{what} is called {text!r} and must be a name in C: a lower-case letter and up to 30 lower-case letters, "
            "digits or underscores"
        )
    if text in _TAKEN or text.startswith(_TAKEN_BEGINNINGS):
        raise ModelFileError(
            f"{what} is called {text!r}, which C or the generated code uses: give another name"
        )
    return text


def _finite(value: float) -> np.float32:
    with np.errstate(over="ignore"):
        single = np.float32(value)
    if not math.isfinite(single):
        raise ModelFileError(f"{value!r} cannot become a constant in C: it must be finite as float32")
    return single


def float_literal(value: float) -> str:
    """A float32 in hexadecimal floating point: exact, and C99 reads it back to the same bits; ModelFileError if not finite."""
    return float(_finite(value)).hex() + "f"


def decimal_literal(value: float) -> str:
    """A float32 in the fewest decimal digits that read back to the same bits: for people, and for C++ before C++17.

    ModelFileError if it is not finite.
    """
    return str(_finite(value)) + "f"


def string_literal(value: str) -> str:
    """``value`` as a C string in UTF-8, whatever is in it, half a surrogate pair too: only letters, digits and harmless signs
    stand for themselves; octal escapes have three digits, so that none runs into the next."""

    def escaped(byte: int) -> str:
        return chr(byte) if 32 <= byte < 127 and chr(byte) not in '\\"?' else f"\\{byte:03o}"

    return '"' + "".join(map(escaped, value.encode("utf-8", "surrogatepass"))) + '"'


def comment_text(value: str) -> str:
    """``value`` within a comment: letters, digits and a few signs, so that nothing ends the comment or the line."""
    return "".join(c if c.isascii() and (c.isalnum() or c in " .,:+-_") else "?" for c in value)


def number(value: Any, dtype: np.dtype[Any]) -> str:
    """One element as a literal of its type; the least integers need care, their literals being out of range."""
    if dtype == np.float32:
        return float_literal(float(value))
    integer = int(value)
    if dtype == np.int64:
        return "INT64_MIN" if integer == -(2**63) else f"INT64_C({integer})"
    if dtype == np.int32 and integer == -(2**31):
        return "INT32_MIN"
    return str(integer)


def wrapped(items: Sequence[str], indent: str = "    ") -> str:
    """Items joined by commas in lines of limited length."""
    lines: list[str] = []
    line = indent
    for item in items:
        if len(line) + len(item) + 1 > _LINE and line.strip():
            lines.append(line.rstrip())
            line = indent
        line += item + ", "
    return "\n".join([*lines, line.rstrip()])


class Pool:
    """Constants of one source file. Equal content gets one name; the order is that of first use."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self._names: dict[tuple[str, str], str] = {}
        self._texts: list[str] = []
        self.bytes = 0

    @property
    def names(self) -> frozenset[str]:
        """Of all constants so far."""
        return frozenset(self._names.values())

    def array(self, name: str, values: NDArray[Any], *, aligned: int = 0) -> str:
        """Name of a constant array of ``values``, flattened; ``name`` is used if it is new."""
        flat = np.ascontiguousarray(values).reshape(-1)
        body = wrapped([number(value, flat.dtype) for value in flat])
        attribute = "ET_ALIGNED4 " if aligned else ""
        key = (attribute + ctype(flat.dtype), body)
        if key not in self._names:
            self._names[key] = self._fresh(name)
            self.bytes += flat.nbytes
            self._texts.append(
                f"{attribute}static const {ctype(flat.dtype)} {self._names[key]}[{flat.size}] = {{\n{body}\n}};\n"
            )
        return self._names[key]

    def struct(self, name: str, type_name: str, fields: Sequence[str]) -> str:
        """Name of a constant struct; ``fields`` are its initialisers in order."""
        body = wrapped(list(fields))
        key = (type_name, body)
        if key not in self._names:
            self._names[key] = self._fresh(name)
            self._texts.append(f"static const {type_name} {self._names[key]} = {{\n{body}\n}};\n")
        return self._names[key]

    def scales(self, name: str, pairs: Sequence[tuple[int, int]]) -> str:
        """Name of a constant array of ``et_scale``."""
        body = wrapped([f"{{{m}, {s}}}" for m, s in pairs])
        key = ("et_scale", body)
        if key not in self._names:
            self._names[key] = self._fresh(name)
            self._texts.append(f"static const et_scale {self._names[key]}[{len(pairs)}] = {{\n{body}\n}};\n")
        return self._names[key]

    def text(self) -> str:
        """All definitions."""
        return "\n".join(self._texts)

    def _fresh(self, name: str) -> str:
        taken = set(self._names.values())
        base = self.prefix + name
        candidate, count = base, 2
        while candidate in taken:
            candidate, count = f"{base}_{count}", count + 1
        return candidate


def scale(pair: tuple[Any, Any]) -> str:
    """An ``et_scale`` initialiser."""
    return f"{{{int(pair[0])}, {int(pair[1])}}}"
