"""``mqtt://user:123/secret@host/topic`` showed the password in errors and logs: ``123/`` was taken for a port and the topic."""

from __future__ import annotations

import pytest

from runtime.sinks import open_sink
from runtime.sinks.settings import without_password
from tests.runtime.sinks.harness import OUTPUTS
from toolkit.errors import UsageError


def test_it_is_hidden_and_refused() -> None:
    for url in (
        "mqtt://gait:123/secret@host/topic",
        "mqtts://gait:1/secret@host:8883/lab/left?client_id=x",
        "mqtt://gait:99999/sec@ret@host/t",
    ):
        assert "secret" not in without_password(url) and "ret" not in without_password(url).partition("?")[0]
        with pytest.raises(
            UsageError, match=r"no password in a URL.*an @ in a topic is written %40"
        ) as error:
            open_sink(url, OUTPUTS)
        assert "secret" not in str(error.value)


def test_a_topic_with_an_at_is_no_password() -> None:
    assert without_password("mqtt://host:1883/lab@home") == "mqtt://host:1883/lab@home"
    assert open_sink("mqtt://host:1883/lab%40home/left", OUTPUTS).name == "mqtt://host:1883/lab%40home/left"
