"""What sensors can be reached from here: serial ports, BLE nodes that offer the service of PROTOCOL.md, LSL streams."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.sources.ble import SERVICE, ble_trouble
from toolkit.errors import MissingDependencyError


@dataclass(frozen=True)
class Found:
    """``url`` opens it; ``what`` says what it is. ``ours``: it offers PROTOCOL.md's service; None: not known."""

    url: str
    what: str
    ours: bool | None
    rssi_dbm: int | None = None


def serial_ports() -> list[Found]:
    """Serial ports with what their adapter says of itself."""
    from serial.tools import list_ports

    found = []
    for port in sorted(list_ports.comports()):
        parts = [port.manufacturer, port.product, port.serial_number]
        known = " ".join(part for part in parts if part)
        described = port.description if port.description != "n/a" else None  # pyserial's word for nothing
        found.append(Found(f"serial://{port.device}", known or described or "serial port", None))
    return found


async def ble_nodes(seconds: float = 5.0) -> tuple[list[Found], str | None]:
    """BLE devices seen in ``seconds``, ours first, strongest first; and why there is nothing to see, if so."""
    from bleak import BleakScanner

    try:
        seen = await BleakScanner.discover(timeout=seconds, return_adv=True)
    except (
        Exception
    ) as error:  # bleak passes on what the platform raises: no daemon, no adapter, no permission
        return [], f"BLE cannot be used: {ble_trouble(error)}"
    found = [
        Found(
            f"ble://{device.address}",
            device.name or "unnamed",
            SERVICE in advertised.service_uuids,
            advertised.rssi,
        )
        for device, advertised in seen.values()
    ]
    return sorted(found, key=lambda each: (not each.ours, -(each.rssi_dbm or -999))), None


def lsl_streams(seconds: float = 1.0) -> list[Found]:
    """LSL streams of numbers that answer within ``seconds``; none without pylsl. Blocks."""
    from firmware_bridge.sources.lsl import load_pylsl

    try:
        pylsl = load_pylsl()
    except MissingDependencyError:
        return []
    found = []
    for info in pylsl.resolve_streams(seconds):
        regular = info.nominal_srate() > 0 and info.channel_format() != pylsl.cf_string
        rate = f"{info.channel_count()} channels at {info.nominal_srate():g} Hz" if regular else "not samples"
        found.append(Found(f"lsl://{info.name()}", f"{info.type()}, {rate}", None))
    return sorted(found, key=lambda each: each.url)
