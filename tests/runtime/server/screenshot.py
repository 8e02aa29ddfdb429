"""Makes docs/images/dashboard.png: the page of ``edgetool run --demo`` in a headless Chromium. ``make screenshot`` runs it.

python -m tests.runtime.server.screenshot docs/images/dashboard.png
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.browser import Page, browser

#: CSS pixels of the picture, and how long the demo runs before it is taken, so that curves and states have come.
WIDTH, HEIGHT = 1280, 1065
SECONDS = 25.0


@contextlib.contextmanager
def demo() -> Iterator[str]:
    """``edgetool run --demo`` at a free port; gives the page's address and ends it as Ctrl-C does."""
    command = [
        str(Path(sys.executable).parent / "edgetool"),
        "run",
        "--demo",
        "--engine",
        "native",
        "--port",
        "0",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            found = re.search(r"url=\"?(http://[^\s\"]+)", line)
            if found is not None:
                break
        else:
            raise RuntimeError("edgetool run --demo ended: " + "".join(seen))
        # What it says from here on must be read by somebody, or it would stand still with a full pipe.
        reader = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        yield found[1]
    finally:
        process.send_signal(2)
        process.wait(20)
        if process.stderr is not None:
            process.stderr.close()
    reader.wait(5)
    assert process.returncode in (0, 130), f"edgetool run --demo ended with {process.returncode}"


async def ready(page: Page) -> None:
    """Until estimates of an ok state are on the page."""
    await page.until("document.body?.dataset.link === 'live'", seconds=60)
    await page.until(
        "document.getElementById('state').dataset.state", lambda state: state == "ok", seconds=60
    )


async def take(picture: Path, width: int = WIDTH, height: int = HEIGHT, seconds: float = SECONDS) -> None:
    """Run the demo and take its picture."""
    with tempfile.TemporaryDirectory() as folder, demo() as url:
        async with browser(Path(folder), nice=19) as page:
            await page.size(width, height)
            await page.go(url)
            await ready(page)
            await asyncio.sleep(seconds)
            await ready(page)
            assert "synthetic" in await page.text("header"), (
                "a picture of the demo must say that it is synthetic"
            )
            await page.picture(picture, whole=False)
            assert page.errors == []


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--height", type=int, default=HEIGHT)
    arguments = parser.parse_args()
    asyncio.run(take(arguments.picture, arguments.width, arguments.height))
    print(f"Wrote {arguments.picture}, {arguments.picture.stat().st_size:,} bytes")
