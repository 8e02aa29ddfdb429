"""The dashboard's server: who gets in, what it answers, and that no viewer can slow the daemon."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from runtime.log.journal import Journal
from runtime.pipeline.estimate import State
from runtime.server.access import Access
from runtime.server.feed import VIEWER_QUEUE, Viewer
from runtime.server.limits import Limits
from runtime.settings import ServerSettings
from tests.runtime.server.served import TOKEN, Served, served
from toolkit.errors import InputError, LinkError, UsageError

OPEN = ("/", "/style.css", "/dashboard.js", "/plots.js", "/words.js", "/icon.svg")
CLOSED = ("/", "/dashboard.js", "/events", "/api/status", "/metrics", "/healthz")


@pytest.fixture
def free(tmp_path: Path) -> Iterator[Served]:
    """On loopback, without a token."""
    with served(tmp_path) as one:
        yield one


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Served]:
    """With a token."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    settings = ServerSettings(port=0, token_file=tmp_path / "token")
    with served(tmp_path, settings, limits=Limits(form_s=0.3)) as one:
        yield one


def run(job: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(job, 60))


@asynccontextmanager
async def get(url: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        async with session.get(url, allow_redirects=False, **options) as response:
            yield response


async def events(response: aiohttp.ClientResponse, wanted: int) -> list[tuple[str, Any]]:
    """The next so many events of a stream."""
    found: list[tuple[str, Any]] = []
    kind = ""
    async for line in response.content:
        text = line.decode().rstrip("\n")
        if text.startswith("event: "):
            kind = text.removeprefix("event: ")
        elif text.startswith("data: "):
            found.append((kind, json.loads(text.removeprefix("data: "))))
        if len(found) == wanted:
            break
    return found


# What is answered


@pytest.mark.parametrize("path", OPEN)
def test_page_files_and_their_headers(free: Served, path: str) -> None:
    async def job() -> None:
        async with get(free.url.rstrip("/") + path) as response:
            assert response.status == 200 and len(await response.read()) > 100
            policy = response.headers["Content-Security-Policy"]
            assert (
                "default-src 'self'" in policy
                and "unsafe" not in policy
                and "frame-ancestors 'none'" in policy
            )
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "Access-Control-Allow-Origin" not in response.headers

    run(job())


def test_page_needs_nothing_from_elsewhere() -> None:
    folder = Path(__file__).resolve().parents[3] / "runtime/server/page"
    for file in folder.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text, file.name
        assert "<script>" not in text and "style=" not in text and "onclick" not in text, file.name


def test_paths_outside_the_page_are_not_there(free: Served) -> None:
    async def job() -> None:
        for path in ("nothing", "..%2f..%2fapp.py", "../app.py", "page/", "%2e%2e/settings.py"):
            async with get(URL(free.url + path, encoded=True)) as response:  # type: ignore[arg-type]
                assert response.status == 404, path
                assert "Content-Security-Policy" in response.headers

    run(job())


def test_status_and_metrics(free: Served) -> None:
    free.do(lambda daemon: daemon.publish(State.DEGRADED, ("gap",)))

    async def job() -> None:
        async with get(free.url + "api/status") as response:
            status = await response.json()
        assert (status["state"], status["reasons"], status["newest"]["state"]) == (
            "degraded",
            ["gap"],
            "degraded",
        )
        assert (status["age"]["p50_ms"], status["age"]["p99_ms"]) == (2.0, 5.0)
        assert status["machine"]["temperature_c"] is None and status["machine"]["memory_bytes"] > 1e6
        async with get(free.url + "metrics") as response:
            assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            text = await response.text()
        assert 'edgetool_state{state="degraded"} 1.0\n' in text and "temperature" not in text

    run(job())


def test_health_says_why(free: Served) -> None:
    async def ask() -> tuple[int, dict[str, Any]]:
        async with get(free.url + "healthz") as response:
            return response.status, await response.json()

    async def job() -> None:
        status, value = await ask()
        assert status == 503 and value["why"] == ["no estimate yet"]
        free.do(lambda daemon: daemon.publish())
        status, value = await ask()
        assert status == 200 and value["well"] and value["why"] == []
        # A broker that is down is a warning: estimates are still made.
        assert value["warnings"] == ["mqtt://broker.lan/leg: no connection: refused; tries again in 4 s"]
        free.do(lambda daemon: daemon.publish(State.DEGRADED, ("gap",)))
        assert (await ask())[0] == 200
        free.do(lambda daemon: daemon.publish(State.INVALID, ("sensor-off",)))
        status, value = await ask()
        assert status == 503 and value["why"] == ["invalid: sensor-off"]
        free.do(lambda daemon: daemon.publish())
        free.do(lambda daemon: setattr(daemon, "shown", replace(daemon.shown, advancing=False)))
        status, value = await ask()
        assert status == 503 and value["why"] == ["no sample or no estimate within the last second"]

    run(job())


# Who gets in


def test_without_the_token_nothing_is_told(guarded: Served) -> None:
    async def job() -> None:
        wrong = (
            {},
            {"Authorization": "Bearer "},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Cookie": "edgetool_dashboard=x"},
        )
        for path in CLOSED:
            for headers in wrong:
                async with get(guarded.url.rstrip("/") + path, headers=headers) as response:
                    text = await response.text()
                    assert response.status == 401, (path, headers)
                    assert "hip_flexion" not in text and TOKEN not in text
        async with get(guarded.url + "?token=wrong-wrong-wrong-wrong") as response:
            assert response.status == 401 and "Set-Cookie" not in response.headers

    run(job())


def test_with_the_token_as_header(guarded: Served) -> None:
    guarded.do(lambda daemon: daemon.publish())

    async def job() -> None:
        for path in CLOSED:
            async with get(
                guarded.url.rstrip("/") + path, headers={"Authorization": f"Bearer {TOKEN}"}
            ) as response:
                assert response.status == 200, path

    run(job())


def test_token_in_the_address_becomes_a_cookie(guarded: Served) -> None:
    async def job() -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            async with session.get(f"{guarded.url}?token={TOKEN}", allow_redirects=False) as response:
                assert response.status == 303 and response.headers["Location"] == "/"
                cookie = response.headers["Set-Cookie"]
                assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and TOKEN not in cookie
            async with session.get(guarded.url + "api/status") as response:
                assert response.status == 200

    run(job())


def test_the_form_takes_the_token(guarded: Served) -> None:
    async def job() -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            async with session.post(guarded.url + "session", data={"token": "not this one, no"}) as response:
                assert response.status == 401
            async with session.post(guarded.url + "session", data={"token": TOKEN}) as response:
                assert (
                    response.status == 200
                    and response.url.path == "/"
                    and "dashboard.js" in await response.text()
                )
            async with session.post(guarded.url + "session", data={"token": "x" * 5000}) as response:
                assert response.status == 413

    run(job())


def test_the_token_is_never_logged(guarded: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def job() -> None:
        async with get(f"{guarded.url}?token={TOKEN}") as response:
            assert response.status == 303
        async with get(
            f"{guarded.url}nothing?token={TOKEN}", headers={"Authorization": f"Bearer {TOKEN}"}
        ) as response:
            assert response.status == 303

    run(job())
    # The client is a program of this test; only what others log counts.
    assert not [
        r for r in caplog.records if TOKEN in r.getMessage() and not r.name.startswith("aiohttp.client")
    ]
    assert TOKEN not in repr(guarded.server.access)


#: Requests that no parser takes, with the token in them, and what is answered. None but the token's owner sends such; proxies
#: and mistyped commands do.
MALFORMED = {
    "unknown version": f"GET /?token={TOKEN} HTTP/9.9\r\n\r\n",
    "control character": f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\0\r\n\r\n",
    "long line": f"GET /?token={TOKEN}{'a' * 20_000} HTTP/1.1\r\n\r\n",
    "long header": f"GET / HTTP/1.1\r\nHost: x\r\nX: {TOKEN}{'a' * 20_000}\r\n\r\n",
    "two lengths": f"GET /?token={TOKEN} HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad URL": f"GET http://[::1/?token={TOKEN} HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_cannot_be_parsed_is_refused_and_not_logged(
    guarded: Served, kind: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    assert _raw(guarded, MALFORMED[kind]).startswith("HTTP/1.0 400 ")
    written = "".join(capfd.readouterr())
    assert TOKEN not in written and "Traceback" not in written
    assert TOKEN not in caplog.text and not [r for r in caplog.records if r.levelno >= logging.WARNING]


FORM = "POST /session HTTP/1.1\r\nHost: x\r\nContent-Type: "


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (f"{FORM}multipart/form-data\r\nContent-Length: 4\r\n\r\nabcd", 415),
        (f"{FORM}multipart/form-data; boundary=x\r\nContent-Length: 4\r\n\r\nabcd", 415),
        (f"{FORM}application/x-www-form-urlencoded; charset=none\r\nContent-Length: 7\r\n\r\ntoken=a", 400),
        (f"{FORM}application/x-www-form-urlencoded\r\nContent-Length: 8\r\n\r\ntoken=\xff\xfe", 400),
        (f"{FORM}application/x-www-form-urlencoded\r\nContent-Length: 99\r\n\r\ntok", 408),
    ],
)
def test_a_form_that_is_none_is_refused_quietly(
    guarded: Served,
    request_text: str,
    status: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert _raw(guarded, request_text).startswith(f"HTTP/1.1 {status} ")
    assert capfd.readouterr().err == ""


def _raw(one: Served, text: str) -> str:
    """What comes back, until the server closes or nothing more comes for a second."""
    with socket.create_connection(("127.0.0.1", int(one.url.rsplit(":", 1)[1].rstrip("/")))) as client:
        client.settimeout(1.0)
        client.sendall(text.encode("latin-1"))
        answer = b""
        try:
            while part := client.recv(65_536):
                answer += part
        except TimeoutError:
            pass
        return answer.decode("latin-1")


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "/%0d%0aX-Bad:1", "/nothing"])
def test_the_token_in_an_address_leads_nowhere_else(guarded: Served, path: str) -> None:
    answer = _raw(guarded, f"GET {path}?token={TOKEN} HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith("HTTP/1.1 303 ") and "\r\nLocation: /\r\n" in answer and "X-Bad" not in answer


def test_a_mistake_of_ours_is_logged_without_what_was_sent(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    text = io.StringIO()
    with served(tmp_path, ServerSettings(port=0, token_file=tmp_path / "token")) as one:
        one.server._journal = Journal("debug", "json", text)
        one.daemon.status = lambda: 1 / 0  # type: ignore[assignment,method-assign,return-value]
        answer = _raw(
            one, f"GET /healthz?x={TOKEN} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        )
    assert answer.startswith("HTTP/1.1 500 ") and "nosniff" in answer
    (line,) = [json.loads(each) for each in text.getvalue().splitlines()]
    assert (line["level"], line["reason"]) == ("error", "ZeroDivisionError")
    assert line["at"].startswith("test_app.py:") and TOKEN not in text.getvalue()


@pytest.fixture
def hurried(tmp_path: Path) -> Iterator[Served]:
    """Lets go of silent visitors soon, and sends as fast as it can."""
    limits = Limits(first_request_s=0.5, stalled_s=0.3, rate_hz=500.0)
    with served(tmp_path, limits=limits) as one:
        yield one


def test_who_says_nothing_does_not_keep_others_out(hurried: Served) -> None:
    """64 connections that send half a request: all the server has, until they are let go."""
    free = hurried
    port = int(free.url.rsplit(":", 1)[1].rstrip("/"))
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(64)]
    try:
        for each in slow:
            each.settimeout(5)
            each.sendall(b"GET / HTTP/1.1\r\nX: ")
        for each in slow:
            assert each.recv(1) == b""  # closed, not timed out
        assert _raw(free, f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").startswith("HTTP/1.1 ")
    finally:
        for each in slow:
            each.close()


def test_a_foreign_name_is_refused_without_a_token(free: Served) -> None:
    port = free.url.rsplit(":", 1)[1].rstrip("/")

    async def job() -> None:
        for name, status in (
            ("evil.example", 421),
            ("127.0.0.1", 200),
            ("localhost", 200),
            ("[::1]", 200),
            ("", 421),
        ):
            async with get(free.url + "api/status", headers={"Host": f"{name}:{port}"}) as response:
                assert response.status == status, name

    run(job())


# Where it listens


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "pi.lan"])
def test_others_need_a_token(host: str) -> None:
    with pytest.raises(UsageError, match=r"can be reached by others and there is no token; set token_file"):
        Access.of(ServerSettings(host=host), {})
    assert Access.of(ServerSettings(host=host), {"EDGETOOL_SERVER_TOKEN": TOKEN}).token == TOKEN


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert Access.of(ServerSettings(host=host), {}).token is None


@pytest.mark.parametrize("token", ["short", "with spaces in between it", "ünïcödé-ünïcödé-ünïcödé"])
def test_a_token_that_is_not_fit(token: str) -> None:
    with pytest.raises(UsageError, match=r"at least 16 characters, ASCII without spaces") as caught:
        Access.of(ServerSettings(), {"EDGETOOL_SERVER_TOKEN": token})
    assert token not in str(caught.value)


def test_where_the_token_comes_from(tmp_path: Path) -> None:
    file, credential = tmp_path / "file", tmp_path / "server-token"
    file.write_text("a" * 16 + "\n")
    credential.write_text("b" * 16)
    everything = {"CREDENTIALS_DIRECTORY": str(tmp_path), "EDGETOOL_SERVER_TOKEN": "c" * 16}
    assert Access.of(ServerSettings(token_file=file), everything).token == "b" * 16
    credential.unlink()
    assert Access.of(ServerSettings(token_file=file), everything).token == "a" * 16
    assert Access.of(ServerSettings(), everything).token == "c" * 16
    with pytest.raises(InputError, match=r"cannot read the server's token from .*missing: No such file"):
        Access.of(ServerSettings(token_file=tmp_path / "missing"), {})


def test_a_port_that_is_taken(free: Served, tmp_path: Path) -> None:
    port = int(free.url.rsplit(":", 1)[1].rstrip("/"))
    with pytest.raises(
        LinkError, match=rf"cannot listen at 127.0.0.1:{port}: .*; choose another host or port in \[server\]"
    ):
        with served(tmp_path, ServerSettings(port=port)):
            pass


# Events


def test_events_carry_the_past_then_every_moment(free: Served) -> None:
    for state in (State.OK, State.DEGRADED, State.DEGRADED):
        free.do(lambda daemon, state=state: daemon.publish(state, () if state is State.OK else ("gap",)))  # type: ignore[misc]

    async def job() -> None:
        async with get(free.url + "events") as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            (kind, hello), (second, status) = await events(response, 2)
            assert (kind, second) == ("hello", "status") and status["model"]["engine"] == "native"
            assert [(row[0], row[2]) for row in hello["moments"]] == [(0, 0), (1, 1), (2, 1)]
            assert [(rank, reasons) for _, rank, reasons in hello["changes"]] == [(0, []), (1, ["gap"])]
            free.walk()
            found = [
                row
                for kind, value in await events(response, 12)
                if kind == "tick"
                for row in value["moments"]
            ]
            numbers = [row[0] for row in found]
            assert numbers == list(range(3, 3 + len(numbers))) and len(numbers) > 5
            assert all(len(row[4]) == 3 and row[3] == pytest.approx(1.4) for row in found)

    run(job())


def test_events_come_at_a_bounded_rate(free: Served) -> None:
    async def job() -> None:
        async with get(free.url + "events") as response:
            await events(response, 2)
            free.walk()
            began = time.monotonic()
            found = await events(response, 45)
            # 20 ticks and 2 status events a second at most; a slow machine only makes it less.
            assert len(found) / (time.monotonic() - began) < 30

    run(job())


def test_a_viewer_too_many_is_told_so(free: Served) -> None:
    async def job() -> None:
        async with aiohttp.ClientSession() as session:
            streams = [await session.get(free.url + "events") for _ in range(8)]
            assert [stream.status for stream in streams] == [200] * 8
            async with session.get(free.url + "events") as response:
                assert response.status == 503 and response.headers["Retry-After"] == "5"
            for stream in streams:
                stream.close()
            while free.server.feed.viewers:
                await asyncio.sleep(0.05)
            async with session.get(free.url + "events") as response:
                assert response.status == 200

    run(job())


def test_a_viewer_that_takes_nothing_is_dropped_from_and_let_go(hurried: Served) -> None:
    free = hurried
    host, port = "127.0.0.1", int(free.url.rsplit(":", 1)[1].rstrip("/"))
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect((host, port))
        stalled.sendall(f"GET /events HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        end = time.monotonic() + 30
        while not free.server.feed.viewers:
            assert time.monotonic() < end
            time.sleep(0.01)
        free.walk()
        while free.server.feed.viewers:
            assert time.monotonic() < end, "a stalled viewer stays for ever"
            time.sleep(0.05)
    # The daemon's estimates went on all the while.
    assert free.do(lambda daemon: daemon.sequence) > 10


def test_a_slow_viewer_loses_the_oldest() -> None:
    async def job() -> None:
        viewer = Viewer()
        for k in range(VIEWER_QUEUE + 5):
            viewer.put(b"%d " % k)
        block = await viewer.next()
        assert block is not None and block.split()[0] == b"5" and viewer.dropped == 5
        viewer.close()
        assert await viewer.next() is None

    run(job())


def test_no_visitor_uses_up_the_daemons_files(free: Served) -> None:
    host, port = "127.0.0.1", int(free.url.rsplit(":", 1)[1].rstrip("/"))
    sockets = [socket.create_connection((host, port)) for _ in range(90)]
    try:
        for each in sockets:
            each.settimeout(10)
        # The last ones are closed by the server at once: an empty read, not a wait.
        assert sockets[-1].recv(1) == b""
        # 64, and up to 16 that one pass of the event loop accepts before it counts again.
        assert 64 <= free.wait(_connections(free)) <= 80
    finally:
        for each in sockets:
            each.close()


async def _connections(one: Served) -> int:
    assert one.server._runner is not None and one.server._runner.server is not None
    return len(one.server._runner.server.connections)


def test_the_end_closes_streams(tmp_path: Path) -> None:
    async def job() -> None:
        with served(tmp_path) as one:
            async with get(one.url + "events") as response:
                await events(response, 2)
                await asyncio.to_thread(one.wait, one.server.stop())
                rest = await response.content.read()
                assert b"event: hello" not in rest
            assert not one.daemon.queues

    run(job())
