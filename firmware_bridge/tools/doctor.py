"""Is this link good enough for this sensor, and what to do if not: required against achievable, latency, loss, clock."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from firmware_bridge.protocol.framing import largest_body
from firmware_bridge.protocol.packets import Descriptor
from firmware_bridge.protocol.table import (
    CRC_BYTES,
    DATA_HEADER_BYTES,
    FORMAT_BYTES,
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    MAX_SAMPLES,
    MIN_FRAME_BYTES,
)
from firmware_bridge.sources import open_source
from firmware_bridge.sources.base import SourceUrl
from firmware_bridge.tools.monitor import Health, monitor

#: The largest ATT MTU that radios commonly agree on; taken where the platform does not tell what was negotiated.
_USUAL_MTU = 247
#: Below this a node must cut its frames over several notifications (PROTOCOL.md section 10).
_LEAST_MTU = 67
#: The part of a 1M PHY's time that a connection gets to use in practice, with other connections, scanning and repeats.
_BLE_SHARE = 0.82
#: Arrivals closer together than this are of one connection event.
_BURST_S = 0.003
_PACKET_S = 0.02

Verdict = Literal["good", "warning", "bad"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at: how it is, and what to do (empty if nothing)."""

    verdict: Verdict
    what: str
    advice: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All findings on one source, and the state they were made from."""

    findings: tuple[Finding, ...]
    state: dict[str, Any]

    @property
    def worst(self) -> Verdict:
        """The worst verdict."""
        order: tuple[Verdict, ...] = ("bad", "warning", "good")
        return next((v for v in order if any(f.verdict == v for f in self.findings)), "good")


def required_bytes_per_s(descriptor: Descriptor, max_frame: int = MAX_FRAME_BYTES) -> float:
    """Wire bytes a second of a node's streams, with packets of at most 20 ms in frames of ``max_frame`` bytes."""
    room = largest_body(max_frame) - HEADER_BYTES - CRC_BYTES - DATA_HEADER_BYTES
    total = 0.0
    for stream in descriptor.streams:
        size = FORMAT_BYTES[stream.format] * len(stream.channels)
        samples = max(1, min(room // size, MAX_SAMPLES, int(_PACKET_S * stream.rate_hz)))
        # Each packet: header, data header, CRC, COBS and delimiter (3 bytes at these sizes).
        packet = samples * size + HEADER_BYTES + DATA_HEADER_BYTES + CRC_BYTES + 3
        total += packet * stream.rate_hz / samples
    return total


def ble_bytes_per_s(mtu: int) -> float:
    """Estimated bytes a second of notifications of ``mtu`` - 3 bytes over a 1M PHY with data length extension.

    On air (Bluetooth Core 5.4, volume 6, part B): preamble 1, access address 4, header 2, L2CAP 4, ATT 3, MIC 4 (if it is
    encrypted) and CRC 3 bytes more, at 8 us a byte; then two pauses of 150 us and an empty packet of 80 us as
    acknowledgement. 2M carries about 1.7 times that.
    """
    payload = min(mtu, _USUAL_MTU) - 3
    return _BLE_SHARE * payload / (((payload + 21) * 8 + 380) * 1e-6)


def diagnose(url: str, seconds: float = 5.0) -> Diagnosis:
    """Listen to ``url`` for ``seconds`` and judge. LinkError if it cannot be opened at all."""
    source = open_source(url)
    health = asyncio.run(monitor(source, seconds))
    return Diagnosis(tuple(judge(source.url, health, source.facts)), health.to_json())


def judge(url: SourceUrl, health: Health, facts: Mapping[str, float] | None = None) -> list[Finding]:
    """Findings from what was heard, and from what the source says of its transport (:attr:`Source.facts`)."""
    facts = facts or {}
    descriptors = list(health.session.receiver.descriptors.values())
    if not health.session.receiver.balance().sent:
        advice = (
            "is the node on, and does it speak this protocol at this baud rate (firmware_bridge/PROTOCOL.md)?"
        )
        return [Finding("bad", "no intact frame was heard", advice)]
    findings = [
        *_capacity(url, descriptors, facts),
        *_loss(url, health),
        *_rates(health),
        *_clock(url, health),
    ]
    if url.scheme == "serial":
        findings += _usb_latency(Path(url.address))
    if url.scheme == "ble":
        findings += [_mtu(facts.get("att_mtu")), _interval(health.arrivals_s)]
    if url.scheme == "lsl":
        what = "LSL does not report losses: missing samples are inferred from jumps in the stamps"
        findings.append(Finding("warning", what, "ask the sensor's own program what it lost"))
    return findings


def _mtu(mtu: float | None) -> Finding:
    if mtu is None:
        what = f"the negotiated MTU cannot be read here (BlueZ before 5.62, or another platform); {_USUAL_MTU} is assumed"
        return Finding("warning", what, "if frames are lost, have the node log the MTU it got")
    what = f"negotiated ATT MTU {mtu:g}: notifications of up to {mtu - 3:g} bytes"
    if mtu >= _USUAL_MTU - 64:
        return Finding("good", what)
    advice = "have the node ask for an MTU of 247 and data length extension"
    return Finding("bad" if mtu < _LEAST_MTU else "warning", what, advice)


def _interval(arrivals_s: Sequence[float]) -> Finding:
    """The connection interval, which BlueZ tells nobody: seen from outside as the time between bursts of notifications."""
    times = np.array(arrivals_s)
    bursts = times[np.concatenate([[True], np.diff(times) > _BURST_S])] if len(times) else times
    what = "the connection interval cannot be read through BlueZ"
    if len(bursts) < 20:
        return Finding("warning", what + ", and too little data came to measure it", "listen for longer")
    gap_ms = float(np.median(np.diff(bursts))) * 1e3
    what += f"; data come every {gap_ms:.1f} ms (median, measured), so it is no longer than that"
    advice = (
        "ask for an interval of 15 ms or less: in the node, or Linux's conn_max_interval"
        if gap_ms > 50
        else ""
    )
    return Finding("warning" if advice else "good", what, advice)


def _capacity(url: SourceUrl, descriptors: list[Descriptor], facts: Mapping[str, float]) -> list[Finding]:
    if not descriptors:
        return [
            Finding("bad", "no descriptor was heard", "the node must send one every 5 s; listen for longer")
        ]
    mtu = int(facts.get("att_mtu", _USUAL_MTU))
    frame = max(MIN_FRAME_BYTES, min(mtu - 3, MAX_FRAME_BYTES)) if url.scheme == "ble" else MAX_FRAME_BYTES
    need = sum(required_bytes_per_s(each, frame) for each in descriptors)
    if url.scheme == "serial":
        have, how = url.number("baud", 921_600, 300, 12_000_000) / 10, "baud rate / 10"
        advice = f"use at least {int(need * 10 / 0.7):,} baud, or fewer channels"
    elif url.scheme == "ble":
        have, how = ble_bytes_per_s(mtu), f"estimated for 1M PHY and MTU {mtu}"
        advice = "use the 2M PHY and the largest MTU, send EMG envelopes instead of raw EMG, or use serial"
    else:
        return [Finding("good", f"the streams need {need / 1000:.1f} kB/s")]
    what = f"the streams need {need / 1000:.1f} of {have / 1000:.1f} kB/s ({how})"
    share = need / have
    return [
        Finding(
            "bad" if share > 1 else "warning" if share > 0.7 else "good", what, advice if share > 0.7 else ""
        )
    ]


def _loss(url: SourceUrl, health: Health) -> list[Finding]:
    balance = health.session.receiver.balance()
    lost = balance.gap + balance.crc_failed + balance.dropped_in_host
    share = lost / balance.sent
    what = f"{lost} of {balance.sent} frames lost ({balance.gap} gone, {balance.crc_failed} damaged, "
    what += f"{balance.dropped_in_host} not readable)"
    verdict: Verdict = "bad" if share > 0.01 else "warning" if lost else "good"
    damaged = "damage: check the cable, ground and baud rate"
    gone = "loss: shorten the distance, or reduce the load on the link"
    advice = "" if not lost else damaged if balance.crc_failed > balance.gap else gone
    dropped = sum(status.samples_dropped for status in health.session.status.values())
    findings = [Finding(verdict, what, advice)]
    if dropped and url.scheme in ("lsl", "brainflow"):
        what = f"{dropped} samples were left out because a value was not a number"
        findings.append(Finding("warning", what, "check the sensor, or leave its channel out of the stream"))
    elif dropped:
        what, advice = (
            f"the node had to drop {dropped} samples",
            "the link carries less than the node measures",
        )
        findings.append(Finding("warning", what, advice))
    return findings


def _rates(health: Health) -> list[Finding]:
    findings = []
    for each in health.streams.values():
        if each.measured_hz is None:
            continue
        off = abs(each.measured_hz / each.nominal_hz - 1)
        if off > 0.05:
            what = f"{each.node}/{each.stream} brings {each.measured_hz:.0f} of {each.nominal_hz:g} samples per second"
            findings.append(
                Finding("warning", what, "samples are lost, or the descriptor states a wrong rate")
            )
    return findings


def _clock(url: SourceUrl, health: Health) -> list[Finding]:
    findings = []
    for key in health.session.receiver.descriptors:
        clock, name = health.session.clock(key), health.session.receiver.name(key)
        if clock is None or clock.error_s == float("inf"):
            findings.append(
                Finding("warning", f"{name} sets no clock", "samples are placed by their arrival")
            )
            continue
        what = f"{name}: times are known to ±{clock.error_s * 1e3:.2f} ms"
        if not clock.synced:
            stamped = "BrainFlow stamps samples when they arrive: the delay of radio and USB before that is not known"
            advice = stamped if url.scheme == "brainflow" else "the node answers no sync requests"
            findings.append(Finding("warning", what + " (assumed)", advice))
        else:
            findings.append(Finding("good" if clock.error_s < 0.005 else "warning", what))
    return findings


def _usb_latency(port: Path) -> list[Finding]:
    """The FTDI driver holds bytes back for its latency timer, 16 ms unless set."""
    timer = Path("/sys/bus/usb-serial/devices") / port.resolve().name / "latency_timer"
    if not timer.exists():
        return []
    milliseconds = int(timer.read_text())
    advice = f"echo 1 | sudo tee {timer}" if milliseconds > 4 else ""
    return [Finding("warning" if advice else "good", f"USB latency timer {milliseconds} ms", advice)]
