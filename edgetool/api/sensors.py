"""Sensors and their recordings: scan, doctor, monitor, simulate, record, replay, recover, export."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgetool.api.waiting import apart, until_stopped
from toolkit.errors import UsageError
from toolkit.files import write_json
from toolkit.progress import Progress

if TYPE_CHECKING:
    from firmware_bridge.recording.export import ExportSummary
    from firmware_bridge.recording.recover import RecoverReport
    from firmware_bridge.simulator.virtual_link import VirtualLink
    from firmware_bridge.simulator.wearing import Wearing
    from firmware_bridge.tools.doctor import Diagnosis
    from firmware_bridge.tools.monitor import Health
    from firmware_bridge.tools.record import Marks, RecordSummary
    from firmware_bridge.tools.record import Progress as Recorded
    from firmware_bridge.tools.replay import ReplaySummary
    from firmware_bridge.tools.scan import Found
    from runtime.daemon.sensor_check import SensorCheck
    from runtime.settings import Settings


@dataclass(frozen=True)
class Reachable:
    """What :func:`scan` found, and why BLE is not available, if it is not."""

    found: tuple[Found, ...]
    ble_trouble: str | None


def scan(*, seconds: float = 5.0, json: str | Path | None = None) -> Reachable:
    """Serial ports, and the BLE nodes and LSL streams heard in ``seconds``, each with the URL that opens it.

    ``json`` also writes them to a file.
    """
    import asyncio

    from firmware_bridge.tools.scan import ble_nodes, lsl_streams, serial_ports

    async def listen() -> Reachable:
        (nodes, trouble), streams = await asyncio.gather(
            ble_nodes(seconds), asyncio.to_thread(lsl_streams, seconds)
        )
        return Reachable((*serial_ports(), *nodes, *streams), trouble)

    result = apart(lambda: asyncio.run(listen()))
    if json is not None:
        found = [asdict(each) for each in result.found]
        write_json(Path(json), {"found": found, "ble_trouble": result.ble_trouble})
    return result


def doctor(source: str, *, seconds: float = 5.0, json: str | Path | None = None) -> Diagnosis:
    """Listen to the URL ``source`` for ``seconds`` and say what is good, what is bad, and what to do.

    ``diagnosis.worst`` is the worst verdict. ``json`` writes the findings and the state. LinkError if ``source`` cannot be
    opened.
    """
    from firmware_bridge.tools.doctor import diagnose

    diagnosis = apart(lambda: diagnose(source, seconds))
    if json is not None:
        findings = [asdict(finding) for finding in diagnosis.findings]
        write_json(Path(json), {"findings": findings, "state": diagnosis.state})
    return diagnosis


def monitor(
    sources: str | Sequence[str] = (),
    *,
    config: str | Path | None = None,
    seconds: float | None = None,
    json: str | Path | None = None,
    show: Callable[[Health], None] | None = None,
) -> Health:
    """Follow the URLs ``sources`` for ``seconds`` (None: until they end or Ctrl-C): rates in Hz, lost frames, clocks.

    ``config`` is the daemon's TOML file: sensors are held against its model and calibration through its [inputs], and
    ``health.to_json()["sensors"]`` says whether they fit and what is doubted of them; its sources are used where none are
    given. ``show`` is called four times a second. ``json`` writes the last state. LinkError if a source cannot be opened.
    """
    from firmware_bridge.tools.monitor import monitor as work

    urls, check = list(_urls(sources)), None
    if config is not None:
        settings, check = _checked(config)
        urls = urls or list(settings.sources)
    if not urls:
        raise UsageError("give a source, or a configuration that has some")
    health = until_stopped(lambda stop: work(urls, seconds, show, stop, check))
    if json is not None:
        write_json(Path(json), health.to_json())
    return health


def simulate(
    *,
    serial: str | Path | None = None,
    ble: bool = False,
    data: str = "synthetic",
    nodes: int = 1,
    emg_bits: int = 16,
    fault: Sequence[str] = (),
    speed: float = 1.0,
    seed: int = 0,
    mounting: str | int = "",
    emg_gains: str | int = "",
    stand: float = 0.0,
    swing: float = 0.0,
    contraction: float = 0.0,
    seconds: float | None = None,
    show: Callable[[str], None] | None = None,
) -> None:
    """Play ``data`` as ``nodes`` virtual sensor nodes, until Ctrl-C or for ``seconds``.

    They are a serial port at the path ``serial``, or with ``ble`` BLE nodes on a private D-Bus; ``show`` is called with each
    line and the URL that opens them. ``emg_bits`` (16 or 24) is the size of EMG samples in volts, ``fault`` a list of
    NAME=VALUE (docs/BRIDGE.md) drawn with ``seed``, ``speed`` how much faster than measured they play. ``mounting`` turns the
    IMUs: a seed, or degrees about x, y and z of each one's segment (``shank:0/0/90,foot:10/0/0``). ``emg_gains`` are a seed or
    factors (``soleus:0.5``). The person first stands still for ``stand`` s, swings the leg with the
    sensors for ``swing`` s and contracts one muscle after the other for ``contraction`` s.

    Raises UsageError for options that exclude one another, OutputError if the port cannot be made.
    """
    from firmware_bridge.simulator.faults import Faults
    from firmware_bridge.simulator.source import programmes
    from firmware_bridge.simulator.virtual_link import VirtualLink
    from firmware_bridge.simulator.virtual_node import VirtualNode
    from firmware_bridge.simulator.wearing import Wearing

    if (serial is None) == (not ble):
        raise UsageError("give either --serial PATH or --ble")
    parsed = Faults.parse(dict(_fault(text) for text in fault))
    wearing = Wearing.parse(str(mounting), str(emg_gains), stand, swing, contraction)
    size = _frame_size(ble)
    show = show or (lambda _line: None)
    links = [
        VirtualLink(
            VirtualNode(programme.faster(speed), index, parsed, seed, max_frame=size, streaming=False), index
        )
        for index, programme in enumerate(programmes(data, nodes, emg_bits, wearing, parsed, seed))
    ]
    if wearing.given:
        for line in _worn(data, wearing):
            show(line)
    _play(links, None if serial is None else Path(serial), seconds, show)


def _worn(data: str, wearing: Wearing) -> list[str]:
    """What is played and how it is worn, of the first recording."""
    from firmware_bridge.simulator.wearing import words
    from toolkit.data import load

    return words(load("synthetic:people=1" if data == "synthetic" else data)[0], wearing)


def _frame_size(ble: bool) -> int:
    from firmware_bridge.protocol.table import MAX_FRAME_BYTES
    from firmware_bridge.simulator import ble_node

    return ble_node.MAX_FRAME if ble else MAX_FRAME_BYTES


def _play(
    links: list[VirtualLink], port: Path | None, seconds: float | None, show: Callable[[str], None]
) -> None:
    import asyncio
    import time

    from firmware_bridge.simulator import ble_node, pseudo_terminal
    from firmware_bridge.simulator.fake_bluez import PrivateBus

    started, until = time.monotonic(), seconds or float("inf")

    def clock() -> float:
        return time.monotonic() - started

    if port is not None:
        with pseudo_terminal.PseudoTerminal(port.absolute()) as terminal:
            show(f"serial://{terminal.path}")
            apart(lambda: asyncio.run(pseudo_terminal.serve(terminal, links, clock, until)))
        return
    with PrivateBus() as address:
        lines = [f"export DBUS_SYSTEM_BUS_ADDRESS={address!r}"]
        lines += [f"ble://{ble_node.address_of(index)}" for index in range(len(links))]

        def ready() -> None:
            for line in lines:
                show(line)

        apart(lambda: asyncio.run(ble_node.serve(links, address, clock, until, ready)))


def _fault(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--fault {text!r} must be NAME=VALUE, for instance drop=0.01")
    return name, value


def record(
    *,
    source: str | Sequence[str],
    out: str | Path,
    seconds: float | None = None,
    json: str | Path | None = None,
    progress: Recorded | None = None,
    marks: Marks | None = None,
    about: Mapping[str, str] | None = None,
    markers: str | Sequence[str] = (),
) -> RecordSummary:
    """Record what the URLs ``source`` send, byte for byte, to the new file ``out``, until Ctrl-C or for ``seconds``.

    ``about`` says what is recorded (person, trial, ...); what is passed to ``marks`` (``mark("heel strike")``, from any thread)
    is written with its time, and so are the event markers of the LSL streams ``markers`` (``lsl://NAME``), which may come, go
    and come back. ``json`` writes the totals and the ledger. ``progress`` is called with the seconds, the receiver and the
    writer. If the process is killed, at most the last tenth of a second is lost (docs/RECORDING.md). Raises LinkError when a
    source cannot be opened or all fail, OutputError when ``out`` exists or the disk is full.
    """
    from firmware_bridge.tools.record import record as work

    summary = until_stopped(
        lambda stop: work(_urls(source), Path(out), seconds, stop, progress, marks, about, _urls(markers))
    )
    if json is not None:
        write_json(Path(json), vars(summary))
    return summary


def replay(
    recording: str | Path,
    *,
    config: str | Path | None = None,
    speed: str | float = "max",
    json: str | Path | None = None,
) -> ReplaySummary:
    """Decode ``recording`` as if it were arriving now, ``speed`` times as fast as real time (``max``: as fast as it can).

    The summary has the streams with rate (Hz), samples and what is missing, and the ledger of each node; ``json`` writes
    it. ``config`` is the daemon's TOML file: ``summary.sensors`` then says whether what was recorded fits its model through
    its [inputs], and what was doubted. RecordingError if the file is no recording, or damaged in the middle.
    """
    from firmware_bridge.sources.replay import parse_speed
    from firmware_bridge.tools.replay import replay as work

    factor = parse_speed(str(speed))
    check = None if config is None else _checked(config)[1]
    summary = apart(lambda: work(Path(recording), factor, on_item=None if check is None else check.observe))
    if check is not None:
        summary = replace(summary, sensors=check.to_json())
    if json is not None:
        write_json(Path(json), summary.to_json())
    return summary


def recover(recording: str | Path, *, out: str | Path, json: str | Path | None = None) -> RecoverReport:
    """Copy every intact block of ``recording``, cut or damaged anywhere, to the new file ``out``.

    ``json`` writes the report. RecordingError if nothing in it is intact, OutputError if ``out`` exists.
    """
    from firmware_bridge.recording.recover import recover as work

    report = work(Path(recording), Path(out))
    if json is not None:
        write_json(Path(json), vars(report))
    return report


def export(
    recording: str | Path,
    *,
    format: Literal["csv", "parquet", "sto", "xdf", "mcap"],
    out: str | Path,
    fill: Literal["none", "hold", "interpolate"] = "none",
    json: str | Path | None = None,
    progress: Progress | None = None,
) -> ExportSummary:
    """Write the samples of ``recording`` in physical units as ``format``.

    ``out`` is a folder for one table per stream, for XDF and MCAP one file. ``fill`` says what replaces lost samples:
    nothing, the last value, or a straight line between neighbours. ``progress`` is called at each stage.
    ``json`` writes what was exported. Raises RecordingError for a file that is no recording or has no samples,
    MissingDependencyError for Parquet without pyarrow, OutputError if ``out`` cannot be written.
    """
    from firmware_bridge.recording.export import export as work

    summary = work(Path(recording), Path(out), format, fill, progress)
    if json is not None:
        write_json(Path(json), {"files": [str(f) for f in summary.files], "streams": list(summary.streams)})
    return summary


def _checked(config: str | Path) -> tuple[Settings, SensorCheck]:
    """The daemon's settings, and what holds sensors against its model."""
    from runtime.config import read_config
    from runtime.daemon.sensor_check import SensorCheck

    settings = read_config(config)
    return settings, SensorCheck(settings)


def _urls(sources: str | Sequence[str]) -> Sequence[str]:
    return [sources] if isinstance(sources, str) else sources
