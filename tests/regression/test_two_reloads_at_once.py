"""``model.watch`` and SIGHUP at the same time: two reloads ran beside each other, and the older model could win.

Reloads wait for one another, and the watch knows which manifest a signal has loaded already.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

from quantization.bundle import MANIFEST
from runtime.daemon.daemon import Timing
from runtime.daemon.model import LoadedModel, load_model
from runtime.pipeline.estimate import State
from runtime.settings import ModelSettings
from tests.runtime.daemon.harness import Running, bundle, during, settings


def test_one_after_the_other_and_the_newest_wins(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    shutil.copytree(bundle(), path)
    inside, most, loads = 0, 0, 0
    lock = threading.Lock()

    def load(given: ModelSettings) -> LoadedModel:
        nonlocal inside, most, loads
        with lock:
            inside, loads = inside + 1, loads + 1
            most = max(most, inside)
        try:
            return load_model(given)
        finally:
            with lock:
                inside -= 1

    async def work(running: Running) -> None:
        await running.until(lambda: running.is_state(State.OK))
        daemon = running.daemon
        for turn in range(3):
            manifest = path / MANIFEST
            manifest.write_bytes(manifest.read_bytes() + b"\n")
            os.utime(manifest, ns=(turn, turn))
            daemon.ask_for_reload()
            await asyncio.gather(daemon.reloader.reload(), daemon.reloader.reload())
            await running.until(lambda: not daemon._reload_asked.is_set())
        before = loads
        # The watch looks on, and finds nothing that has not been loaded.
        looked = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, looked.set)
        await looked.wait()
        assert loads <= before + 1
        assert daemon.status().model.hash == load_model(ModelSettings(path)).hash

    async def all_of_it() -> None:
        given = replace(settings("sim://synthetic"), model=ModelSettings(path, watch=True))
        await during(Running(given, load=load, timing=Timing(watch_s=0.02)), work)

    asyncio.run(all_of_it())
    assert most == 1 and loads >= 7
