"""``udp://HOST:PORT``: each estimate is one datagram with one frame (docs/SINKS.md). Broadcast and multicast addresses work."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from runtime.pipeline.estimate import Estimate
from runtime.sinks.delivery import DirectSink, one_line
from runtime.sinks.frame import FrameWriter, check_size
from runtime.sinks.settings import SinkSettings
from toolkit.contract import Channel


class UdpSink(DirectSink):
    """Options: ``hops`` (1 to 255; 1), how many routers a multicast datagram may cross, and ``identity`` (0, 1): frames say
    run and model.

    A host's name that is not known yet (the network comes up after the daemon) is asked for every ``look_up_s``; the start
    waits ``open_s`` for it. A new socket is made ``again_s`` after one has failed.
    """

    def __init__(
        self,
        settings: SinkSettings,
        outputs: tuple[Channel, ...],
        look_up_s: float = 5.0,
        open_s: float = 1.0,
        again_s: float = 1.0,
    ) -> None:
        self._look_up_s, self._open_s, self._again_s = look_up_s, open_s, again_s
        settings.allow("hops", "identity", "unit")
        super().__init__(settings.text)
        self._address = settings.host_and_port(settings.rest, None)
        self._hops = int(settings.number("hops", 1, 1, 255))
        check_size(outputs, self.name)
        self._frames = FrameWriter(settings, outputs)
        self._socket: socket.socket | None = None
        self._doubt = _Doubt()
        self._looking: asyncio.Task[None] | None = None

    def check(self) -> None:
        """See Sink. UsageError for Nm without a body mass."""
        self._frames.require(self.mass_kg)

    async def open(self) -> None:
        """See Sink. An unknown host is trouble, not an error."""
        self.check()
        self.trouble = f"looking for {self._address[0]}"
        self._looking = asyncio.create_task(self._look(0.0))
        await asyncio.wait({self._looking}, timeout=self._open_s)

    def send(self, estimate: Estimate) -> bool:
        """One datagram. What is sent while nobody is known to listen is counted as dropped."""
        if self._socket is None:
            return False
        try:
            refused = self._refused()
            self._socket.send(self._frames.frame(estimate))
            refused |= self._refused()  # on this machine it is said at once
        except BlockingIOError:
            self.trouble = "the network accepts no more; estimates are dropped"
            return False
        except ConnectionRefusedError:
            refused = True
        except OSError as error:
            # The address we send from may be gone (another network, another lease), and a connected socket keeps it for ever.
            self._socket.close()
            self._socket = None
            self._looking = asyncio.create_task(self._look(self._again_s))
            self.trouble = f"cannot send: {one_line(error)}; trying again"
            return False
        if self._doubt.about(refused, time.monotonic()):
            self.trouble = "nobody is listening at this address; estimates are sent all the same"
            return False
        self.trouble = None
        return True

    def _refused(self) -> bool:
        """Whether the network has said since the last look that nobody listens; an error of another kind is raised."""
        assert self._socket is not None
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number not in (0, errno.ECONNREFUSED):
            raise OSError(number, os.strerror(number))
        return number != 0

    def publish_from_thread(self, estimate: Estimate) -> None:
        """See Sink. One datagram; what is wrong is found out when the event loop is back."""
        taken = False
        if self._socket is not None:
            with suppress(OSError):
                self._socket.send(self._frames.frame(estimate))
                taken = not self._doubt.present
        self.published += taken
        self.dropped += not taken

    async def close(self) -> None:
        """See Sink."""
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _look(self, first_s: float) -> None:
        await asyncio.sleep(first_s)
        while True:
            try:
                if await self._connect():
                    return
            except Exception as error:
                self.trouble = one_line(error)
                self.report(error)
            await asyncio.sleep(self._look_up_s)

    async def _connect(self) -> bool:
        host, port = self._address
        made: socket.socket | None = None
        try:
            family, kind, protocol, _, address = (await _look_up(host, port))[0]
            made = socket.socket(family, kind, protocol)
            made.setblocking(False)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, self._hops)
            else:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, self._hops)
            made.connect(address)
        except OSError as error:
            if made is not None:
                made.close()
            self.trouble = f"cannot reach {host}: {one_line(error)}; trying again"
            return False
        self._socket, self.trouble = made, None
        return True


class _Doubt:
    """Whether somebody listens. A refusal comes a while after its datagram, and not for each: systems limit how many they send.

    So one datagram without a refusal proves nothing by itself: whoever was refused soon after the last doubt had ended is
    doubted for longer the next time, up to 5 s.
    """

    _LONGEST_S, _SOON_S = 5.0, 10.0

    def __init__(self) -> None:
        self._refused_s = self._ended_s = -float("inf")
        self._needed_s = 0.0
        self._doubted = False

    @property
    def present(self) -> bool:
        """Whether it is doubted now that somebody listens."""
        return self._doubted

    def about(self, refused: bool, now_s: float) -> bool:
        """Whether the datagram of ``now_s`` is to be taken for lost; ``refused``: a refusal has come."""
        if refused:
            if not self._doubted:
                soon = now_s - self._ended_s < self._SOON_S
                self._needed_s = min(max(2 * self._needed_s, 0.05), self._LONGEST_S) if soon else 0.0
            self._doubted, self._refused_s = True, now_s
        elif self._doubted and now_s - self._refused_s >= self._needed_s:
            self._doubted, self._ended_s = False, now_s
        return self._doubted


async def _look_up(host: str, port: int) -> list[Any]:
    """As ``loop.getaddrinfo``, on a thread that nothing waits for: a name server that does not answer takes its time, and the
    loop's own threads are waited for at the end of the process."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[Any]] = loop.create_future()

    def settle(answer: list[Any] | None, error: OSError | None) -> None:
        if found.done():
            return
        if error is not None:
            found.set_exception(error)
        else:
            found.set_result(answer or [])

    def work() -> None:
        answer, error = None, None
        try:
            answer = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as caught:  # UnicodeError: a name that no name server can be asked for
            error = caught if isinstance(caught, OSError) else OSError(f"{host!r} is not a host name")
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, answer, error)

    threading.Thread(target=work, name="udp look-up", daemon=True).start()
    return await found
