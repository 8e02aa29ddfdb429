"""Where bytes come from, chosen by URL. A scheme's module is imported only when one of its URLs is opened."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from firmware_bridge.sources.base import Source, SourceUrl
from toolkit.errors import UsageError


@dataclass(frozen=True)
class Scheme:
    """One line of the table: module and class of the source, the form of its URLs, one line of help."""

    module: str
    source: str
    form: str
    help: str


#: scheme -> how to open it. Only what works is listed.
SCHEMES: dict[str, Scheme] = {
    "replay": Scheme(
        "firmware_bridge.sources.replay",
        "ReplaySource",
        "replay://FILE[?speed=1|max]",
        "a recording, in real time, faster, or as fast as it can",
    ),
    "serial": Scheme(
        "firmware_bridge.sources.serial_port",
        "SerialSource",
        "serial:///dev/ttyUSB0[?baud=921600]",
        "a serial port, for ourselves alone",
    ),
    "ble": Scheme(
        "firmware_bridge.sources.ble",
        "BleSource",
        "ble://ADDRESS|NAME|any[?notify=start|acquire&silence_s=1.5]",
        "a BLE node with the service of PROTOCOL.md",
    ),
    "lsl": Scheme(
        "firmware_bridge.sources.lsl",
        "LslSource",
        "lsl://NAME[?type=EMG&unit=uV&as=emg]",
        "a stream of the Lab Streaming Layer (extra lsl)",
    ),
    "brainflow": Scheme(
        "firmware_bridge.sources.brainflow",
        "BrainFlowSource",
        "brainflow://BOARD[?serial_port=/dev/ttyUSB0&streams=imu,emg]",
        "a board that BrainFlow reaches (extra brainflow)",
    ),
    "sim": Scheme(
        "firmware_bridge.simulator.source",
        "SimulatedSource",
        "sim://synthetic|FILE[?nodes=1&speed=1|max&seed=0&drop=0.01&...]",
        "virtual nodes in this process, with seeded faults",
    ),
}


def open_source(url: str) -> Source:
    """The source of ``url``, not yet connected (``async with`` connects it). UsageError for an unknown scheme or option."""
    parsed = SourceUrl.parse(url)
    scheme = SCHEMES.get(parsed.scheme)
    if scheme is None:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise UsageError(f"source {url!r}: scheme {parsed.scheme!r} is not known; allowed: {known}")
    kind = getattr(importlib.import_module(scheme.module), scheme.source)
    source = kind(parsed)
    assert isinstance(source, Source)
    return source
