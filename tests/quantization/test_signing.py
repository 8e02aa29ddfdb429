"""Signed bundles: who signed, and that nothing of a bundle can be changed unseen.

EDGETOOL_EVERY_BYTE=1 flips each byte of the large files too, in place of some hundred of each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from quantization.bundle import MANIFEST, Bundle
from quantization.bundle_folder import SIGNATURE
from quantization.signing import (
    Signature,
    Signer,
    TrustedKey,
    read_trusted_key,
    sign,
)
from tests.runtime.engines.models import MODELS, make_bundle
from toolkit.errors import BundleError, InputError, MissingDependencyError, SignatureError

#: Bytes of each large file that are flipped, drawn evenly; the manifest and the signature have every byte flipped.
SAMPLED = 120
EVERY_BYTE = "EDGETOOL_EVERY_BYTE" in os.environ


def key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """Files of a private and a public key."""
    key = ed25519.Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return key_pair(tmp_path_factory.mktemp("keys"), "ours")


@pytest.fixture
def trusted(keys: tuple[Path, Path]) -> list[TrustedKey]:
    return [read_trusted_key(keys[1])]


@pytest.fixture
def signed(tmp_path: Path, keys: tuple[Path, Path]) -> Path:
    folder = tmp_path / "bundle"
    make_bundle(folder, MODELS["small"])
    sign(folder, keys[0])
    return folder


def test_a_signed_bundle_says_who_signed_it(signed: Path, trusted: list[TrustedKey]) -> None:
    bundle = Bundle.load(signed, trusted=trusted)
    assert bundle.signer == Signer(trusted[0].public_key)
    assert bundle.signer == Bundle.load(signed).signer
    assert str(bundle.signer) == f"ed25519 key {bundle.signer.fingerprint[:16]}"


def test_openssl_signs_and_verifies_the_same(signed: Path, tmp_path: Path) -> None:
    """What docs/BUNDLE.md says of the bytes that are signed holds for another program."""
    key, public = tmp_path / "k.pem", tmp_path / "k.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    sign(signed, key)
    stated = json.loads((signed / SIGNATURE).read_text())
    (tmp_path / "message").write_text(f"edgetool bundle signature 1\n{stated['manifest_sha256']}\n")
    (tmp_path / "signature").write_bytes(bytes.fromhex(stated["signature"]))
    verify = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin"]
    done = subprocess.run(
        [*verify, "-in", tmp_path / "message", "-sigfile", tmp_path / "signature"], capture_output=True
    )
    assert done.returncode == 0 and b"Verified Successfully" in done.stdout
    assert Bundle.load(signed, trusted=[read_trusted_key(public)]).signer is not None


def test_an_unsigned_bundle_is_loaded_unless_keys_are_trusted(
    tmp_path: Path, trusted: list[TrustedKey]
) -> None:
    make_bundle(tmp_path / "bundle", MODELS["small"])
    assert Bundle.load(tmp_path / "bundle").signer is None
    for keys in (trusted, []):
        with pytest.raises(SignatureError, match="is not signed"):
            Bundle.load(tmp_path / "bundle", trusted=keys)


def test_another_key_is_refused_and_both_are_named(signed: Path, tmp_path: Path) -> None:
    other = read_trusted_key(key_pair(tmp_path, "theirs")[1])
    with pytest.raises(SignatureError) as caught:
        Bundle.load(signed, trusted=[other])
    assert Signer(other.public_key).fingerprint[:16] in str(caught.value)
    assert "theirs.pub" in str(caught.value)
    with pytest.raises(SignatureError, match="no key is trusted"):
        Bundle.load(signed, trusted=[])


def test_a_signature_under_anothers_name_is_refused(
    signed: Path, tmp_path: Path, trusted: list[TrustedKey]
) -> None:
    """The public key in the file is replaced by the trusted one; the signature stays the attacker's."""
    sign(signed, key_pair(tmp_path, "theirs")[0])
    made = Signature.from_bytes((signed / SIGNATURE).read_bytes(), "x")
    forged = Signature(made.manifest_hash, trusted[0].public_key, made.signature)
    (signed / SIGNATURE).write_bytes(forged.to_bytes())
    for keys in (trusted, None):
        with pytest.raises(SignatureError, match="its signature is not one of"):
            Bundle.load(signed, trusted=keys)


