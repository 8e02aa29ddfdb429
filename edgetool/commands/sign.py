"""``edgetool sign``: a bundle's signature; a thin wrapper around :func:`edgetool.sign`."""

from __future__ import annotations

from pathlib import Path

import click

from edgetool.commands.shared import PATH, SETTINGS


@click.command(
    name="sign", epilog="Example: edgetool sign bundle --key signing.pem", context_settings=SETTINGS
)
@click.argument("bundle", type=PATH)
@click.option(
    "--key",
    type=PATH,
    required=True,
    metavar="FILE",
    help="PEM file with a private Ed25519 key (openssl genpkey -algorithm ed25519 -out FILE).",
)
def command(bundle: Path, key: Path) -> None:
    """Sign BUNDLE: the hash of its manifest, and so every file.

    Writes signature.json into the bundle. Whoever has the public key (openssl pkey -in FILE -pubout) can verify it, and a
    daemon with model.trusted_keys runs only what one of those keys has signed.
    """
    from edgetool.api.signing import sign
    from toolkit.terminal import say

    signer = sign(bundle, key=key)
    say(f"Signed {bundle} with {signer}.", f"Fingerprint (SHA-256 of the public key): {signer.fingerprint}")
