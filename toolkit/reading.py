"""Reading what others wrote: one place where a reader's exceptions become an InputError, and where JSON is read strictly.

A damaged or hostile file must cost one line, never a traceback, and never more memory than its own size explains.
"""

from __future__ import annotations

import csv
import errno
import json
import math
import re
import stat
import struct
import sys
import tokenize
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolkit.errors import EdgetoolError, InputError

#: Nesting of objects and arrays in one document; ours have six.
DEPTH = 64
#: Digits of one number; a float64 needs 17, and Python refuses 4,300 in an integer.
DIGITS = 400
#: Bytes of one JSON or TOML document. The largest of ours (a manifest) has 100 kB.
DOCUMENT_BYTES = 64 << 20
#: Bytes of any other file that is read whole: an hour of 30 channels at 2 kHz as text is 2 GB, as NPZ half of that.
FILE_BYTES = 4 << 30

#: What readers of the standard library and of numpy raise at bytes that are not what they must be. MemoryError is not
#: among them: sizes are bounded before anything is allocated.
_READERS_RAISE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    csv.Error,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


@contextmanager
def reading(what: object, expected: str, error: type[EdgetoolError] = InputError) -> Iterator[None]:
    """Whatever a reader raises within the block becomes one ``error``: ``what`` is not ``expected``, and why.

    ``what`` names the file, ``expected`` says what it must be. Errors of ours pass as they are; so does MemoryError.
    """
    try:
        yield
    except EdgetoolError:
        raise
    except FileNotFoundError:
        raise error(f"cannot read {what}: no such file; it must be {expected}") from None
    except OSError as fault:
        raise error(f"cannot read {what}: {fault.strerror or fault}") from None
    except _READERS_RAISE as fault:
        raise error(f"{what} is not {expected}: {_said(fault)}") from None


def _said(fault: BaseException) -> str:
    """An exception in a few words, on one line."""
    lines = str(fault).strip().splitlines()
    text = lines[0][:200] if lines else ""
    if isinstance(fault, KeyError):
        return f"{text} is missing"
    if isinstance(fault, RecursionError):
        return "it is nested too deep"
    return text if text and isinstance(fault, ValueError) else f"{type(fault).__name__}: {text}".rstrip(": ")


def read_file(
    path: Path, expected: str, error: type[EdgetoolError] = InputError, limit: int = FILE_BYTES
) -> bytes:
    """The bytes of the regular file ``path``; ``error`` if it cannot be read, is a pipe or a device, or is above ``limit``."""
    with reading(path, expected, error):
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever, and a device need not end
            raise error(f"cannot read {path}: it is not a regular file")
        if status.st_size > limit:
            raise error(f"{path} has {status.st_size:,} bytes; {expected} has at most {limit:,}")
        with path.open("rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise error(f"{path} has grown above {limit:,} bytes, the most that {expected} has")
    return content


def read_text(path: Path) -> str:
    """The text of a document, for who has words of his own for what is wrong.

    OSError for what is no regular file or is above 64 MiB, and UnicodeDecodeError, beside what :meth:`Path.read_text` raises.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a folder says so when it is opened
        raise OSError(errno.EINVAL, "it is not a regular file")
    with path.open("rb") as file:
        content = file.read(DOCUMENT_BYTES + 1)
    if len(content) > DOCUMENT_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {DOCUMENT_BYTES:,} bytes")
    return content.decode("utf-8")


def exists(path: Path) -> bool:
    """Whether ``path`` is there; False too for a name that is too long or holds a NUL, where pathlib raises."""
    return _mode(path) is not None


def is_file(path: Path) -> bool:
    """Whether ``path`` is a regular file; never raises."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def is_folder(path: Path) -> bool:
    """Whether ``path`` is a folder; never raises."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return None


def read_json_object(path: Path, expected: str, error: type[EdgetoolError] = InputError) -> dict[str, Any]:
    """The JSON object in the file ``path``, read as :func:`parse_json_object` does."""
    return parse_json_object(read_file(path, expected, error, DOCUMENT_BYTES), path, expected, error)


def parse_json_object(
    text: str | bytes, what: object, expected: str, error: type[EdgetoolError] = InputError
) -> dict[str, Any]:
    """The JSON object ``text``; ``error`` if it is another value or not JSON by the letter of RFC 8259."""
    value = parse_json(text, what, expected, error)
    if not isinstance(value, dict):
        raise error(f"{what} is not {expected}: it must be a JSON object and is {_kind(value)}")
    return value


def parse_json(
    text: str | bytes, what: object, expected: str, error: type[EdgetoolError] = InputError
) -> Any:
    """The JSON value ``text`` (bytes: UTF-8).

    NaN, Infinity, numbers beyond float64 or of more than ``DIGITS`` digits, keys given twice, nesting deeper than ``DEPTH``
    and lone surrogates are refused: no two readers agree on them.
    """
    with reading(what, expected, error):
        if len(text) > DOCUMENT_BYTES:
            raise ValueError(f"it has {len(text):,} characters; at most {DOCUMENT_BYTES:,} are allowed")
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        _bound_depth(text)
        value = json.loads(
            text,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_without_twins,
        )
        if "\\u" in text or not text.isascii():
            _require_characters(value)
        return value


def read_toml(
    path: Path, expected: str, error: type[EdgetoolError] = InputError
) -> tuple[dict[str, Any], str]:
    """The TOML document in ``path`` and its text; ``error`` if it is not TOML."""
    content = read_file(path, expected, error, DOCUMENT_BYTES)
    with reading(path, expected, error):
        text = content.decode("utf-8")
        document = tomllib.loads(text)
    return document, text


def _bound_depth(text: str) -> None:
    """Refuse deep nesting before a parser recurses. Brackets within strings do not count."""
    if text.count("[") + text.count("{") <= DEPTH:
        return
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", re.sub(r'"(?:[^"\\]|\\.)*"', "", text, flags=re.DOTALL)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEPTH:
            raise ValueError(f"it is nested more than {DEPTH} deep")


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a number in JSON")


def _finite(digits: str) -> float:
    if len(digits) > DIGITS or not math.isfinite(value := float(digits)):
        raise ValueError(f"the number {digits[:24]}... is not a finite float64")
    return value


def _whole(digits: str) -> int:
    if len(digits) > DIGITS or abs(value := int(digits)) > sys.float_info.max:
        raise ValueError(f"the number {digits[:24]}... of {len(digits)} digits is beyond float64")
    return value


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is given twice in one object")
    return found


def _require_characters(value: Any) -> None:
    """Refuse lone surrogates, which are half a character and cannot be written again."""
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, dict):
        for key, item in value.items():
            key.encode("utf-8")
            _require_characters(item)
    elif isinstance(value, list):
        for item in value:
            _require_characters(item)


def _kind(value: Any) -> str:
    names = {list: "an array", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