def test_signing_again_replaces_a_signature_even_a_wrong_one(
    signed: Path, keys: tuple[Path, Path], trusted: list[TrustedKey]
) -> None:
    (signed / SIGNATURE).write_text("{}")
    with pytest.raises(SignatureError):
        Bundle.load(signed)
    sign(signed, keys[0])
    assert Bundle.load(signed, trusted=trusted).signer is not None


def test_a_bundle_that_was_changed_is_not_signed(signed: Path, keys: tuple[Path, Path]) -> None:
    (signed / "golden.npz").write_bytes(b"x")
    (signed / SIGNATURE).unlink()
    with pytest.raises(BundleError, match=r"golden\.npz was changed after its manifest"):
        sign(signed, keys[0])
    assert not (signed / SIGNATURE).exists()


def places(size: int, every: bool) -> list[int]:
    if every or EVERY_BYTE or size <= SAMPLED:
        return list(range(size))
    return sorted({0, size - 1, *np.linspace(0, size - 1, SAMPLED).astype(int).tolist()})


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80])
def test_each_byte_of_manifest_and_signature_flipped_is_refused(
    signed: Path, trusted: list[TrustedKey], mask: int
) -> None:
    """0x20 makes small letters large, which hexadecimal digits would bear."""
    for name in (SIGNATURE, MANIFEST):
        content = (signed / name).read_bytes()
        # The signature is verified before any other file is read: what is refused here is refused by it.
        for place in places(len(content), every=mask == 0x01 or name == SIGNATURE):
            damaged = bytearray(content)
            damaged[place] ^= mask
            (signed / name).write_bytes(damaged)
            with pytest.raises(BundleError):
                Bundle.load(signed, trusted=trusted)
        (signed / name).write_bytes(content)
    assert Bundle.load(signed, trusted=trusted).signer is not None


def test_bytes_of_every_listed_file_flipped_are_refused(signed: Path, trusted: list[TrustedKey]) -> None:
    names = sorted(Bundle.load(signed).files)
    assert sum(name.startswith("models/") for name in names) == 4
    for name in names:
        content = (signed / name).read_bytes()
        for place in places(len(content), every=False):
            damaged = bytearray(content)
            damaged[place] ^= 0x01
            (signed / name).write_bytes(damaged)
            with pytest.raises(BundleError, match="was changed after its manifest"):
                Bundle.load(signed, trusted=trusted)
        (signed / name).write_bytes(content)


@pytest.mark.parametrize("change", [lambda c: b"", lambda c: c + b" ", lambda c: c[:-1], lambda c: b" " + c])
def test_another_form_of_the_same_signature_is_refused(signed: Path, change: object) -> None:
    content = (signed / SIGNATURE).read_bytes()
    (signed / SIGNATURE).write_bytes(change(content))  # type: ignore[operator]
    with pytest.raises(SignatureError, match=r"signature\.json is not a signature"):
        Bundle.load(signed)


def test_what_is_no_key_is_one_line(tmp_path: Path, keys: tuple[Path, Path], signed: Path) -> None:
    private, public = keys
    with pytest.raises(InputError, match="is a private key, which belongs to whoever signs"):
        read_trusted_key(private)
    with pytest.raises(InputError, match="not a PEM file with a private key"):
        sign(signed, public)
    other = ec.generate_private_key(ec.SECP256R1())
    curve = tmp_path / "curve.pem"
    curve.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(InputError, match="is not an Ed25519 key"):
        sign(signed, curve)
    curve.write_bytes(other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(InputError, match="is not an Ed25519 key"):
        read_trusted_key(curve)
    locked = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    curve.write_bytes(locked)
    with pytest.raises(InputError, match="is encrypted"):
        sign(signed, curve)
    for content in (b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", b"\xff" * 100):
        curve.write_bytes(content)
        with pytest.raises(InputError, match="is not a PEM file") as caught:
            read_trusted_key(curve)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        read_trusted_key(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        read_trusted_key(tmp_path / "pipe")


def test_without_cryptography_a_signature_is_told_as_not_verified_and_trust_is_refused(
    signed: Path, trusted: list[TrustedKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == "cryptography":
            monkeypatch.setitem(sys.modules, name, None)
    bundle = Bundle.load(signed)
    assert bundle.signer is not None and not bundle.signer.verified
    assert "not verified" in str(bundle.signer)
    with pytest.raises(MissingDependencyError, match=r"edgetool\[sign\]"):
        Bundle.load(signed, trusted=trusted)
