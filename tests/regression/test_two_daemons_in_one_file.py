"""Two daemons wrote one NDJSON file: lines stood between each other's, and sequence numbers jumped back and forth.

The file is locked for as long as it is open. A second daemon says so and does not start; one whose file was moved away and made
anew by another waits, and drops.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.sinks import open_sink
from runtime.sinks.json_lines import read_estimates
from tests.runtime.sinks.harness import OUTPUTS, estimate, run_sink, until
from toolkit.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
HOLD = (
    "import asyncio, sys; from runtime.sinks import open_sink; from tests.runtime.sinks.harness import OUTPUTS, estimate\n"
    "async def run():\n sink = open_sink(sys.argv[1], OUTPUTS); await sink.open(); sink.publish(estimate(7))\n"
    " print('open', flush=True); await asyncio.to_thread(sys.stdin.read); await sink.close()\n"
    "asyncio.run(run())"
)


def test_a_second_process_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "moments.ndjson"
    command = [sys.executable, "-c", HOLD, f"ndjson:{path}"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"open\n"
        for way in ("check", "open"):
            sink = open_sink(f"ndjson:{path}", OUTPUTS)
            with pytest.raises(UsageError, match=r"another process writes .*; choose a file"):
                sink.check_free() if way == "check" else run_sink(sink, lambda _: None)
        other.communicate(timeout=20)
    run_sink(open_sink(f"ndjson:{path}", OUTPUTS), lambda s: s.publish(estimate(8)))
    assert [each.sequence for each in read_estimates(path)] == [7, 8]


def test_two_sinks_of_one_daemon_are_told_so(tmp_path: Path) -> None:
    """Under two names of the same file, which the config cannot tell."""
    (tmp_path / "x").mkdir()
    one = open_sink(f"ndjson:{tmp_path}/m.ndjson", OUTPUTS)
    two = open_sink(f"ndjson:{tmp_path}/x/../m.ndjson", OUTPUTS)

    async def given() -> None:
        with pytest.raises(UsageError, match="another process writes"):
            await two.open()

    run_sink(one, lambda _: given())


def test_a_file_that_another_has_made_anew_is_waited_for(tmp_path: Path) -> None:
    path, old = tmp_path / "m.ndjson", tmp_path / "m.1"
    mine = open_sink(f"ndjson:{path}?flush_s=0", OUTPUTS, retry_s=0.0)
    theirs = open_sink(f"ndjson:{path}?flush_s=0", OUTPUTS)

    async def given() -> None:
        mine.publish(estimate(0))
        await until(lambda: mine.published == 1)
        path.rename(old)
        await theirs.open()
        mine.publish(estimate(1))
        await until(lambda: mine.trouble is not None and "another process writes" in mine.trouble)
        await theirs.close()
        await until(lambda: mine.published == 2)

    run_sink(mine, lambda _: asyncio.wait_for(given(), 30))
    assert [each.sequence for each in read_estimates(path)] == [1]
