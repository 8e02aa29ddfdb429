"""Markers and what is said of a session, over HTTP: into the recording, and from nobody who may not."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from firmware_bridge.items import Marker, Snapshot
from firmware_bridge.recording.file import RecordingReader
from runtime.settings import RecordingSettings, ServerSettings
from tests.hostile import few_or_all
from tests.runtime.daemon.harness import Running, during, settings
from tests.runtime.server.served import TOKEN, Served, served

JSON = {"Content-Type": "application/json"}


def _post(url: str, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, str]:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=20)
    try:
        connection.request("POST", path, body, JSON | (headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _tell(one: Served, path: str, value: Any, headers: dict[str, str] | None = None) -> int:
    return _post(one.url, path, json.dumps(value).encode(), headers)[0]


def test_what_is_told_reaches_the_daemon(tmp_path: Path) -> None:
    with served(tmp_path) as one:
        assert _tell(one, "/api/mark", {"text": "  heel strike "}) == 200
        assert _tell(one, "/api/session", {"person": "S01", "trial": "3"}) == 200
        assert one.daemon.noted == ["heel strike", {"person": "S01", "trial": "3"}]
        one.daemon.records = False
        status, text = _post(one.url, "/api/mark", b'{"text": "x"}')
        assert status == 409 and "the config has no [recording]" in text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/api/mark", {}),
        ("/api/mark", {"text": ""}),
        ("/api/mark", {"text": 1}),
        ("/api/mark", {"text": "a", "more": "b"}),
        ("/api/mark", ["text"]),
        ("/api/session", {}),
        ("/api/session", {"Person": "x"}),
        ("/api/session", {"run": "x"}),
        ("/api/session", {"model": "x"}),
        ("/api/session", {"a\nb": "x"}),
        ("/api/session", {"person": 1}),
        ("/api/session", {f"n{k}": "x" for k in range(17)}),
    ],
)
def test_what_is_not_understood_is_said(path: str, value: Any, tmp_path: Path) -> None:
    with served(tmp_path) as one:
        assert _tell(one, path, value) == 400 and one.daemon.noted == []


def test_bytes_that_are_no_json(tmp_path: Path) -> None:
    with served(tmp_path) as one:
        for body in (b"", b"{", b"\xff", b"[" * 4000, b'{"text": "\\ud800"', b"null"):
            assert _post(one.url, "/api/mark", body)[0] == 400
        assert _post(one.url, "/api/mark", b'{"text":"' + b"x" * 10_000 + b'"}')[0] == 413
        assert one.daemon.noted == []


def test_a_page_of_another_site_is_not_answered(tmp_path: Path) -> None:
    with served(tmp_path) as one:
        body = b'{"text": "x"}'
        # What a page can send without asking first.
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            assert _post(one.url, "/api/mark", body, {"Content-Type": kind})[0] == 415
        for site in ("cross-site", "same-site"):
            assert _post(one.url, "/api/mark", body, {"Sec-Fetch-Site": site})[0] == 403
        assert _post(one.url, "/api/mark", body, {"Host": "evil.example"})[0] == 421
        assert one.daemon.noted == []


def test_the_token_is_needed(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with served(tmp_path, ServerSettings(port=0, token_file=tmp_path / "token")) as one:
        for path, value in (("/api/mark", {"text": "x"}), ("/api/session", {"person": "x"})):
            assert _tell(one, path, value) == 401
            assert _tell(one, path, value, {"Authorization": f"Bearer {TOKEN}"}) == 200
        assert len(one.daemon.noted) == 2


def test_hostile_text_is_made_printable(tmp_path: Path) -> None:
    with served(tmp_path) as one:
        for text in few_or_all(150, 5):
            _tell(one, "/api/mark", {"text": text})
            _tell(one, "/api/session", {"person": text})
        assert len(one.daemon.noted) > 200
        for told in one.daemon.noted:
            text = told if isinstance(told, str) else told["person"]
            assert text.isprintable() and len(text) <= 200


def test_they_are_in_the_recording(tmp_path: Path) -> None:
    """A new file begins with what is said of the session at its head; a marker lies among what the sensors send."""
    asked: list[int] = []

    async def work(running: Running) -> None:
        daemon = running.daemon
        assert daemon.server is not None
        url = daemon.server.url
        await running.until(lambda: daemon.status().recording.bytes > 1000)  # type: ignore[union-attr]
        first = daemon.status().recording.file  # type: ignore[union-attr]
        told = await asyncio.to_thread(_post, url, "/api/session", b'{"person": "S01", "trial": "3"}')
        assert told[0] == 200
        await running.until(lambda: daemon.status().recording.file != first)  # type: ignore[union-attr]
        asked.append(time.monotonic_ns())
        told = await asyncio.to_thread(_post, url, "/api/mark", b'{"text": "heel strike"}')
        asked.append(time.monotonic_ns())
        assert told == (200, '{"marked": "heel strike"}')
        size = daemon.status().recording.bytes  # type: ignore[union-attr]
        await running.until(lambda: daemon.status().recording.bytes > size + 1000)  # type: ignore[union-attr]

    async def all_of_it() -> Running:
        given = settings(
            "sim://synthetic", recording=RecordingSettings(tmp_path), server=ServerSettings(port=0)
        )
        running = Running(given)
        await during(running, work)
        return running

    running = asyncio.run(all_of_it())
    assert running.event("marker")[0]["text"] == "heel strike"
    before, after = sorted(tmp_path.glob("*.etl"), key=lambda path: path.stat().st_mtime_ns)
    heads = [RecordingReader.open(path).snapshot.about for path in (before, after)]
    ours = {"run": running.daemon.run_id, "model": running.daemon.reloader.model.hash[:12]}
    assert heads == [ours, ours | {"person": "S01", "trial": "3"}]
    items = list(RecordingReader.open(after).items())
    (place,) = [place for place, item in enumerate(items) if isinstance(item, Marker)]
    assert items[place].text == "heel strike"  # type: ignore[union-attr]
    assert asked[0] <= items[place].arrival_ns <= asked[1]  # type: ignore[union-attr]
    # Simulated packets have the time at which they were due. On a busy machine they come later, after the marker of by then.
    times = [item.arrival_ns for item in items if not isinstance(item, (Marker, Snapshot))]  # type: ignore[union-attr]
    assert times == sorted(times) and 1 < place < len(items) - 1


def test_a_calibration_is_begun_and_given_up(tmp_path: Path) -> None:
    with served(tmp_path) as one:
        assert _tell(one, "/api/calibration", {"person": " Ada ", "strides": 12}) == 200
        assert _tell(one, "/api/calibration", {"stand": False, "swing": True, "contraction": True}) == 200
        assert one.daemon.noted == [("Ada", 12, True, False, False), ("", 10, False, True, True)]
        assert _tell(one, "/api/calibration/cancel", {}) == 200
        status, text = _post(one.url, "/api/calibration/cancel", b"{}")
        assert status == 409 and "no calibration is in progress" in text
        one.daemon.records = False
        status, text = _post(one.url, "/api/calibration", b"{}")
        assert status == 409 and text == "edgetool: a calibration is in progress: cancel it first\n"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/api/calibration", {"person": 1}),
        ("/api/calibration", {"strides": 4}),
        ("/api/calibration", {"strides": 101}),
        ("/api/calibration", {"strides": 10.0}),
        ("/api/calibration", {"strides": True}),
        ("/api/calibration", {"stand": "no"}),
        ("/api/calibration", {"swing": 1}),
        ("/api/calibration", {"contraction": None}),
        ("/api/calibration", {"out": "/etc/passwd"}),
        ("/api/calibration", ["Ada"]),
        ("/api/calibration/cancel", {"now": True}),
    ],
)
def test_what_is_no_calibration_is_refused(tmp_path: Path, path: str, value: Any) -> None:
    with served(tmp_path) as one:
        assert _tell(one, path, value) == 400
        assert one.daemon.noted == []


def test_who_calibrates_needs_the_token_and_is_no_page_of_another_site(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with served(tmp_path, ServerSettings(port=0, token_file=token)) as one:
        assert _tell(one, "/api/calibration", {}) == 401
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert _tell(one, "/api/calibration", {}, bearer | {"Sec-Fetch-Site": "cross-site"}) == 403
        assert _post(one.url, "/api/calibration", b"{}", bearer | {"Content-Type": "text/plain"})[0] == 415
        assert one.daemon.noted == []
        assert _tell(one, "/api/calibration", {}, bearer) == 200
