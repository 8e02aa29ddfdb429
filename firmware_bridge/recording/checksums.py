"""CRC-32 of any part of a file for the price of its last page.

Looking for whole blocks in a damaged file means to check one checksum a marker, and a file can be all markers that claim
a mebibyte each: summed one by one that is a million times its size. From the checksums of the file's beginnings the one of
any part follows by one multiplication: crc(AB) = crc(A) x^(8 |B|) + crc(B), all modulo the polynomial (zlib, crc32_combine).
"""

from __future__ import annotations

import mmap
import zlib
from functools import cache

_PAGE = 4_096
#: The polynomial of zlib's CRC-32, reflected.
_POLYNOMIAL = 0xEDB88320

Buffer = bytes | mmap.mmap
#: A linear map of 32 bits, as one table for each byte.
_Map = tuple[tuple[int, ...], ...]


def _times_x(value: int, times: int) -> int:
    for _ in range(times):
        value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
    return value


def _tables(images: list[int]) -> _Map:
    """The map that takes bit k to ``images[k]``."""
    tables = []
    for byte in range(4):
        table = [0] * 256
        for value in range(1, 256):
            low = value & -value
            table[value] = table[value ^ low] ^ images[8 * byte + low.bit_length() - 1]
        tables.append(tuple(table))
    return tuple(tables)


def _apply(tables: _Map, value: int) -> int:
    return (
        tables[0][value & 255]
        ^ tables[1][value >> 8 & 255]
        ^ tables[2][value >> 16 & 255]
        ^ tables[3][value >> 24]
    )


@cache
def _zeros(power: int) -> _Map:
    """What 2**``power`` bytes of zeros behind it make of a checksum."""
    if power == 0:
        return _tables([_times_x(1 << bit, 8) for bit in range(32)])
    half = _zeros(power - 1)
    return _tables([_apply(half, _apply(half, 1 << bit)) for bit in range(32)])


def shifted(checksum: int, size: int) -> int:
    """``checksum`` times x^(8 ``size``)."""
    power = 0
    while size:
        if size & 1:
            checksum = _apply(_zeros(power), checksum)
        size >>= 1
        power += 1
    return checksum


class Checksums:
    """CRC-32 of parts of ``content``. Reads it once, as far as it is asked about."""

    def __init__(self, content: Buffer) -> None:
        self._content = content
        self._beginnings = [0]  # of page 0, 1, ...

    def of(self, start: int, stop: int, before: int = 0) -> int:
        """``zlib.crc32(content[start:stop], before)``."""
        if stop - start <= _PAGE:
            return zlib.crc32(self._content[start:stop], before)
        return shifted(before ^ self._beginning(start), stop - start) ^ self._beginning(stop)

    def _beginning(self, stop: int) -> int:
        while (page := len(self._beginnings) - 1) < stop // _PAGE:
            part = self._content[page * _PAGE : (page + 1) * _PAGE]
            self._beginnings.append(zlib.crc32(part, self._beginnings[-1]))
        place = stop // _PAGE
        return zlib.crc32(self._content[place * _PAGE : stop], self._beginnings[place])
