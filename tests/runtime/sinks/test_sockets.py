"""UDP and Unix sockets: what readers get, several readers, slow ones, and socket files that are in the way."""

from __future__ import annotations

import asyncio
import shlex
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from runtime.sinks import open_sink
from runtime.sinks.frame import EstimateFrame, frame_size
from runtime.sinks.json_lines import estimate_of
from runtime.sinks.unix_socket import MAX_READERS, UnixSocketSink
from tests.runtime.sinks.harness import (
    OUTPUTS,
    estimate,
    run_sink,
    until,
)
from toolkit.errors import UsageError


def udp_listener(address: str = "127.0.0.1", family: int = socket.AF_INET) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_DGRAM)
    listener.bind((address, 0))
    listener.settimeout(10)
    return listener


def test_udp_sends_a_frame_a_moment() -> None:
    with udp_listener() as listener:
        sink = open_sink(f"udp://127.0.0.1:{listener.getsockname()[1]}", OUTPUTS)
        run_sink(sink, lambda s: [s.publish(estimate(i)) for i in range(5)])
        assert [EstimateFrame.from_bytes(listener.recv(2048)).sequence for _ in range(5)] == list(range(5))
    assert (sink.published, sink.dropped, sink.trouble) == (5, 0, None)


def test_udp_over_ipv6_and_by_name() -> None:
    with udp_listener("::1", socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
        run_sink(open_sink(f"udp://[::1]:{port}", OUTPUTS), lambda s: s.publish(estimate(8)))
        assert EstimateFrame.from_bytes(listener.recv(2048)).sequence == 8
    with udp_listener() as listener:
        port = listener.getsockname()[1]
        sink = open_sink({"url": f"udp://localhost:{port}", "hops": 2}, OUTPUTS)
        run_sink(sink, lambda s: s.publish(estimate(9)))
        assert sink.published == 1


def test_udp_to_nobody_says_so_and_goes_on() -> None:
    with udp_listener() as listener:
        port = listener.getsockname()[1]
    sink = open_sink(f"udp://127.0.0.1:{port}", OUTPUTS)

    async def given() -> None:
        for i in range(10):
            sink.publish(estimate(i))
            await asyncio.sleep(0.005)
        assert sink.trouble is None or "nobody is listening" in sink.trouble
        assert sink.dropped > 0 and sink.published + sink.dropped == 10
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
            back.bind(("127.0.0.1", port))
            back.settimeout(10)
            sink.publish(estimate(10))
            sink.publish(estimate(11))
            last = EstimateFrame.from_bytes(back.recv(2048)).sequence
            assert last in (10, 11) and sink.trouble is None

    run_sink(sink, lambda _: given())


def test_udp_to_an_unknown_host_is_trouble_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with udp_listener() as listener:
        port, known = listener.getsockname()[1], [False]
        sink = open_sink(f"udp://controller.invalid:{port}", OUTPUTS, look_up_s=0.01)

        async def given() -> None:
            def look_up(host: str, port: int, **_: object) -> object:
                if not known[0]:
                    raise socket.gaierror(-2, "Name or service not known")
                return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port))]

            monkeypatch.setattr("socket.getaddrinfo", look_up)
            await sink.open()
            sink.publish(estimate(0))
            assert sink.dropped == 1 and "cannot reach controller.invalid" in str(sink.trouble)
            known[0] = True
            await until(lambda: sink.trouble is None)
            sink.publish(estimate(1))
            assert sink.published == 1
            await sink.close()
            sink.publish(estimate(2))
            assert (sink.published, sink.dropped) == (1, 2)

        asyncio.run(given())


def test_udp_a_name_server_that_does_not_answer_holds_up_neither_start_nor_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: answer.wait(60) and [])
    sink = open_sink("udp://controller.lan:9000", OUTPUTS, open_s=0.05)
    began = time.monotonic()
    run_sink(sink, lambda s: s.publish(estimate(0)))
    assert time.monotonic() - began < 5 and (sink.published, sink.dropped) == (0, 1)
    assert "looking for controller.lan" in str(sink.trouble)
    answer.set()


#: In a network of its own: the address that the socket sends from is taken away, and another given, as a new DHCP lease does.
NEW_LEASE = """
import asyncio, subprocess
from tests.runtime.sinks.harness import OUTPUTS, estimate
from runtime.sinks import open_sink

async def main():
    sink = open_sink("udp://10.9.0.77:9000", OUTPUTS)
    await sink.open()
    sink.publish(estimate(0))
    assert (sink.published, sink.trouble) == (1, None), sink.trouble
    subprocess.run("ip address flush dev d0; ip address add 10.9.0.2/24 dev d0", shell=True, check=True)
    sink.publish(estimate(1))
    assert sink.dropped == 1 and "cannot send" in sink.trouble, sink.trouble
    async with asyncio.timeout(10):
        while sink.trouble is not None:
            await asyncio.sleep(0.05)
    sink.publish(estimate(2))
    assert (sink.published, sink.dropped) == (2, 1)
    await sink.close()

asyncio.run(main())
"""


