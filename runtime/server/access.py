"""Where the dashboard listens and which token its viewers must know."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtime.settings import ServerSettings
from toolkit.errors import InputError, UsageError
from toolkit.reading import is_file, read_text

#: Variable of the environment that holds the token, if no file does.
TOKEN_VARIABLE = "EDGETOOL_SERVER_TOKEN"
#: Name of the token among systemd's credentials (``LoadCredential=server-token:FILE``).
TOKEN_CREDENTIAL = "server-token"
#: Characters a token needs: guessing one of 16 random letters and digits over a network is hopeless.
SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class Access:
    """``host`` and ``port`` to listen at (port 0: any free one), and the ``token``, which others than loopback need."""

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise UsageError(f"server: port is {self.port}; it must be from 0 (any free one) to 65535")
        if self.token is not None and not re.fullmatch(rf"[!-~]{{{SHORTEST_TOKEN},}}", self.token):
            raise UsageError(
                f"server: the token must have at least {SHORTEST_TOKEN} characters, ASCII without spaces; "
                "make one with: openssl rand -hex 16"
            )
        if self.token is None and not self.is_loopback:
            raise UsageError(
                f"server: host {self.host!r} can be reached by others and there is no token; set token_file or "
                f"${TOKEN_VARIABLE}, or listen at 127.0.0.1"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @classmethod
    def of(cls, settings: ServerSettings, environment: Mapping[str, str] | None = None) -> Access:
        """With the token from systemd's credential ``server-token``, else ``token_file``, else ``$EDGETOOL_SERVER_TOKEN``.

        The credential is first: a service is given the content of a ``token_file`` that it may not read itself.

        Raises UsageError if the address or the token is not fit or a token is missing, InputError if a file cannot be read.
        """
        known = os.environ if environment is None else environment
        return cls(settings.host, settings.port, _token(settings.token_file, known))


def _token(token_file: Path | None, environment: Mapping[str, str]) -> str | None:
    credentials = environment.get("CREDENTIALS_DIRECTORY")
    if credentials and is_file(Path(credentials) / TOKEN_CREDENTIAL):
        return _first_line(Path(credentials) / TOKEN_CREDENTIAL)
    if token_file is not None:
        return _first_line(token_file)
    return environment.get(TOKEN_VARIABLE) or None


def _first_line(path: Path) -> str:
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(
            f"cannot read the server's token from {path}: {why}; it must hold the token as its first line"
        ) from None
    return lines[0].strip() if lines else ""
