"""Makes docs/images/dashboard.png: the page of a simulated, calibrated session in a headless Chromium. ``make screenshot`` runs
it.

The session is that of docs/CALIBRATION.md: the shipped calibrated model, simulated sensors put on anyhow, ``edgetool
calibrate``, ``edgetool run``. ``--slip`` lets the shank's strap slip before the picture, ``--dark`` takes it in dark colours.

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

import edgetool
from tests.browser import Page, browser
from toolkit.model.argument import CALIBRATED

#: CSS pixels of the picture, and how long the demo runs before it is taken, so that curves and states have come.
WIDTH, HEIGHT = 1280, 1775
SECONDS = 25.0


_DATA = "synthetic:people=1"
#: Somebody whom the model does not know, on a good link with the faults that a good link has.
_SOURCE = "sim://synthetic:people=1,seed=77,tasks=level,seconds=60?mounting=7&gains=7&jitter_ms=2&drop=0.0005&drift_ppm=20"
#: The strap slips so long after the start, s, when its wearer has been judged to be as calibrated.
_SLIP_S = 15


def session(folder: Path, slip: bool) -> Path:
    """A calibrated session's configuration: the shipped calibrated model, and the sensors of this picture."""
    bundle, calibration = folder / "bundle", folder / "today.json"
    edgetool.convert(CALIBRATED, data=_DATA, out=bundle)
    edgetool.calibrate(bundle, source=f"{_SOURCE}&speed=max&stand=5", out=calibration, person="Ada")
    source = _SOURCE + (f"&slip_s={_SLIP_S}&slip_deg=25&slip_imu=shank" if slip else "")
    config = folder / "run.toml"
    config.write_text(
        f'[model]\nbundle = "{bundle}"\nengine = "native"\ncalibration = "{calibration}"\n'
        f'[sources]\nurls = ["{source}"]\n[server]\nport = 0\n'
        "[service]\nrealtime = 10\n"  # a picture of the daemon, not of what else this machine does
        '[labels]\ndata = "synthetic: simulated sensors, no hardware"\n'
    )
    return config


def demo() -> contextlib.AbstractContextManager[str]:
    """``edgetool run --demo`` at a free port; gives the page's address and ends it as Ctrl-C does."""
    return running("--demo", "--engine", "native", "--port", "0")


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[str]:
    """``edgetool run`` with a page; gives its address and ends it as Ctrl-C does."""
    command = [sys.executable, "-m", "edgetool", "run", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    reader = None
    try:
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            found = re.search(r"url=\"?(http://[^\s\"]+)", line)
            if found is not None:
                break
        else:
            raise RuntimeError("edgetool run ended: " + "".join(seen))
        # What it says from here on must be read by somebody, or it would stand still with a full pipe.
        reader = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        yield found[1]
    finally:
        process.send_signal(2)
        process.wait(20)
        if process.stderr is not None:
            process.stderr.close()
        if reader is not None:
            reader.wait(5)
    assert process.returncode in (0, 130), f"edgetool run ended with {process.returncode}"


async def ready(page: Page, state: str = "ok") -> None:
    """Until estimates of this state are on the page."""
    await page.until("document.body?.dataset.link === 'live'", seconds=60)
    await page.until(
        "document.getElementById('state').dataset.state", lambda shown: shown == state, seconds=60
    )


async def take(
    picture: Path, width: int = WIDTH, height: int = HEIGHT, slip: bool = False, dark: bool = False
) -> None:
    """Run the session and take its picture."""
    with tempfile.TemporaryDirectory() as folder:
        config = await asyncio.to_thread(session, Path(folder), slip)
        with running(str(config)) as url:
            await take_of(url, picture, width, height, state="degraded" if slip else "ok", dark=dark)


def small(picture: Path) -> None:
    """The same picture with 256 colours, which is a third of the bytes; a page has hardly more."""
    from PIL import Image

    with Image.open(picture) as whole:
        whole.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(picture, optimize=True)


async def take_of(
    url: str,
    picture: Path,
    width: int = WIDTH,
    height: int = HEIGHT,
    *,
    seconds: float = SECONDS,
    state: str = "ok",
    dark: bool = False,
) -> None:
    """The picture of a page that is ok, and after ``seconds`` of this state."""
    with tempfile.TemporaryDirectory() as folder:
        async with browser(Path(folder), nice=19) as page:
            await page.size(width, height, dark)
            await page.go(url)
            await ready(page)
            await asyncio.sleep(seconds)
            await ready(page, state)
            assert "synthetic" in await page.text("header"), (
                "a picture of the demo must say that it is synthetic"
            )
            await page.picture(picture, whole=False)
            assert page.errors == []
    small(picture)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--height", type=int, default=HEIGHT)
    parser.add_argument("--slip", action="store_true")
    parser.add_argument("--dark", action="store_true")
    arguments = parser.parse_args()
    asyncio.run(take(**vars(arguments)))
    print(f"Wrote {arguments.picture}, {arguments.picture.stat().st_size:,} bytes")