def test_udp_goes_on_from_a_new_address() -> None:
    network = (
        "ip link set lo up && ip link add d0 type veth peer name d1 && ip address add 10.9.0.1/24 dev d0"
    )
    up = (
        "ip link set d0 up && ip link set d1 up && ip neighbour add 10.9.0.77 lladdr 02:00:00:00:00:01 dev d0"
    )
    here = ["unshare", "--map-root-user", "--net", "sh", "-c"]
    try:
        can = subprocess.run([*here, f"{network} && {up}"], capture_output=True).returncode == 0
    except FileNotFoundError:
        can = False
    if not can:
        pytest.skip("no network of its own can be made here (unshare, ip)")
    command = f"{network} && {up} && exec {shlex.quote(sys.executable)} -c {shlex.quote(NEW_LEASE)}"
    done = subprocess.run(
        [*here, command], capture_output=True, text=True, cwd=Path(__file__).parents[3], timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "where",
    ["udp://host", "udp://host:0", "udp://host:70000", "udp://::1:9", "udp://h:9?hops=0", "udp://h:9?x=1"],
)
def test_udp_addresses_that_are_none(where: str) -> None:
    with pytest.raises(UsageError, match=r"HOST:PORT|hops|not known"):
        open_sink(where, OUTPUTS)


def unix_sink(path: Path, options: str = "") -> UnixSocketSink:
    sink = open_sink(f"unix://{path}{options}", OUTPUTS)
    assert isinstance(sink, UnixSocketSink)
    return sink


async def connect(sink: UnixSocketSink, path: Path) -> socket.socket:
    before = sink.readers
    reader = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    reader.connect(str(path))
    reader.settimeout(10)
    await until(lambda: sink.readers == before + 1)
    return reader


def test_unix_readers_get_lines_from_when_they_come(tmp_path: Path) -> None:
    path = tmp_path / "run" / "moments.sock"
    sink = unix_sink(path)

    async def given() -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        sink.publish(estimate(0))  # to nobody
        first = await connect(sink, path)
        sink.publish(estimate(1))
        second = await connect(sink, path)
        sink.publish(estimate(2))
        first_file, second_file = first.makefile("rb"), second.makefile("rb")
        assert [estimate_of(first_file.readline()) for _ in range(2)] == [estimate(1), estimate(2)]
        assert estimate_of(second_file.readline()) == estimate(2)
        for each in (first_file, first):
            each.close()
        await until(lambda: sink.readers == 1)
        sink.publish(estimate(3))
        assert estimate_of(second_file.readline()) == estimate(3)
        second.close()
        second_file.close()

    run_sink(sink, lambda _: given())
    assert (sink.published, sink.dropped, sink.trouble) == (4, 0, None)
    assert not path.exists()


def test_unix_frames_and_a_slow_reader(tmp_path: Path) -> None:
    path = tmp_path / "moments.sock"
    sink = unix_sink(path, "?format=frames")
    size, count = frame_size(2), 20_000  # about 1 MB: more than the system and the sink hold for one reader

    def whole_frames(data: bytes) -> list[int]:
        assert len(data) % size == 0
        return [EstimateFrame.from_bytes(data[at : at + size]).sequence for at in range(0, len(data), size)]

    async def given() -> tuple[bytes, bytes]:
        slow, quick = await connect(sink, path), await connect(sink, path)
        quick.setblocking(False)
        got = bytearray()
        for i in range(count):
            sink.publish(estimate(i))
            if i % 50 == 49:
                await asyncio.sleep(0)
                _drain(quick, got)
        await until(lambda: _drain(quick, got) == count * size)
        assert sink.dropped > 0 and "1 of 2 readers cannot keep up" in str(sink.trouble)
        closing = asyncio.create_task(sink.close())
        rest = await asyncio.to_thread(_read_all, slow)
        await closing
        for reader in (slow, quick):
            reader.close()
        return bytes(got), rest

    async def run() -> tuple[bytes, bytes]:
        await sink.open()
        return await given()

    quick, slow = asyncio.run(run())
    assert whole_frames(quick) == list(range(count))
    seen = whole_frames(slow)
    assert seen == list(range(len(seen))) and len(seen) == sink.published == count - sink.dropped


def _drain(reader: socket.socket, into: bytearray) -> int:
    with suppress(BlockingIOError):
        into += reader.recv(1 << 20)
    return len(into)


def _read_all(reader: socket.socket) -> bytes:
    got = bytearray()
    while more := reader.recv(1 << 16):
        got += more
    return bytes(got)


def test_unix_more_readers_than_allowed_are_turned_away(tmp_path: Path) -> None:
    path = tmp_path / "moments.sock"
    sink = unix_sink(path)

    async def given() -> None:
        readers = [await connect(sink, path) for _ in range(MAX_READERS)]
        surplus = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        surplus.connect(str(path))
        surplus.settimeout(10)
        assert await asyncio.to_thread(surplus.recv, 1) == b""
        for reader in [*readers, surplus]:
            reader.close()

    run_sink(sink, lambda _: given())


def test_unix_a_dead_process_s_socket_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "moments.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
        with pytest.raises(UsageError, match="another process serves"):
            run_sink(unix_sink(path), lambda _: None)
    run_sink(unix_sink(path), lambda _: None)
    path.write_text("mine")
    with pytest.raises(UsageError, match="is not a socket; choose another path"):
        run_sink(unix_sink(path), lambda _: None)
    assert path.read_text() == "mine"
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is not a socket"):
        run_sink(unix_sink(path), lambda _: None)


def test_unix_a_successor_s_socket_is_left(tmp_path: Path) -> None:
    path = tmp_path / "moments.sock"
    sink = unix_sink(path)

    def given(_: object) -> None:
        path.unlink()
        path.write_text("somebody else's")

    run_sink(sink, given)
    assert path.read_text() == "somebody else's"


@pytest.mark.parametrize("where", ["unix://relative.sock", "unix:///" + 120 * "x", "unix:///a?format=xml"])
def test_unix_paths_that_cannot_be(where: str) -> None:
    with pytest.raises(UsageError, match=r"must begin with /|allowed: ndjson, frames"):
        open_sink(where, OUTPUTS)


def test_unix_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot make the socket"):
        run_sink(unix_sink(tmp_path / "file" / "moments.sock"), lambda _: None)
