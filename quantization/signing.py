"""Signatures of bundles: Ed25519 over the SHA-256 of the manifest, which holds the SHA-256 of every other file.

``signature.json`` lies beside the manifest (docs/BUNDLE.md). Its bytes have one form, so that no byte of it can be changed
unseen. Keys are PEM files as ``openssl genpkey -algorithm ed25519`` makes them; the arithmetic is the package cryptography's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantization.bundle_folder import SIGNATURE, Manifest, read_files, read_manifest
from toolkit.errors import InputError, MissingDependencyError, SignatureError
from toolkit.files import write_bytes
from toolkit.reading import parse_json_object, read_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

SCHEMA = 1
ALGORITHM = "ed25519"
#: What is signed begins so, that no signature made for another purpose fits.
_PURPOSE = b"edgetool bundle signature 1\n"
_KEY_BYTES, _SIGNATURE_BYTES, _HASH_BYTES = 32, 64, 32
#: Of a PEM file with one key.
_PEM_BYTES = 1 << 16


@dataclass(frozen=True)
class Signer:
    """Whose key signed a bundle. ``verified`` is False only where the package cryptography is not installed."""

    public_key: bytes
    verified: bool = True

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public key's 32 bytes, in hexadecimal."""
        return hashlib.sha256(self.public_key).hexdigest()

    def __str__(self) -> str:
        told = "" if self.verified else ", not verified: the package cryptography is not installed"
        return f"{ALGORITHM} key {self.fingerprint[:16]}{told}"


@dataclass(frozen=True)
class TrustedKey:
    """A public key, and the file it came from."""

    public_key: bytes
    source: str


