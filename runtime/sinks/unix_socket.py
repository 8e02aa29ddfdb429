"""``unix:///PATH``: a socket that up to 16 programs of this machine read, each at its own pace.

Each reader gets every estimate from when it connects, as NDJSON lines or as frames. A reader that does not keep up is not
waited for: whole estimates are dropped for it, the others go on. Owner and group may connect (mode 0660).
"""

from __future__ import annotations

import asyncio
import socket
import stat
import time
from contextlib import suppress
from pathlib import Path

from runtime.pipeline.estimate import Estimate
from runtime.sinks.delivery import DirectSink, one_line
from runtime.sinks.frame import FrameWriter, check_size
from runtime.sinks.json_lines import estimate_line
from runtime.sinks.places import why_not_a_folder
from runtime.sinks.settings import SinkSettings
from toolkit.contract import Channel
from toolkit.errors import UsageError

MAX_READERS = 16
#: What may wait for one reader besides what the system holds for it.
_BACKLOG_BYTES = 1 << 16
_MODE = 0o660
#: sockaddr_un holds 108 bytes with the end (unix(7)).
_LONGEST_PATH = 107


class UnixSocketSink(DirectSink):
    """Options: ``format`` (ndjson, frames), ``identity`` (0, 1): frames say run and model.

    An estimate that any reader had to miss counts as dropped.
    """

    def __init__(self, settings: SinkSettings, outputs: tuple[Channel, ...]) -> None:
        settings.allow("format", "identity", "unit")
        super().__init__(settings.text)
        self._path = Path(settings.rest)
        if not self._path.is_absolute() or len(bytes(self._path)) > _LONGEST_PATH:
            raise UsageError(
                f"sink {self.name!r}: the path must begin with / and have at most {_LONGEST_PATH} bytes, "
                "such as unix:///run/edgetool/moments.sock"
            )
        self._outputs = outputs
        self._frames = settings.choice("format", ("ndjson", "frames")) == "frames"
        if self._frames:
            check_size(outputs, self.name)
        self._writer = FrameWriter(settings, outputs)
        self._server: socket.socket | None = None
        self._inode: tuple[int, int] | None = None
        self._readers: list[_Reader] = []

    @property
    def readers(self) -> int:
        """How many programs are connected."""
        return len(self._readers)

    def check(self) -> None:
        """See Sink. UsageError for Nm without a body mass."""
        self._writer.require(self.mass_kg)

    def check_free(self) -> None:
        """See Sink. UsageError if another process serves the path, or no socket can be made there."""
        why = why_not_a_folder(self._path.parent)
        if why is not None:
            raise UsageError(f"sink {self.name!r}: cannot make the socket: {why}; choose another path")
        self._look_for_another()

    async def open(self) -> None:
        """See Sink. A socket file that a dead process left is removed; nothing else ever is."""
        self.check()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._remove_stale()
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                server.setblocking(False)
                server.bind(str(self._path))
                self._path.chmod(_MODE)  # before listen: until then nobody can connect
                server.listen(MAX_READERS)
                found = self._path.stat()
            except BaseException:
                server.close()
                raise
        except OSError as error:
            raise UsageError(
                f"sink {self.name!r}: cannot make the socket: {one_line(error)}; choose a path that this user may write"
            ) from None
        self._server, self._inode = server, (found.st_dev, found.st_ino)
        asyncio.get_running_loop().add_reader(server, self._accept)

    def send(self, estimate: Estimate) -> bool:
        """Hand the estimate to every reader that has room for it."""
        if self._server is None:
            return False
        if not self._readers:
            return True
        data = (
            self._writer.frame(estimate)
            if self._frames
            else estimate_line(estimate, self._outputs, time.time())
        )
        taken = [reader.give(data) for reader in list(self._readers)]
        behind = len(taken) - sum(taken)
        self.trouble = (
            f"{behind} of {len(taken)} readers cannot keep up and miss estimates" if behind else None
        )
        return not behind

    async def close(self) -> None:
        """See Sink."""
        if self._server is None:
            return
        asyncio.get_running_loop().remove_reader(self._server)
        self._server.close()
        self._server = None
        deadline = time.monotonic() + 1.0
        while any(reader.waiting for reader in self._readers) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        for reader in list(self._readers):
            reader.close()
        with suppress(OSError):
            found = self._path.stat()
            if (found.st_dev, found.st_ino) == self._inode:
                self._path.unlink()

    def _remove_stale(self) -> None:
        if self._look_for_another():
            self._path.unlink()

    def _look_for_another(self) -> bool:
        """UsageError if the path is another process's; whether a socket lies there that nobody serves."""
        try:
            mode = self._path.lstat().st_mode
        except FileNotFoundError:
            return False
        if not stat.S_ISSOCK(mode):
            raise UsageError(
                f"sink {self.name!r}: {self._path} exists and is not a socket; choose another path"
            )
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self._path))
            except ConnectionRefusedError:
                return True
        raise UsageError(
            f"sink {self.name!r}: another process serves {self._path}; end it or choose another path"
        )

    def _accept(self) -> None:
        assert self._server is not None
        with suppress(OSError):
            peer, _ = self._server.accept()
            if len(self._readers) >= MAX_READERS:
                peer.close()
                return
            peer.setblocking(False)
            self._readers.append(_Reader(peer, self._readers))


class _Reader:
    """One connected program; it lets go of itself when the program has gone."""

    def __init__(self, peer: socket.socket, others: list[_Reader]) -> None:
        self._peer, self._others = peer, others
        self.waiting = bytearray()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(peer, self._heard)

    def give(self, data: bytes) -> bool:
        """Send ``data``, or keep what is not taken at once; False if there is no room for all of it."""
        if len(self.waiting) + len(data) > _BACKLOG_BYTES:
            return False
        idle = not self.waiting
        self.waiting += data
        if idle:
            self._push()
            if self.waiting:
                self._loop.add_writer(self._peer, self._push)
        return True

    def close(self) -> None:
        """Let go."""
        self._loop.remove_reader(self._peer)
        self._loop.remove_writer(self._peer)
        self._peer.close()
        self.waiting.clear()
        if self in self._others:
            self._others.remove(self)

    def _push(self) -> None:
        try:
            done = self._peer.send(self.waiting)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        del self.waiting[:done]
        if not self.waiting:
            self._loop.remove_writer(self._peer)

    def _heard(self) -> None:
        """Readers have nothing to say: what they send is thrown away, their end is seen here."""
        try:
            if not self._peer.recv(4096):
                self.close()
        except BlockingIOError:
            return
        except OSError:
            self.close()
