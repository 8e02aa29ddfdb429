"""Writes edgetool_protocol.h from protocol_table.py: ``python -m firmware_bridge.protocol.codec_c.generate [--check]``."""

from __future__ import annotations

import sys
from enum import IntEnum
from pathlib import Path

from firmware_bridge.protocol import table
from firmware_bridge.protocol.codec_c import FOLDER
from toolkit.files import write_bytes

HEADER = FOLDER / "edgetool_protocol.h"

_ENUMS: dict[str, type[IntEnum]] = {
    "ETF_TYPE": table.PacketType,
    "ETF_FORMAT": table.Format,
    "ETF_VALUE": table.ValueFormat,
    "ETF_COMMAND": table.CommandCode,
    "ETF_OPERATION": table.Operation,
    "ETF_ERROR": table.TargetError,
    "ETF_COUNTER": table.CounterKind,
    "ETF_SELF_TEST": table.SelfTest,
    "ETF_STATUS_FLAG": table.StatusFlag,
    "ETF_GRAPH": table.Graph,
    "ETF_FORMAT_BIT": table.FormatBit,
}
_C_UNITS = {
    "m/s^2": "M_PER_S2",
    "rad/s": "RAD_PER_S",
    "1": "FRACTION",
    "Nm/kg": "NM_PER_KG",
    "deg/s": "DEG_PER_S",
}


def _constants() -> dict[str, int]:
    """Names and values of the module's plain numbers, but those that only a host needs."""
    host_only = ("LEDGER_", "DEFAULT_", "MAX_OPEN_")
    return {
        name: value
        for name, value in vars(table).items()
        if isinstance(value, int) and name.isupper() and not name.startswith(host_only)
    }


def header_text() -> str:
    """The header, the same for the same table."""
    lines = [
        "/* Generated from firmware_bridge/protocol/table.py by firmware_bridge/protocol/codec_c/generate.py: do not edit.",
        " * The numbers of the edgetool protocol; PROTOCOL.md says what each means. Sizes are in bytes. */",
        "#ifndef EDGETOOL_PROTOCOL_H",
        "#define EDGETOOL_PROTOCOL_H",
        "",
    ]
    lines += [f"#define ETF_{name} {value}u" for name, value in _constants().items()]
    for prefix, kind in _ENUMS.items():
        lines += ["", f"/* {kind.__doc__ or ''} */"]
        lines += [f"#define {prefix}_{member.name} {member.value}u" for member in kind]
    lines += ["", "/* Unit codes of the descriptor. */"]
    lines += [
        f"#define ETF_UNIT_{_C_UNITS.get(unit, unit.upper())} {code}u"
        for unit, code in table.UNIT_CODES.items()
    ]
    lines += ["", "/* BLE service and characteristics. */"]
    lines += [
        f'#define ETF_{name} "{getattr(table, name)}"'
        for name in ("SERVICE_UUID", "NOTIFY_UUID", "WRITE_UUID")
    ]
    return "\n".join([*lines, "", "#endif", ""])


def main(arguments: list[str]) -> int:
    """Write the header, or with --check say whether it is up to date (exit code 1 if not)."""
    if arguments == ["--check"]:
        current = HEADER.read_text() == header_text()
        print(f"{Path(HEADER).name} is {'up to date' if current else 'out of date: run it without --check'}")
        return 0 if current else 1
    write_bytes(HEADER, header_text().encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
