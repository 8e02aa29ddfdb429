"""Chromium without a screen, steered over its DevTools protocol: a page as a person gets it, with its scripts running."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp

from tests.tools import require


def chromium_program() -> str:
    """Path of a Chromium; the test is skipped if there is none."""
    return require("chromium")


class Page:
    """One tab. ``errors`` are exceptions of its scripts and messages of its console, such as what a policy refused."""

    def __init__(self, channel: aiohttp.ClientWebSocketResponse) -> None:
        self._channel = channel
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.create_task(self._read())
        self.errors: list[str] = []

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        self._number += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[self._number] = answer
        await self._channel.send_json({"id": self._number, "method": method, "params": parameters})
        return await asyncio.wait_for(answer, 30)

    async def size(self, width: int, height: int, dark: bool = False) -> None:
        """A screen of so many CSS pixels; a phone below 600."""
        phone = width < 600
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.send("Emulation.setEmulatedMedia", features=scheme)

    async def go(self, url: str) -> None:
        """Load a page, with all its files but not what its scripts ask for."""
        await self.send("Page.navigate", url=url)
        await self.until(
            "location.protocol === 'http:' && document.readyState", lambda state: state == "complete"
        )

    async def ask(self, expression: str) -> Any:
        """What an expression is on the page."""
        answer = await self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str, right: Callable[[Any], bool] = bool, seconds: float = 30) -> Any:
        """Wait until it is right; the bound only ends a test that has failed."""
        end = time.monotonic() + seconds
        while True:
            value = await self.ask(expression)
            if right(value):
                return value
            assert time.monotonic() < end, f"{expression} stays {value!r}; {self.errors}"
            await asyncio.sleep(0.05)

    async def text(self, selector: str) -> str:
        """The visible text of an element."""
        return str(await self.ask(f"document.querySelector({selector!r}).innerText"))

    async def picture(self, path: Path, whole: bool = True) -> None:
        """A PNG of the page."""
        shot = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        self._reader.cancel()

    async def _read(self) -> None:
        async for message in self._channel:
            value = message.json()
            if "id" in value:
                self._answers.pop(value["id"]).set_result(value.get("result", value))
            elif value["method"] == "Runtime.exceptionThrown":
                self.errors.append(
                    str(value["params"]["exceptionDetails"].get("exception", {}).get("description"))
                )
            elif value["method"] == "Log.entryAdded" and value["params"]["entry"]["level"] == "error":
                self.errors.append(value["params"]["entry"]["text"])


@contextlib.asynccontextmanager
async def browser(folder: Path, nice: int = 0) -> AsyncIterator[Page]:
    """A fresh Chromium with one tab; it keeps its files in ``folder``. ``nice`` lets what it looks at go first."""
    profile = folder / "profile"
    process = subprocess.Popen(
        [
            "nice", "-n", str(nice), chromium_program(),
            "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
            "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        port = await _port(profile / "DevToolsActivePort", process)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
                tabs = [tab for tab in await response.json() if tab["type"] == "page"]
            async with session.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0) as channel:
                page = Page(channel)
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await page.send(f"{domain}.enable")
                try:
                    yield page
                finally:
                    page.close()
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        await _all_gone(process.pid)


async def _all_gone(group: int) -> None:
    """Chromium's other processes outlive it for a while, and write into the folder that is about to be removed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            os.killpg(group, 0)
            await asyncio.sleep(0.02)


async def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + 60
    while not (file.exists() and len(lines := file.read_text().splitlines()) >= 1 and lines[0]):
        assert process.poll() is None and time.monotonic() < end, "Chromium does not start"
        await asyncio.sleep(0.05)
    return int(lines[0])