@dataclass(frozen=True)
class Signature:
    """The content of ``signature.json``."""

    manifest_hash: str
    public_key: bytes
    signature: bytes

    def to_bytes(self) -> bytes:
        """The one form that it has in a file; :meth:`from_bytes` takes no other."""
        document = {
            "schema": SCHEMA,
            "algorithm": ALGORITHM,
            "manifest_sha256": self.manifest_hash,
            "public_key": self.public_key.hex(),
            "signature": self.signature.hex(),
        }
        return (json.dumps(document, indent=2) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> Signature:
        """SignatureError, which begins with ``where``, unless these are the bytes of :meth:`to_bytes`."""
        document = parse_json_object(content, where, "a signature", SignatureError)
        try:
            found = cls(
                _hexadecimal(document["manifest_sha256"], _HASH_BYTES).hex(),
                _hexadecimal(document["public_key"], _KEY_BYTES),
                _hexadecimal(document["signature"], _SIGNATURE_BYTES),
            )
        except (KeyError, TypeError, ValueError):
            found = None
        if found is None or found.to_bytes() != content:
            raise SignatureError(
                f"{where} is not a signature that edgetool writes (schema {SCHEMA}, {ALGORITHM}), or was changed; sign again"
            )
        return found


def _hexadecimal(text: Any, length: int) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != length:
        raise ValueError(f"{len(value)} bytes in place of {length}")
    return value


def sign(folder: str | Path, key_file: str | Path) -> Signer:
    """Verify every hash of the bundle ``folder`` and write ``signature.json`` with the private key in ``key_file``.

    A signature that is there is replaced. Raises BundleError for a bundle that was changed, InputError for what is not a
    private Ed25519 key, MissingDependencyError without the package cryptography, OutputError if it cannot be written.
    """
    manifest = read_manifest(Path(folder))
    read_files(manifest)
    key = _private_key(Path(key_file))
    public_key = key.public_key().public_bytes_raw()
    signature = Signature(manifest.hash, public_key, key.sign(_message(manifest.hash)))
    write_bytes(manifest.path / SIGNATURE, signature.to_bytes())
    return Signer(public_key)


def require_signed(manifest: Manifest, trusted: Sequence[TrustedKey] | None = None) -> Signer | None:
    """Who signed ``manifest``; None if there is no signature and no key to be ``trusted``.

    SignatureError if the signature that is there is not one of this manifest, and with ``trusted`` keys (also if these are
    none) unless it is one of theirs. MissingDependencyError if that needs the package cryptography and it is not there.
    """
    where = f"bundle {manifest.path}"
    if manifest.signature is None:
        if trusted is None:
            return None
        raise SignatureError(f"{where} is not signed; {_allowed(trusted)}: sign it with edgetool sign")
    found = Signature.from_bytes(manifest.signature, f"{where}: {SIGNATURE}")
    if found.manifest_hash != manifest.hash:
        raise SignatureError(
            f"{where} was changed after it was signed: its manifest has SHA-256 {manifest.hash} and the signature is of "
            f"{found.manifest_hash}"
        )
    signer = Signer(found.public_key)
    if trusted is not None and found.public_key not in [key.public_key for key in trusted]:
        raise SignatureError(f"{where} is signed with {signer}; {_allowed(trusted)}")
    try:
        valid = _is_valid(found)
    except MissingDependencyError:
        if trusted is not None:
            raise
        return Signer(found.public_key, verified=False)
    if not valid:
        raise SignatureError(f"{where}: its signature is not one of {signer}; sign the bundle again")
    return signer


def read_trusted_key(path: str | Path) -> TrustedKey:
    """The public Ed25519 key in a PEM file; InputError if it is none, MissingDependencyError without cryptography."""
    content = read_file(Path(path), "a PEM file with a public key", InputError, _PEM_BYTES)
    if b"PRIVATE KEY" in content:
        raise InputError(
            f"{path} is a private key, which belongs to whoever signs; give the public one: openssl pkey -in {path} -pubout"
        )
    serialization, ed25519 = _cryptography()
    try:
        key = serialization.load_pem_public_key(content)
    except Exception as error:  # the package raises several kinds for what is no key
        raise InputError(f"{path} is not a PEM file with a public key: {_first_line(error)}") from None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise InputError(f"{path} is not an Ed25519 key; openssl genpkey -algorithm ed25519 makes one")
    return TrustedKey(key.public_bytes_raw(), str(path))


def _private_key(path: Path) -> Ed25519PrivateKey:
    content = read_file(path, "a PEM file with a private key", InputError, _PEM_BYTES)
    serialization, ed25519 = _cryptography()
    try:
        key = serialization.load_pem_private_key(content, None)
    except TypeError:
        raise InputError(
            f"{path} is encrypted; write it without a password to where only you can read it: openssl pkey -in {path}"
        ) from None
    except Exception as error:  # the package raises several kinds for what is no key
        raise InputError(f"{path} is not a PEM file with a private key: {_first_line(error)}") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise InputError(f"{path} is not an Ed25519 key; openssl genpkey -algorithm ed25519 makes one")
    private: Ed25519PrivateKey = key
    return private


def _is_valid(signature: Signature) -> bool:
    from_bytes = _cryptography()[1].Ed25519PublicKey.from_public_bytes
    from cryptography.exceptions import InvalidSignature

    try:
        key: Ed25519PublicKey = from_bytes(signature.public_key)
        key.verify(signature.signature, _message(signature.manifest_hash))
    except (InvalidSignature, ValueError):
        return False
    return True


def _message(manifest_hash: str) -> bytes:
    return _PURPOSE + manifest_hash.encode() + b"\n"


def _cryptography() -> tuple[Any, Any]:
    """The modules ``serialization`` and ``ed25519``."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise MissingDependencyError(
            "signatures need the package cryptography, which is not installed: pip install 'edgetool[sign]'"
        ) from None
    return serialization, ed25519


def _allowed(trusted: Sequence[TrustedKey]) -> str:
    keys = ", ".join(f"{Signer(key.public_key)} of {key.source}" for key in trusted)
    return f"allowed: {keys}" if keys else "no key is trusted"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
