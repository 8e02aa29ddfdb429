"""What sensors can be reached from here: serial ports, and BLE nodes that offer the service of PROTOCOL.md."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.sources.ble import SERVICE, one_line


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
        found.append(Found(f"serial://{port.device}", known or port.description or "serial port", None))
    return found


async def ble_nodes(seconds: float = 5.0) -> tuple[list[Found], str | None]:
    """BLE devices seen in ``seconds``, ours first, strongest first; and why there is nothing to see, if so."""
    from bleak import BleakScanner

    try:
        seen = await BleakScanner.discover(timeout=seconds, return_adv=True)
    except (
        Exception
    ) as error:  # bleak passes on what the platform raises: no daemon, no adapter, no permission
        return [], f"BLE cannot be used: {one_line(error)}"
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
