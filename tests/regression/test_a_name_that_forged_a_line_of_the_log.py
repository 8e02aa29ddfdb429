"""ESC sequences in a node's name reached the terminal through the text log; a lone surrogate ended the scrape of all metrics.

What nodes, files and peers call themselves goes through one function on its way to the log, to systemd and to Prometheus.
"""

from __future__ import annotations

import io
import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from runtime.log.journal import Form, Journal
from runtime.log.notify import Notifier
from runtime.server.feed import full_status
from runtime.server.health import health
from runtime.status.metrics import Metrics
from runtime.status.pi_health import PiHealth
from runtime.status.status import DaemonStatus
from tests.hostile import few_or_all
from tests.runtime.server.served import status_like

NAMES = few_or_all(300, 77)


@pytest.mark.parametrize("form", ["text", "json"])
def test_each_event_is_one_printable_line(form: Form) -> None:
    out = io.StringIO()
    journal = Journal("debug", form, out)
    for name in NAMES:
        journal.warning("link down", link=name, reason=name)
    lines = out.getvalue().split("\n")
    assert len(lines) == len(NAMES) + 1 and lines[-1] == ""
    assert all(line.isprintable() for line in lines)
    if form == "json":
        assert [json.loads(line)["event"] for line in lines[:-1]] == ["link down"] * len(NAMES)
    else:
        assert all(' event="link down" link=' in line for line in lines[:-1])


def test_systemd_gets_one_line(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "n")})
        for name in NAMES:
            notifier.status(name)
            text = manager.recv(65_536).decode()
            assert text.startswith("STATUS=") and text.isprintable()


def _named(name: str) -> DaemonStatus:
    """A status in which everything that can have a name has this one."""
    known = status_like()
    return replace(
        known,
        reasons=(name,),
        contract_trouble=name,
        links=tuple(replace(each, name=name, reason=name) for each in known.links),
        nodes=tuple(replace(each, name=name) for each in known.nodes),
        streams=tuple(
            replace(each, input=name, name=name, node=name, channels=(name,), units=(name,))
            for each in known.streams
        ),
        sinks=tuple(replace(each, name=name, trouble=name) for each in known.sinks),
        model=replace(known.model, bundle=name, reload_trouble=name, outputs=(name,)),
        labels={name: name},
        rejected={name: 1},
    )


def test_a_scrape_is_whole_whatever_the_names_are() -> None:
    plain = len(list(text_string_to_metric_families(_scrape(_named("plain")))))
    for name in NAMES:
        text = _scrape(_named(name))
        assert len(list(text_string_to_metric_families(text))) == plain, name
        assert all(line.isprintable() for line in text.split("\n")), name


def _scrape(status: DaemonStatus) -> str:
    return Metrics(lambda: status, lambda: PiHealth({}, None)).text().decode()


def test_what_the_page_is_sent_is_json_of_one_line() -> None:
    class Shown:
        def __init__(self, status: DaemonStatus) -> None:
            self.shown = status

        def status(self) -> DaemonStatus:
            return self.shown

    for name in NAMES:
        status = _named(name)
        for value in (full_status(Shown(status), {}), health(status)[1]):  # type: ignore[arg-type]
            text = json.dumps(value)
            assert text.isascii() and "\n" not in text and json.loads(text)
