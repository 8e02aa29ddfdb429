"""UDP to a port that nobody listens at counted every second estimate as published and said "trouble over".

A refusal (ICMP) is reported at the next send, which then does not send; the one after goes out and was taken for a success,
so the sink was in and out of trouble fifty times a second. Now the refusal is asked for, and what is sent while nobody is
known to listen is counted as dropped.
"""

from __future__ import annotations

import asyncio
import socket

from runtime.sinks import open_sink
from runtime.sinks.udp import _Doubt
from tests.runtime.sinks.harness import OUTPUTS, estimate, run_sink


def test_nothing_is_published_to_a_closed_port_and_the_trouble_stays() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    sink = open_sink(f"udp://127.0.0.1:{port}", OUTPUTS)
    seen: list[str | None] = []

    async def given() -> None:
        for i in range(200):
            sink.publish(estimate(i))
            seen.append(sink.trouble)
            await asyncio.sleep(0)

    run_sink(sink, lambda _: given())
    assert (sink.published, sink.dropped) == (0, 200)
    assert {str(words) for words in seen} == {
        "nobody is listening at this address; estimates are sent all the same"
    }


def test_who_comes_back_is_believed_at_once_the_first_time() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        sink = open_sink(f"udp://127.0.0.1:{port}", OUTPUTS)

        async def given() -> None:
            nonlocal listener
            sink.publish(estimate(0))
            listener.close()
            sink.publish(estimate(1))
            assert sink.dropped == 1 and sink.trouble is not None
            listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            listener.bind(("127.0.0.1", port))
            sink.publish(estimate(2))
            assert sink.published == 2 and sink.trouble is None
            listener.close()

        run_sink(sink, lambda _: given())


def test_refusals_that_come_late_and_seldom_are_not_taken_for_successes() -> None:
    """Over a network a refusal comes two estimates later, and Linux sends one a second (icmp_ratelimit)."""
    doubt, wrongly = _Doubt(), 0
    for tick in range(100 * 60):  # a minute at 100 Hz
        now_s = tick * 0.01
        wrongly += not doubt.about(tick % 100 == 2, now_s)
    assert wrongly < 700  # in the first seconds, until it knows how seldom they come
    late = [doubt.about(tick % 100 == 2, tick * 0.01) for tick in range(6000, 12_000)]
    assert all(late)
    # Five seconds without a refusal: somebody listens.
    assert not doubt.about(False, 126.0)
