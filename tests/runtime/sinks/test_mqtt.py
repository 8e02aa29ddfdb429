"""The MQTT sink against mosquitto: what subscribers get, passwords, TLS, a broker that goes and comes back, one that hangs."""

from __future__ import annotations

import asyncio
import getpass
import json
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from runtime.sinks import open_sink
from runtime.sinks.interface import Sink
from runtime.sinks.json_lines import estimate_of
from tests.runtime.sinks.harness import (
    OUTPUTS,
    estimate,
    run_sink,
    until,
)
from tests.tools import require
from toolkit.errors import UsageError


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def broker(folder: Path, port: int, *lines: str) -> Iterator[None]:
    """mosquitto on ``port``, with these lines of configuration."""
    settings = folder / "mosquitto.conf"
    head = ["persistence false", f"user {getpass.getuser()}", f"listener {port} 127.0.0.1"]
    settings.write_text("\n".join([*head, *(lines or ("allow_anonymous true",)), ""]))
    process = subprocess.Popen(
        [require("mosquitto"), "-c", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < end, "mosquitto does not start"
                time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def subscriber(port: int) -> Iterator[queue.Queue[Any]]:
    """All messages below ``lab`` as they come."""
    got: queue.Queue[Any] = queue.Queue()
    ready = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda c, *_: c.subscribe("lab/#", qos=1)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _c, _d, message: got.put(message)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert ready.wait(20)
        yield got
    finally:
        client.disconnect()
        client.loop_stop()


def next_on(got: queue.Queue[Any], topic: str) -> Any:
    while True:
        message = got.get(timeout=20)
        if message.topic == topic:
            return message


def test_moments_and_status_reach_a_subscriber(tmp_path: Path) -> None:
    port = free_port()
    with broker(tmp_path, port), subscriber(port) as got:
        sink = open_sink(f"mqtt://127.0.0.1:{port}/lab/left", OUTPUTS)

        async def given() -> None:
            status = await asyncio.to_thread(next_on, got, "lab/left/status")
            assert json.loads(status.payload) == {
                "state": "online",
                "outputs": [
                    {"name": "hip_flexion", "unit": "Nm/kg"},
                    {"name": "knee_extension", "unit": "Nm/kg"},
                ],
            }
            for i in range(20):
                sink.publish(estimate(i))
            for i in range(20):
                message = await asyncio.to_thread(next_on, got, "lab/left")
                assert estimate_of(message.payload) == estimate(i) and not message.retain

        run_sink(sink, lambda _: given())
        assert json.loads(next_on(got, "lab/left/status").payload)["state"] == "offline"
        assert (sink.published, sink.dropped, sink.trouble) == (20, 0, None)
        with subscriber(port) as later:
            kept = next_on(later, "lab/left/status")
            assert kept.retain and json.loads(kept.payload)["state"] == "offline"


def test_a_broker_that_is_down_and_comes_back(tmp_path: Path) -> None:
    port = free_port()
    sink = open_sink(f"mqtt://127.0.0.1:{port}/lab/left", OUTPUTS, backoff_s=(0.02, 0.1))

    async def given() -> None:
        for i in range(1500):  # more than may wait
            sink.publish(estimate(i))
        await until(lambda: sink.trouble is not None)
        assert "cannot reach the broker: Connection refused" in str(sink.trouble)
        for start in (10_000, 20_000):  # down and up, twice
            with broker(tmp_path, port), subscriber(port) as got:
                await until(lambda: sink.trouble is None)
                message = await asyncio.to_thread(next_on, got, "lab/left/status")
                assert json.loads(message.payload)["state"] == "online"
                published = sink.published
                for i in range(start, start + 10):
                    sink.publish(estimate(i))
                seen = [await asyncio.to_thread(next_on, got, "lab/left") for _ in range(10)]
                # None of what waited while the broker was away: it is old.
                assert [estimate_of(m.payload).sequence for m in seen] == list(range(start, start + 10))
                await until(lambda published=published: sink.published == published + 10)
            await until(lambda: sink.trouble is not None)
            for i in range(5):
                sink.publish(estimate(i))

    run_sink(sink, lambda _: given())
    assert sink.published == 20 and sink.published + sink.dropped == 1500 + 2 * 15


def test_a_killed_process_leaves_its_will(tmp_path: Path) -> None:
    port = free_port()
    code = (
        "import asyncio; from tests.runtime.sinks.harness import *; from runtime.sinks import open_sink\n"
        f"async def run():\n await open_sink('mqtt://127.0.0.1:{port}/lab/left', OUTPUTS).open()\n await asyncio.sleep(60)\n"
        "asyncio.run(run())"
    )
    with broker(tmp_path, port), subscriber(port) as got:
        root = Path(__file__).resolve().parents[3]
        process = subprocess.Popen([sys.executable, "-c", code], cwd=root)
        try:
            assert json.loads(next_on(got, "lab/left/status").payload)["state"] == "online"
        finally:
            process.kill()
            process.wait()
        assert json.loads(next_on(got, "lab/left/status").payload)["state"] == "offline"


@pytest.mark.parametrize("password", ["right", "wrong"])
def test_password_from_a_file_and_never_shown(tmp_path: Path, password: str) -> None:
    port = free_port()
    users = tmp_path / "users"
    subprocess.run([require("mosquitto_passwd"), "-b", "-c", str(users), "gait", "right"], check=True)
    secret = tmp_path / "secret"
    secret.write_text(f"{password}\n")
    lines = ("allow_anonymous false", f"password_file {users}")
    with broker(tmp_path, port, *lines):
        sink = open_sink(
            {"url": f"mqtt://gait@127.0.0.1:{port}/lab/left", "password_file": str(secret)}, OUTPUTS
        )

        async def given() -> None:
            sink.publish(estimate(0))
            if password == "right":
                await until(lambda: _published(sink))
            else:
                await until(lambda: sink.trouble is not None)
                assert "not authorized: check user, password and rights" in str(sink.trouble)

        run_sink(sink, lambda _: given())
    assert password not in sink.name + str(sink.trouble)
    assert (sink.published > 0) is (password == "right")


def _published(sink: Sink) -> bool:
    """Only what is given after the connection stands goes out, so give on."""
    sink.publish(estimate(1))
    return sink.published > 0


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA of our own, the broker's certificate for localhost, and a stranger's CA."""
    folder = tmp_path_factory.mktemp("certificates")
    tool = require("openssl")

    def run(*words: str) -> None:
        subprocess.run([tool, *words], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "stranger"):
        key = ("-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key")
        run("req", "-x509", *key, "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN=Test {name}")
    run(
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "broker.key",
        "-out",
        "broker.csr",
        "-subj",
        "/CN=localhost",
    )
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
    run("x509", "-req", "-in", "broker.csr", "-out", "broker.pem", "-days", "2", *signed)
    return folder


@pytest.mark.parametrize(
    ("host", "ca", "trouble"),
    [
        ("localhost", "ca.pem", None),
        ("localhost", "stranger.pem", "its certificate is not trusted"),
        ("127.0.0.1", "ca.pem", "its certificate is not trusted"),  # signed for localhost only
    ],
)
def test_tls(tmp_path: Path, certificates: Path, host: str, ca: str, trouble: str | None) -> None:
    port = free_port()
    lines = (
        "allow_anonymous true",
        f"certfile {certificates}/broker.pem",
        f"keyfile {certificates}/broker.key",
    )
    with broker(tmp_path, port, *lines):
        sink = open_sink(f"mqtts://{host}:{port}/lab/left?ca={certificates / ca}", OUTPUTS)

        async def given() -> None:
            sink.publish(estimate(0))
            await until(lambda: _published(sink) if trouble is None else sink.trouble is not None)

        run_sink(sink, lambda _: given())
    assert (trouble is None and sink.trouble is None) or str(trouble) in str(sink.trouble)
    assert (sink.published > 0) is (trouble is None)


def test_a_broker_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = open_sink(f"mqtt://127.0.0.1:{silent.getsockname()[1]}/lab/left", OUTPUTS, connect_s=0.2)

        async def given() -> None:
            for i in range(3):
                sink.publish(estimate(i))
            await until(lambda: sink.trouble is not None)

        run_sink(sink, lambda _: given())
    assert "it does not answer" in str(sink.trouble)
    assert (sink.published, sink.dropped) == (0, 3)


def test_a_broker_that_stops_reading_costs_moments_only() -> None:
    """It says welcome (CONNACK) and then reads no more, as a hung broker or a dead network does."""
    with socket.create_server(("127.0.0.1", 0)) as hung:
        sink = open_sink(f"mqtt://127.0.0.1:{hung.getsockname()[1]}/lab/left", OUTPUTS)

        async def given() -> None:
            peer, _ = await asyncio.to_thread(hung.accept)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.to_thread(peer.recv, 1000)
            peer.sendall(b"\x20\x02\x00\x00")
            count = 0
            while "is full" not in str(sink.trouble):
                for _ in range(200):
                    sink.publish(estimate(count))
                    count += 1
                await asyncio.sleep(0.001)
                assert count < 1_000_000
            for _ in range(2000):
                sink.publish(estimate(count))
                count += 1
            assert sink.dropped >= 1000
            await sink.close()
            assert sink.published + sink.dropped == count
            peer.close()

        run_sink(sink, lambda _: given())


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("mqtt://host/", "topic '' must have"),
        ("mqtt://host/a/+/b", "no . or #"),
        ("mqtt://gait:secret@host/topic", "no password in a URL"),
        ("mqtt://gait:sec/r@et@host/topic", "no password in a URL"),
        ("mqtt://host:99999/topic", "not an address"),
        ("mqtt://host/topic?ca=x.pem", "are for mqtts"),
        ("mqtt://host/topic?password_env=X", "needs a user"),
        ("mqtt://gait@host/topic?password_env=SURELY_NOT_SET", "is not set"),
        ("mqtt://gait@host/topic?password_file=/nowhere/x", "cannot read password_file"),
        ("mqtts://host/topic?ca=/nowhere/x", "cannot use ca, cert or key"),
        ("mqtts://host/topic?key=/nowhere/x", "key needs cert"),
    ],
)
def test_what_is_refused(where: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refusal:
        run_sink(open_sink(where, OUTPUTS), lambda _: None)
    assert "secret" not in str(refusal.value) and "et@" not in str(refusal.value)
