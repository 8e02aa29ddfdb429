"""``brainflow://BOARD``: a board that BrainFlow reaches (Cyton, Ganglion, Shimmer3, gForce and 50 more; extra ``brainflow``).

BrainFlow gives rows of numbers; :mod:`sample_node` makes frames of them. Boards whose package counter's turn is known
say themselves how many samples are missing; for the others holes are inferred from the stamps. For most boards the
stamps are the host's time of receipt (BrainFlow, Data Format Description), so what radio and USB took before is unknown,
and the error bar rests on the assumption of a session without sync replies.
"""

from __future__ import annotations

import difflib
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.protocol.packets import ChannelDescriptor, Descriptor, StreamDescriptor
from firmware_bridge.protocol.table import MAX_CHANNELS, Format
from firmware_bridge.sources.base import SourceUrl
from firmware_bridge.sources.sample_node import SampleClock, SampleNode
from firmware_bridge.sources.threaded import ThreadedSource
from toolkit.errors import LinkError, MissingDependencyError, UsageError

#: Kind of channel -> BrainFlow's key in a board's description, its unit (BrainFlow: "Units of Measure"; g and deg/s for
#: motion sensors as all boards' parsers scale them), the stem of channel names.
_KINDS = {
    "emg": ("emg_channels", "uV", "emg"),
    "eeg": ("eeg_channels", "uV", "eeg"),
    "ecg": ("ecg_channels", "uV", "ecg"),
    "accel": ("accel_channels", "g", "accel"),
    "gyro": ("gyro_channels", "deg/s", "gyro"),
}
#: What a model's inputs are called -> the kinds of which it is made.
_STREAMS = {"imu": ("accel", "gyro"), **{name: (name,) for name in _KINDS}}
#: Board -> numbers its package counter goes through, and how far apart two samples in a row are.
_COUNTERS = {
    "SYNTHETIC": (256, 1),
    "CYTON": (256, 1),
    "CYTON_WIFI": (256, 1),
    "CYTON_DAISY": (256, 2),  # two packages make one sample
}
_TEXTS = ("serial_port", "mac_address", "ip_address", "other_info", "serial_number", "file")
_NUMBERS = ("ip_port", "ip_protocol", "timeout")
_PRESETS = ("default", "auxiliary", "ancillary")
_POLL_S = 0.01
#: BrainFlow's ring, in samples: half a minute at 500 Hz.
_RING = 15_000


