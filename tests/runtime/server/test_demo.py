"""``edgetool run --demo`` in a browser, whole, and the picture of it that the README shows."""

from __future__ import annotations

import asyncio
import struct
import tempfile
from pathlib import Path

from tests.browser import browser
from tests.runtime.server.screenshot import (
    WIDTH,
    demo,
    ready,
    take_of,
)

SHOWN = Path(__file__).resolve().parents[3] / "docs/images/dashboard.png"
#: Bytes that the README's picture may have.
MOST = 200_000


def size_of(picture: Path) -> tuple[int, int]:
    """Width and height in a PNG's header (PNG specification, 11.2.2)."""
    content = picture.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def test_the_demo_is_on_the_page_and_its_picture_can_be_taken(tmp_path: Path) -> None:
    picture = tmp_path / "dashboard.png"
    with demo() as url:
        asyncio.run(asyncio.wait_for(take_of(url, picture, seconds=3), 180))
    assert size_of(picture)[0] == WIDTH and 20_000 < picture.stat().st_size < MOST


def test_the_pictures_of_the_readme_are_there() -> None:
    assert size_of(SHOWN)[0] == WIDTH and SHOWN.stat().st_size < MOST


def test_all_of_the_demo_has_come_to_the_page() -> None:
    async def job() -> None:
        with tempfile.TemporaryDirectory() as folder, demo() as url:
            async with browser(Path(folder), nice=15) as page:
                await page.size(390, 844)
                await page.go(url)
                await ready(page)
                value = "document.getElementById('value-0').innerText"
                first = await page.until(value, lambda text: text not in ("–", ""))
                await page.until(value, lambda text: text not in ("–", "", first))
                names = await page.ask(
                    "[...document.querySelectorAll('.joint .name')].map((each) => each.innerText)"
                )
                assert names == ["Hip flexion moment", "Knee extension moment", "Ankle dorsiflexion moment"]
                heads = await page.ask(
                    "[...document.querySelectorAll('.spark figcaption')].map((each) => each.innerText)"
                )
                # 4 sensors of 3 axes each, accelerometer and gyroscope; 9 EMG channels.
                assert [head.split(" ")[0] for head in heads] == [
                    "12",
                    "12",
                    "9",
                ] and "nothing came" not in str(heads)
                sent = int((await page.text("#ledger td")).replace("\u202f", ""))
                assert sent > 10
                assert await page.ask("document.documentElement.scrollWidth") <= 390
                assert page.errors == []

    asyncio.run(asyncio.wait_for(job(), 180))
