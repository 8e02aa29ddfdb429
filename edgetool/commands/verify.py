"""``edgetool verify``: who signed a bundle; a thin wrapper around :func:`edgetool.verify`."""

from __future__ import annotations

from pathlib import Path

import click

from edgetool.commands.shared import PATH, SETTINGS


@click.command(
    name="verify", epilog="Example: edgetool verify bundle --trusted ours.pub", context_settings=SETTINGS
)
@click.argument("bundle", type=PATH)
@click.option(
    "--trusted",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="PEM file with a public Ed25519 key that may have signed; may be repeated.",
)
def command(bundle: Path, trusted: tuple[Path, ...]) -> None:
    """Verify BUNDLE: its signature and the hash of every file. Exit code 2 if anything is wrong.

    Without --trusted, compare the fingerprint with the one the signer gave you.
    """
    from edgetool.api.signing import verify
    from toolkit.terminal import say

    signer = verify(bundle, trusted=trusted)
    say(
        f"{bundle} is intact and signed with {signer}{', which is trusted' if trusted else ''}.",
        f"Fingerprint (SHA-256 of the public key): {signer.fingerprint}",
    )
