"""``model.trusted_keys``: an unsigned, foreign or changed bundle is refused at a reload, and the old model runs on."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from quantization.bundle import MANIFEST
from quantization.bundle_folder import SIGNATURE
from quantization.signing import sign
from runtime.daemon.model import load_model
from runtime.pipeline.estimate import State
from runtime.settings import ModelSettings
from tests.quantization.test_signing import key_pair
from tests.runtime.daemon.harness import Running, bundle, during, settings
from toolkit.errors import SignatureError


def test_the_old_model_runs_on_until_a_trusted_one_comes(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    shutil.copytree(bundle(), path)
    private, public = key_pair(tmp_path, "ours")
    theirs, _ = key_pair(tmp_path, "theirs")
    model = ModelSettings(path, trusted_keys=(public,))
    with pytest.raises(SignatureError, match="is not signed"):
        load_model(model)
    sign(path, private)
    signature, manifest = (path / SIGNATURE).read_bytes(), (path / MANIFEST).read_bytes()

    async def work(running: Running) -> None:
        await running.until(lambda: running.is_state(State.OK))
        daemon = running.daemon
        first = daemon.reloader.model

        async def refused(reason: str) -> None:
            assert not await daemon.reloader.reload()
            assert daemon.reloader.model is first
            assert reason in str(daemon.status().model.reload_trouble)

        (path / SIGNATURE).unlink()
        await refused("is not signed")
        sign(path, theirs)
        await refused("is signed with")
        (path / SIGNATURE).write_bytes(signature)
        (path / MANIFEST).write_bytes(manifest + b"\n")
        await refused("was changed after it was signed")
        (path / MANIFEST).write_bytes(manifest)
        damaged = bytearray((path / "golden.npz").read_bytes())
        damaged[100] ^= 1
        whole = (path / "golden.npz").read_bytes()
        (path / "golden.npz").write_bytes(damaged)
        await refused("was changed after its manifest")
        (path / "golden.npz").write_bytes(whole)
        came = len(running.estimates)
        await running.until(lambda: len(running.estimates) > came + 20)  # it never stopped
        assert await daemon.reloader.reload()
        assert daemon.reloader.model is not first
        # Told before it was opened, and by every reload that came to pass.
        assert running.sink.identities == [(daemon.run_id, first.hash[:12])] * 2

    asyncio.run(during(Running(replace(settings("sim://synthetic"), model=model)), work))
