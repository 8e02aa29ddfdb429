"""Where in a TOML file a value stands, so that an error can name its line; and how text is written in one."""

from __future__ import annotations

import re

#: ``[table]`` or ``[[array]]`` at the head of a line; a key with its equals sign.
_HEADER = re.compile(r"\s*(\[{1,2})\s*([^\[\]]+?)\s*\]{1,2}\s*(#.*)?$")
_KEY = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")

Path = tuple[str | int, ...]


class Lines:
    """Lines (from 1) of tables and keys, for text that tomllib has taken. Tables of an array are numbered: ``("sinks", 0)``."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        arrays: dict[Path, int] = {}
        table: Path = ()
        quote = ""
        for number, line in enumerate(text.splitlines(), 1):
            inside, quote = quote, _open_quote(line, quote)
            if inside:  # in the midst of a text of several lines
                continue
            header, key = _HEADER.match(line), _KEY.match(line)
            if header is not None:
                table = _parts(header[2])
                if header[1] == "[[":
                    arrays[table] = arrays.get(table, -1) + 1
                    table = (*table, arrays[table])
                self._lines.setdefault(table, number)
            elif key is not None:
                self._lines.setdefault((*table, *_parts(key[1])), number)

    def of(self, path: Path) -> int:
        """The line of the value at ``path``, or of the nearest table or key that holds it; 1 for the file."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return 1


def toml_text(text: str) -> str:
    """``text`` as a TOML basic string, quotes included. What TOML cannot hold (half a character) is written as a ``?``."""
    kept = text.encode("utf-8", "replace").decode()
    return '"' + "".join(_escaped(c) for c in kept) + '"'


def toml_key(text: str) -> str:
    """``text`` as a TOML key: bare if it may be, else quoted."""
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else toml_text(text)


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _parts(text: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(text))


def _open_quote(line: str, quote: str) -> str:
    """The triple quote that is open at the end of ``line``, if ``quote`` was at its beginning. Comments and texts of one line
    may hold quotes of any kind."""
    at = 0
    while at < len(line):
        if quote:
            if line[at] == "\\" and quote[0] == '"':
                at += 2
            elif line.startswith(quote, at):
                at, quote = at + len(quote), ""
            else:
                at += 1
        elif line[at] == "#":
            return ""
        elif line[at] in "\"'":
            triple = line[at] * 3
            quote = triple if line.startswith(triple, at) else line[at]
            at += len(quote)
        else:
            at += 1
    return quote
