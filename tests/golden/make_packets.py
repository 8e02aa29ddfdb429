"""Writes tests/golden/packets: one .bin of wire frames a packet, and packets.json with what is in them.

Run it only when PROTOCOL.md changes: ``python tests/golden/make_packets.py``. Both codecs are held to these files.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from firmware_bridge.protocol.framing import FrameWriter, Packet
from firmware_bridge.protocol.packets import (ChannelDescriptor, Command, Data, Descriptor, Status, StreamDescriptor, SyncReply, SyncRequest,)
from firmware_bridge.protocol.table import (UNASKED_SEQUENCE, CommandCode, CounterKind, Format, Operation, SelfTest, TargetError, ValueFormat,)
from firmware_bridge.protocol.target_packets import (Identity, Reply, Request, SelfTestResult, StackUse, pack_values,)

FOLDER = Path(__file__).parent / "packets"


def _descriptor() -> Descriptor:
    axes = [f"{segment}_{kind}_{axis}" for segment in ("foot", "shank") for kind in ("accel", "gyro") for axis in "xyz"]
    imu = tuple(
        ChannelDescriptor(name, "m/s^2" if "accel" in name else "rad/s", 0.0047884033203125, 156.90640)
        for name in axes
    )
    emg = tuple(ChannelDescriptor(f"emg{i}", "uV", 0.022351744, 187_500.0) for i in range(4))
    envelope = (ChannelDescriptor("soleus", "1", 1.0),)
    return Descriptor(
        "left leg µ",
        (
            StreamDescriptor(0, "imu", Format.INT16, 200.0, imu),
            StreamDescriptor(1, "emg", Format.INT24, 1000.0, emg),
            StreamDescriptor(9, "envelope", Format.FLOAT32, 148.148148, envelope),
        ),
        bytes.fromhex("0123456789abcdef"),
        "edgetool node rev B 0042",
    )


def _identity() -> Identity:
    return Identity(
        clock_hz=168_000_000,
        counter=CounterKind.INSTRUCTIONS,
        counter_step=31.25,
        graphs=3,
        self_test=SelfTest.PASSED,
        formats=5,
        window=64,
        max_frame=512,
        max_message=4096,
        channels=(24, 9),
        outputs=3,
        output_format=ValueFormat.INT16,
        contract_hash=bytes(range(32)),
        model_hash=bytes(range(255, 223, -1)),
        board="mps3-an547",
        core="cortex-m55",
        build="gcc 12.2.1 -O3, edgetool 0.1.0",
    )


def goldens() -> dict[str, tuple[Packet, dict[str, int]]]:
    """Name -> packet, and the sender's state when it sends it."""
    window = pack_values(ValueFormat.INT8, [np.arange(64 * 24) % 251 - 125, np.arange(64 * 9) % 127 - 63])
    extremes16 = [[-32768, 32767, 0], [1, -1, 256]]
    extremes24 = [[-8388608, 8388607], [0, -1], [65536, -65536]]
    base = {"node": 1, "boot": 7, "sequence": 0, "device_us": 1, "max_frame": 244}
    model = bytes.fromhex("deadbeef")
    return {
        "descriptor": (_descriptor(), base),
        "descriptor_small_frames": (_descriptor(), {**base, "max_frame": 64, "sequence": 0xFFFFFFFA}),
        "data_int16": (Data.of(0, Format.INT16, 0xFFFFFFFE, extremes16), {**base, "sequence": 0x00FF0001}),
        "data_int24": (Data.of(1, Format.INT24, 77, extremes24), {**base, "device_us": 0xFFFFFFFF}),
        "data_float32": (Data.of(9, Format.FLOAT32, 3, [[0.25], [-1e-20], [3.4e38]]), base),
        "data_largest": (
            Data.of(255, Format.INT16, 1, (np.arange(243) * 257 % 65536 - 32768)[:, None]),
            {**base, "node": 254, "boot": 255, "sequence": 0xFFFFFFFF, "max_frame": 512},
        ),
        "data_zeros": (Data.of(0, Format.INT16, 0, np.zeros((20, 6), int)), {**base, "node": 0, "boot": 0, "device_us": 0}),
        "sync_request": (SyncRequest(0x0123456789ABCDEF), {**base, "node": 255, "device_us": 0}),
        "sync_reply": (SyncReply(0x0123456789ABCDEF, 0xFFFFFFF0), {**base, "device_us": 4}),
        "status": (Status(87, 3, 3712, 5, 600, 2, (1, 4, 300)), base),
        "status_unknown": (Status(), base),
        "command_start": (Command(CommandCode.START), {**base, "node": 255, "device_us": 0}),
        "request_identify": (Request(Operation.IDENTIFY), {**base, "device_us": 0, "sequence": 1000}),
        "request_window": (
            Request(Operation.WINDOW, ValueFormat.INT8, window, model),
            {**base, "device_us": 0, "sequence": 0xFFFFFFFE, "max_frame": 512},
        ),
        "request_tensor": (Request.tensor(12, 480, 480, model), {**base, "device_us": 0}),
        "reply_identify": (
            Reply(Operation.IDENTIFY, TargetError.NONE, ValueFormat.NONE, 0, UNASKED_SEQUENCE, 0, bytes(_identity())),
            {**base, "max_frame": 512},
        ),
        "reply_window": (
            Reply(
                Operation.WINDOW,
                TargetError.NONE,
                ValueFormat.INT16,
                9,
                0xFFFFFFFE,
                123_456,
                pack_values(ValueFormat.INT16, [np.array([-32768, 0, 32767])]),
            ),
            base,
        ),
        "reply_other_model": (Reply(Operation.STEP, TargetError.OTHER_MODEL, ValueFormat.NONE, 9, 5), base),
        "reply_self_test": (
            Reply(Operation.SELF_TEST, TargetError.NONE, ValueFormat.NONE, 9, 6, 77, bytes(SelfTestResult(16, 0, None))),
            base,
        ),
        "reply_stack": (
            Reply(Operation.STACK, TargetError.NONE, ValueFormat.NONE, 9, 7, 0, bytes(StackUse(4096, 1512))),
            base,
        ),
    }


def plain(value: Any) -> Any:
    """JSON values of a packet: bytes as hex, enumerations as numbers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


def main() -> None:
    """Write all files."""
    listing = {}
    for name, (packet, sender) in goldens().items():
        settings = dict(sender)
        writer = FrameWriter(settings["node"], settings["boot"], settings["max_frame"], settings["sequence"])
        frames = writer.frames(packet, settings["device_us"])
        (FOLDER / f"{name}.bin").write_bytes(b"".join(frames))
        listing[name] = {"type": type(packet).__name__, "frames": len(frames), **settings, "packet": plain(packet)}
    (FOLDER / "packets.json").write_text(json.dumps(listing, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
