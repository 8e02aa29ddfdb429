"""What a user would write without the daemon, as the load benchmark's other side: a thread a port, numpy, LiteRT.

It is helped: frames are decoded by our decoder, and filters are the contract's. Nodes' clocks are not looked at: each packet's
samples are taken as they come, rows are paired by counting, and every 10 ms row runs the int8 window graph.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import serial
from numpy.typing import NDArray

from benchmarks.studies.daemon_nodes import NODES, inputs
from firmware_bridge.protocol.decoder import LinkDecoder
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.packets import Command, Data, Descriptor
from firmware_bridge.protocol.table import ANY_NODE, MIN_FRAME_BYTES, CommandCode
from quantization.arithmetic.storage import TensorFormat, decode, encode
from quantization.bundle import Bundle
from toolkit.filtering.chain import Chain

Samples = NDArray[np.float64]


class Port:
    """One serial port: a thread that reads, decodes and puts samples into the common queue."""

    def __init__(self, path: Path, name: str, out: queue.Queue[tuple[str, int, Samples]]) -> None:
        self.decoder = LinkDecoder()
        self._name, self._out = name, out
        self._port = serial.Serial(str(path), 921_600, timeout=0.05)
        self._descriptor: Descriptor | None = None
        writer = FrameWriter(ANY_NODE, 1, MIN_FRAME_BYTES)
        for frame in writer.frames(Command(CommandCode.START), 0):
            self._port.write(frame)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            data = self._port.read(max(1, self._port.in_waiting))
            arrival_ns = time.monotonic_ns()
            for received in self.decoder.feed(data, arrival_ns) if data else ():
                if isinstance(received.packet, Descriptor):
                    self._descriptor = received.packet
                elif isinstance(received.packet, Data) and self._descriptor is not None:
                    stream = self._descriptor.stream(received.packet.stream)
                    assert stream is not None
                    values = stream.physical(received.packet.values())
                    self._out.put((f"{self._name}/{stream.name}", arrival_ns, values))


class Model:
    """The int8 window graph on LiteRT."""

    def __init__(self, bundle: Bundle) -> None:
        from ai_edge_litert.interpreter import Interpreter

        graph = bundle.graph("window", "int8")
        self._interpreter: Any = Interpreter(model_content=graph.content, num_threads=1)
        self._interpreter.allocate_tensors()
        self._inputs = {str(d["name"]): d for d in self._interpreter.get_input_details()}
        self._output = self._interpreter.get_output_details()[0]

    def run(self, windows: dict[str, NDArray[np.float32]]) -> list[float]:
        """Moments of one window."""
        self._interpreter.reset_all_variables()
        for name, rows in windows.items():
            detail = self._inputs[name]
            self._interpreter.set_tensor(detail["index"], encode(rows[None], _format(detail)))
        self._interpreter.invoke()
        raw = self._interpreter.get_tensor(self._output["index"])
        moments: list[float] = decode(raw, _format(self._output)).reshape(-1).tolist()
        return moments


def _format(detail: Any) -> TensorFormat:
    scale, zero_point = detail["quantization"]
    shape = tuple(int(v) for v in detail["shape"])
    return TensorFormat(str(detail["name"]), shape, np.dtype(detail["dtype"]), float(scale), int(zero_point))


def run(folder: Path, bundle: Bundle, out: Path, seconds: float) -> dict[str, int]:
    """Until ``seconds`` are over, moments as lines into ``out``; the frames that were sent and lost."""
    began = time.monotonic()
    contract, model = bundle.contract, Model(bundle)
    arrived: queue.Queue[tuple[str, int, Samples]] = queue.Queue()
    ports = [Port(folder / name, name, arrived) for name in NODES]
    chains = {item.stream.name: Chain.of(item, contract.grid_rate_hz) for item in contract.inputs}
    columns: dict[str, list[str]] = inputs()
    raw: dict[str, Samples] = {}
    features: dict[str, NDArray[np.float32]] = {
        item.stream.name: np.empty((0, len(item.stream.channels)), np.float32) for item in contract.inputs
    }
    owed = dict.fromkeys(features, 0)  # rows of each input that are not yet part of a moment
    with out.open("w") as lines:
        while time.monotonic() - began < seconds:
            try:
                name, arrival_ns, values = arrived.get(timeout=0.1)
            except queue.Empty:
                continue
            raw[name] = np.concatenate([raw[name], values]) if name in raw else values
            for stream, wanted in columns.items():
                count = min(len(raw.get(each, ())) for each in wanted)
                if not count:
                    continue
                joined = np.concatenate([raw[each][:count] for each in wanted], axis=1)
                for each in wanted:
                    raw[each] = raw[each][count:]
                fresh = chains[stream].push(joined)
                features[stream] = np.concatenate([features[stream], fresh])
                owed[stream] += len(fresh)
            for _ in range(min(owed.values())):
                windows = {}
                for stream, rows in features.items():
                    stop = len(rows) - owed[stream] + 1
                    windows[stream] = rows[max(0, stop - contract.window) : stop]
                    owed[stream] -= 1
                if all(len(rows) == contract.window for rows in windows.values()):
                    moments = model.run(windows)
                    now_ns = time.monotonic_ns()
                    said = {
                        "age_ms": (now_ns - arrival_ns) * 1e-6,
                        "published_ns": now_ns,
                        "moments": dict(zip((c.name for c in contract.outputs), moments)),
                    }
                    lines.write(json.dumps(said, separators=(",", ":")) + "\n")
            lines.flush()
            for stream, rows in features.items():
                features[stream] = rows[-(contract.window + owed[stream]) :]
    balances = [port.decoder.balance() for port in ports]
    return {
        "sent": sum(balance.sent for balance in balances),
        "lost": sum(balance.sent - balance.delivered for balance in balances),
    }


if __name__ == "__main__":
    where, which, lines_file, counts, how_long = sys.argv[1:]
    result = run(Path(where), Bundle.load(which), Path(lines_file), float(how_long))
    Path(counts).write_text(json.dumps(result))