class BrainFlowSource(ThreadedSource):
    """Options: BrainFlow's own (``serial_port``, ``mac_address``, ``ip_address``, ``ip_port``, ``ip_protocol``, ``timeout``,
    ``serial_number``, ``other_info``, ``file``, ``master_board``), ``preset`` (default, auxiliary, ancillary), ``streams`` (of
    imu, emg, eeg, ecg, accel, gyro; separated by commas), ``silence_s`` (3; nothing for so long is a lost link)."""

    def __init__(self, url: SourceUrl) -> None:
        super().__init__(url)
        url.allow(*_TEXTS, *_NUMBERS, "master_board", "preset", "streams", "silence_s")
        self._silence_s = url.number("silence_s", 3.0, 0.1, 600.0)
        preset = url.options.get("preset", "default")
        if preset not in _PRESETS:
            raise UsageError(f"source {url.text!r}: preset is {preset!r}; allowed: {', '.join(_PRESETS)}")
        self._preset = _PRESETS.index(preset)
        streams = url.options.get("streams")
        self._wanted = None if streams is None else streams.split(",")
        for name in self._wanted or ():
            if name not in _STREAMS:
                raise UsageError(f"source {url.text!r}: stream {name!r}; allowed: {', '.join(_STREAMS)}")
        self._board: Any = None
        self._boot = -1
        self._reader: _Reader | None = None

    @property
    def links(self) -> tuple[str, ...]:
        """The board."""
        return (f"brainflow {self.url.address}",)

    def connect(self) -> None:
        """Prepare a session with the board and start its stream."""
        shim = _shim()
        board_id, counted = self._boards(shim)
        parameters = self._parameters(shim)
        try:
            description = shim.BoardShim.get_board_descr(counted, self._preset)
            rows, descriptor = _describe(description, self._wanted, self.url)
            self._board = shim.BoardShim(board_id, parameters)
            self._board.prepare_session()
            self._board.start_stream(_RING)
        except shim.BrainFlowError as error:
            raise LinkError(f"brainflow cannot open {self.url.address}: {_advice(error)}") from None
        # The board's counters begin anew.
        self._boot = (self._boot + 1) % 256
        name = shim.BoardIds(counted).name.removesuffix("_BOARD")
        node = SampleNode(descriptor, self._boot)
        self._reader = _Reader(description, rows, node, _COUNTERS.get(name) if self._preset == 0 else None)

    def read(self) -> Iterator[bytes]:
        """Frames of what comes; LinkError after ``silence_s`` without any. A played file ends with its last row."""
        shim, reader = _shim(), self._reader
        assert reader is not None
        heard_s = time.monotonic()
        while True:
            self.stopping.wait(_POLL_S)
            try:
                table = self._board.get_board_data(preset=self._preset)
            except shim.BrainFlowError as error:
                raise LinkError(f"brainflow lost {self.url.address}: {_advice(error)}") from None
            now_s = time.monotonic()
            if table.shape[1]:
                heard_s = now_s
            elif now_s - heard_s > self._silence_s:
                if "file" in self.url.options:
                    return
                raise LinkError(f"no data from {self.url.address} for {self._silence_s:g} s")
            yield reader.frames(table, now_s)

    def disconnect(self) -> None:
        """Release the session."""
        board, self._board = self._board, None
        if board is None:
            return
        for action in (board.stop_stream, board.release_session):
            try:
                action()
            except _shim().BrainFlowError:
                continue  # it was not streaming, or is gone

    def _boards(self, shim: Any) -> tuple[int, int]:
        """The board to open, and the one whose rows it gives (another for a played file)."""
        board = _board_id(shim, self.url.address, self.url)
        master = self.url.options.get("master_board")
        if (master is not None) != (shim.BoardIds(board).name in ("PLAYBACK_FILE_BOARD", "STREAMING_BOARD")):
            raise UsageError(
                f"source {self.url.text!r}: master_board= goes with playback_file and streaming, and they need it"
            )
        return board, board if master is None else _board_id(shim, master, self.url)

    def _parameters(self, shim: Any) -> Any:
        parameters = shim.BrainFlowInputParams()
        for name in _TEXTS:
            setattr(parameters, name, self.url.options.get(name, ""))
        for name in _NUMBERS:
            setattr(parameters, name, int(self.url.number(name, 0, 0, 65_535)))
        if "master_board" in self.url.options:
            parameters.master_board = _board_id(shim, self.url.options["master_board"], self.url)
        return parameters


class _Reader:
    """Frames of what a board gives. ``counter``: (turn, step) of its package counter, None if it is not to be trusted."""

    def __init__(
        self,
        description: dict[str, Any],
        rows: dict[int, list[int]],
        node: SampleNode,
        counter: tuple[int, int] | None,
    ) -> None:
        self._rows, self._node, self._counter = rows, node, counter
        self._package, self._stamp = description["package_num_channel"], description["timestamp_channel"]
        self._clock = SampleClock(description["sampling_rate"])
        self._rate_hz = float(description["sampling_rate"])
        # BrainFlow stamps with the time of day; what it is ahead of the monotonic clock holds for this boot session.
        self._wall_s = time.time() - time.monotonic()
        self._last: tuple[int, float] | None = None

    def frames(self, table: NDArray[np.float64], now_s: float) -> bytes:
        """Frames of a table (channels, samples), after what housekeeping is due."""
        out = self._node.housekeeping(now_s)
        if not table.shape[1]:
            return out
        # What has no time or number is left out, as what has no value is.
        table = table[:, np.isfinite(table[[self._stamp, self._package]]).all(axis=0)]
        stamps = table[self._stamp] - self._wall_s
        numbers, times_s = self._clock.number_samples(stamps, self._steps(table[self._package], stamps))
        times_s = np.minimum(times_s, now_s)
        with np.errstate(over="ignore"):  # beyond float32: not finite, so not sent, and counted
            for stream, rows in self._rows.items():
                out += self._node.samples(stream, numbers, times_s, table[rows].T.astype(np.float32))
        return out

    def _steps(self, packages: NDArray[np.float64], stamps: NDArray[np.float64]) -> NDArray[np.int64] | None:
        """How far each sample is from the one before: by the counter, its whole turns by the stamps."""
        if self._counter is None:
            return None
        turn, step = self._counter
        steps = np.empty(len(packages), np.int64)
        for place, (package, stamp) in enumerate(zip(packages.tolist(), stamps.tolist())):
            if self._last is None:
                steps[place] = 1
            else:
                ahead = (int(package) - self._last[0]) % turn / step
                turns = round(((stamp - self._last[1]) * self._rate_hz - ahead) * step / turn)
                steps[place] = max(1, round(ahead + max(0, turns) * turn / step))
            self._last = int(package), stamp
        return steps


