r"""A sign-in with ``charset=unicode_escape`` gave 500: the form came out with a lone surrogate, which no digest takes.

Python knows encodings that are no character sets (``unicode_escape``, ``idna``, ``punycode``); a browser sends UTF-8.
"""

from __future__ import annotations

import http.client
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from runtime.server.access import Access
from runtime.server.guard import Guard
from runtime.settings import ServerSettings
from tests.runtime.server.served import TOKEN, served


@pytest.mark.parametrize(
    "charset", ["unicode_escape", "raw_unicode_escape", "utf-7", "idna", "punycode", "utf-16", "rot13", "hex"]
)
def test_it_is_a_bad_request(charset: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with served(tmp_path, ServerSettings(port=0, token_file=tmp_path / "token")) as one:

        def status(charset: str, body: str) -> int:
            place = urlsplit(one.url)
            connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=10)
            kind = {"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"}
            connection.request("POST", "/session", body.encode(), kind)
            try:
                return connection.getresponse().status
            finally:
                connection.close()

        assert status(charset, r"token=\ud800") == 400
        assert status("UTF-8", f"token={TOKEN}") == 303


def test_no_text_is_too_strange_to_be_wrong() -> None:
    guard = Guard(Access(token=TOKEN))
    assert not any(guard.knows(text) for text in ("\ud800", "\udcff", "\0", "", TOKEN + "\udfff"))
    assert guard.knows(TOKEN)
