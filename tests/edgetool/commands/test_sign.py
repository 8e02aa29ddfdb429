"""``edgetool sign`` and ``edgetool verify``, and who else says who signed: bench, validate, the daemon."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import edgetool
from edgetool.cli import edgetool as command
from quantization.bundle import MANIFEST
from quantization.bundle_folder import SIGNATURE
from runtime.config import read_config
from runtime.daemon.model import load_model
from tests.quantization.test_signing import key_pair
from tests.runtime.engines.models import MODELS, make_bundle
from toolkit.errors import BundleError, InputError, SignatureError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "bundle", MODELS["small"])
    return tmp_path


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgetool", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_sign_and_verify_as_a_user_does_it(folder: Path) -> None:
    private, public = key_pair(folder, "ours")
    _, other = key_pair(folder, "theirs")
    bundle = folder / "bundle"
    unsigned = run("verify", bundle)
    assert unsigned.returncode == 2 and "is not signed; sign it with edgetool sign" in unsigned.stderr
    signed = run("sign", bundle, "--key", private)
    assert signed.returncode == 0, signed.stderr
    fingerprint = signed.stdout.split()[-1]
    assert len(fingerprint) == 64
    for trusted in ([], ["--trusted", public], ["--trusted", other, "--trusted", public]):
        verified = run("verify", bundle, *trusted)
        assert verified.returncode == 0, verified.stderr
        assert fingerprint in verified.stdout
        assert ("which is trusted" in verified.stdout) == bool(trusted)
    refused = run("verify", bundle, "--trusted", other)
    assert refused.returncode == 2 and fingerprint[:16] in refused.stderr and "theirs.pub" in refused.stderr
    assert refused.stdout == "" and refused.stderr.count("\n") == 1


def test_a_changed_bundle_is_refused_by_verify(folder: Path) -> None:
    private, public = key_pair(folder, "ours")
    edgetool.sign(folder / "bundle", key=private)
    manifest = folder / "bundle" / MANIFEST
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    for trusted in ([], [public]):
        with pytest.raises(SignatureError, match="was changed after it was signed"):
            edgetool.verify(folder / "bundle", trusted=trusted)
    edgetool.sign(folder / "bundle", key=private)
    (folder / "bundle" / "golden.npz").write_bytes(b"x")
    with pytest.raises(BundleError, match="was changed after its manifest"):
        edgetool.verify(folder / "bundle", trusted=[public])


def test_the_daemon_runs_only_what_a_trusted_key_signed(folder: Path) -> None:
    private, _ = key_pair(folder, "ours")
    key_pair(folder, "theirs")
    config = folder / "daemon.toml"

    def settings(keys: str) -> str:
        return (
            f'[model]\nbundle = "bundle"\nengine = "native"\n{keys}\n[sources]\nurls = ["sim://synthetic"]\n'
        )

    config.write_text(settings('trusted_keys = ["theirs.pub", "ours.pub"]'))
    model = read_config(config).model
    assert model.trusted_keys == (folder / "theirs.pub", folder / "ours.pub")
    with pytest.raises(SignatureError, match="is not signed; allowed: ed25519 key"):
        load_model(model)
    signer = edgetool.sign(folder / "bundle", key=private)
    assert load_model(model).words()["signer"] == str(signer)
    config.write_text(settings('trusted_keys = ["theirs.pub"]'))
    with pytest.raises(SignatureError, match="is signed with"):
        load_model(read_config(config).model)
    config.write_text(settings('trusted_keys = ["missing.pub"]'))
    with pytest.raises(InputError, match=r"missing\.pub: no such file"):
        load_model(read_config(config).model)
    config.write_text(settings("trusted_keys = []"))
    with pytest.raises(InputError, match=r"daemon\.toml:4: .*at least one text"):
        read_config(config)


def test_the_stamp_that_the_watch_compares_knows_the_signature(folder: Path) -> None:
    """A bundle that was refused unsigned is tried again once it is signed."""
    private, _ = key_pair(folder, "ours")
    config = folder / "daemon.toml"
    config.write_text(
        '[model]\nbundle = "bundle"\nengine = "litert"\n[sources]\nurls = ["sim://synthetic"]\n'
    )
    model = load_model(read_config(config).model)
    before = model.stamp()
    edgetool.sign(folder / "bundle", key=private)
    assert model.stamp() != before
    (folder / "bundle" / SIGNATURE).unlink()
    assert model.stamp() == before


def test_help_names_openssl() -> None:
    shown = CliRunner().invoke(command, ["sign", "--help"])
    assert shown.exit_code == 0 and "openssl genpkey -algorithm ed25519" in " ".join(shown.output.split())