def _shim() -> Any:
    try:
        from brainflow import board_shim
    except ImportError:
        raise MissingDependencyError(
            "brainflow:// needs brainflow; install it: pip install 'edgetool[brainflow]'"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for its library with pkg_resources, which warns
            board_shim.BoardShim.disable_board_logger()
    except (ImportError, OSError) as error:  # FileNotFoundError is an OSError
        raise MissingDependencyError(
            f"brainflow cannot load its library ({' '.join(str(error).split())}); its wheel holds those of x86-64 and macOS: "
            "elsewhere build it, and before Python 3.12 install 'setuptools<82'"
        ) from None
    return board_shim


def _board_id(shim: Any, name: str, url: SourceUrl) -> int:
    """The id of a board that a user names ``cyton``, ``CYTON_BOARD`` or ``cyton-daisy``."""
    known = {
        board.name.removesuffix("_BOARD"): int(board.value) for board in shim.BoardIds if board.value != -100
    }
    wanted = name.upper().replace("-", "_").removesuffix("_BOARD")
    if wanted not in known:
        near = difflib.get_close_matches(wanted, known, 5, 0.3) or ["SYNTHETIC", "CYTON"]
        raise UsageError(
            f"source {url.text!r}: BrainFlow knows no board {name!r}; near it: {', '.join(near).lower()}; "
            "all of them: brainflow.readthedocs.io, Supported Boards"
        )
    return known[wanted]


def _describe(
    description: dict[str, Any], wanted: list[str] | None, url: SourceUrl
) -> tuple[dict[int, list[int]], Descriptor]:
    """Rows of the table by stream number, and the descriptor. LinkError if the board has not what is wanted."""
    there = [
        name for name, kinds in _STREAMS.items() if any(_KINDS[kind][0] in description for kind in kinds)
    ]
    chosen = [name for name in ("imu", "emg") if name in there] if wanted is None else wanted
    missing = [name for name in chosen if name not in there]
    if missing or not chosen:
        raise LinkError(
            f"board {url.address} has no {' and no '.join(missing or ['imu', 'emg'])} in this preset; "
            f"choose with ?streams= from: {', '.join(there) or 'nothing'}"
        )
    rows: dict[int, list[int]] = {}
    streams = []
    for number, name in enumerate(chosen):
        channels: list[ChannelDescriptor] = []
        rows[number] = []
        for kind in _STREAMS[name]:
            key, unit, stem = _KINDS[kind]
            for index, row in enumerate(description.get(key, ())[: MAX_CHANNELS - len(channels)]):
                rows[number].append(row)
                channels.append(ChannelDescriptor(f"{stem} {index + 1}", unit, 1.0))
        rate_hz = float(description["sampling_rate"])
        streams.append(StreamDescriptor(number, name, Format.FLOAT32, rate_hz, tuple(channels)))
    return rows, Descriptor(description["name"], tuple(streams), hardware=f"BrainFlow {description['name']}")


def _advice(error: Any) -> str:
    """BrainFlow's error in one line, with what to do for those that users meet."""
    text = " ".join(str(error).split())
    if "UNABLE_TO_OPEN_PORT" in text:
        return (
            f"{text}; is the dongle plugged in, and are you in the group dialout? name it with ?serial_port="
        )
    if "INVALID_ARGUMENTS" in text:
        return f"{text}; this board needs more options (serial_port, mac_address, ip_address, file, ...)"
    if "BOARD_NOT_READY" in text or "SYNC_TIMEOUT" in text:
        return f"{text}; is the board on, and near its dongle?"
    return text
