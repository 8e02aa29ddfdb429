"""Constants as C text: arrays and parameter structs, each written once however often it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CTYPES = {
    np.dtype(np.int8): "int8_t",
    np.dtype(np.int16): "int16_t",
    np.dtype(np.int32): "int32_t",
    np.dtype(np.int64): "int64_t",
    np.dtype(np.float32): "float",
}
_LINE = 110


def ctype(dtype: Any) -> str:
    """The C99 type of a numpy type."""
    return _CTYPES[np.dtype(dtype)]


def float_literal(value: float) -> str:
    """A float32 in hexadecimal floating point: exact, and C99 reads it back to the same bits."""
    return float(np.float32(value)).hex() + "f"


def decimal_literal(value: float) -> str:
    """A float32 in the fewest decimal digits that read back to the same bits: for people, and for C++ before C++17."""
    return str(np.float32(value)) + "f"


def string_literal(value: str) -> str:
    """``value`` as a C string in UTF-8, whatever is in it: octal escapes have three digits, so that none runs into the next."""

    def escaped(byte: int) -> str:
        return chr(byte) if 32 <= byte < 127 and chr(byte) not in '\\"?' else f"\\{byte:03o}"

    return '"' + "".join(map(escaped, value.encode())) + '"'


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
