"""Writes ``schema.json``, what the .tflite schema says of tables, unions and enumerations, from the installed LiteRT.

``python -m quantization.tflite.schema_table`` reads the Python code that flatc made of the schema and that ai-edge-litert
ships, and keeps names, places, types and defaults alone: 30 kB in place of 700 kB, and no LiteRT is needed to read a file.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

SCHEMA = Path(__file__).with_name("schema.json")
_ADD = re.compile(
    r"^def (\w+)\(builder, \w+\):\n    builder\.Prepend(\w+)Slot\((\d+), .*, (\S+)\)$", re.MULTILINE
)
_SCALAR = re.compile(r"number_types\.(\w+)Flags, a \+")
_TABLE = re.compile(r"obj = (\w+)\(\)")


def schema_table() -> dict[str, Any]:
    """``tables``: fields by place, "name type" or "name type default"; ``unions``, ``enumerations``: names by number.

    A vector's type is in brackets; a field that the schema no longer has is "".
    """
    from ai_edge_litert import schema_py_generated as generated

    source = inspect.getsource(generated)
    classes = {name: value for name, value in vars(generated).items() if inspect.isclass(value)}
    tables = {name: value for name, value in classes.items() if hasattr(value, "Init")}
    unions = {name for name in classes if f"{name}Creator" in vars(generated)}
    fields: dict[str, dict[int, str]] = {name: {} for name in tables}
    for match in _ADD.finditer(source):
        function, kind, place, default = match.groups()
        table = max((t for t in tables if function.startswith(f"{t}Add")), key=len)
        accessor = function.removeprefix(f"{table}Add")
        fields[table][int(place)] = _field(generated, tables[table], accessor, kind, default)
    numbers = {
        name: {v: k for k, v in vars(value).items() if isinstance(v, int)}
        for name, value in classes.items()
        if not hasattr(value, "Init") and not name.endswith("T")
    }
    return {
        "source": f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}",
        "tables": {name: _by_place(found) for name, found in sorted(fields.items())},
        "unions": {name: _by_place(numbers[name]) for name in sorted(unions)},
        "enumerations": {name: _by_place(n) for name, n in sorted(numbers.items()) if name not in unions},
    }


def _field(generated: ModuleType, table: Any, accessor: str, kind: str, default: str) -> str:
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", accessor).lower()
    if kind != "UOffsetTRelative":
        return f"{name} {kind.lower()}" + ("" if default in ("0", "0.0", "False") else f" {default.lower()}")
    code = inspect.getsource(getattr(table, accessor))
    vector = re.search(r"def \w+\(self, j\)", code) is not None
    if "Union(obj, o)" in code:
        unpack = inspect.getsource(getattr(generated, f"{table.__name__}T")._UnPack)
        found = re.search(rf"= (\w+)Creator\(self\.\w+, \w+\.{accessor}\(\)\)", unpack)
        assert found is not None, (table, accessor)
        return f"{name} {found[1]}"
    if "_tab.String(" in code:
        inner = "string"
    else:
        found = (_SCALAR if vector and _SCALAR.search(code) else _TABLE).search(code)
        assert found is not None, (table, accessor)
        inner = found[1].lower() if found.re is _SCALAR else found[1]
    return f"{name} [{inner}]" if vector else f"{name} {inner}"


def _by_place(found: dict[int, str]) -> list[str]:
    return [found.get(place, "") for place in range(max(found, default=-1) + 1)]


def _lines(document: dict[str, Any]) -> Iterator[str]:
    """The document as JSON, a table a line."""
    yield "{"
    yield f'"source": {json.dumps(document["source"])},'
    parts = ("tables", "unions", "enumerations")
    for part in parts:
        yield f'"{part}": {{'
        rows = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in document[part].items()]
        yield ",\n".join(rows)
        yield "}" + ("," if part != parts[-1] else "")
    yield "}"


if __name__ == "__main__":
    SCHEMA.write_text("\n".join(_lines(schema_table())) + "\n")
