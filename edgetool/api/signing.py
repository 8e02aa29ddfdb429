"""Who made a bundle: signing it, and verifying that nothing has changed since."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import MissingDependencyError, SignatureError

if TYPE_CHECKING:
    from quantization.signing import Signer


def sign(bundle: str | Path, *, key: str | Path) -> Signer:
    """Sign a bundle: write ``signature.json`` into its folder.

    ``bundle`` is the folder; every hash of its manifest is verified first. ``key`` is a PEM file with a private Ed25519 key,
    as ``openssl genpkey -algorithm ed25519`` makes it. An existing signature is replaced.

    Raises BundleError for a bundle that was changed after its manifest, InputError for anything but such a key,
    MissingDependencyError without the package cryptography (``edgetool[sign]``), OutputError if nothing can be written.
    """
    from quantization.signing import sign as work

    return work(bundle, key)


def verify(bundle: str | Path, *, trusted: Sequence[str | Path] = ()) -> Signer:
    """Who signed a bundle, once its signature, every hash and every part of it are verified.

    ``bundle`` is the folder. ``trusted`` are PEM files with public Ed25519 keys: the signature must be one of theirs. Without
    any, the caller must compare the fingerprint.

    Raises SignatureError if the bundle is not signed, or not by a trusted key, BundleError if it was changed, InputError for
    anything but a public key, MissingDependencyError without the package cryptography (``edgetool[sign]``).
    """
    from quantization.bundle import Bundle
    from quantization.signing import read_trusted_key

    found = Bundle.load(bundle, trusted=[read_trusted_key(path) for path in trusted] or None)
    if found.signer is None:
        raise SignatureError(f"bundle {bundle} is not signed; sign it with edgetool sign")
    if not found.signer.verified:
        raise MissingDependencyError(
            "signatures need the package cryptography, which is not installed: pip install 'edgetool[sign]'"
        )
    return found.signer
