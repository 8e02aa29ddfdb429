"""What happens to a service under a systemd that has booted; ``test_booted.py`` runs this inside of a container.

``python story.py RESULT.json``: each step writes what it found; the test judges it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

EDGETOOL = "/opt/edgetool/bin/edgetool"
CONFIG = Path("/etc/edgetool/run.toml")
FOUND: dict[str, Any] = {}


def run(*command: str) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return {"rc": done.returncode, "out": done.stdout, "err": done.stderr}


def show(name: str) -> str:
    out: str = run("systemctl", "show", "edgetool.service", f"--property={name}", "--value")["out"]
    return out.strip()


def until(condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            return None
        time.sleep(0.2)
    return found


def well() -> dict[str, Any] | None:
    try:
        with urllib.request.urlopen("http://127.0.0.1:8765/healthz", timeout=5) as answer:
            value: dict[str, Any] = json.load(answer)
            return value
    except (OSError, urllib.error.URLError, ValueError):
        return None


def journal() -> str:
    out: str = run("journalctl", "-u", "edgetool.service", "-o", "cat", "--no-pager")["out"]
    return out


def restarted(before: str) -> bool:
    return show("ActiveState") == "active" and show("MainPID") not in (before, "0")


def main(result: Path) -> None:
    try:
        steps()
    finally:
        FOUND["journal"] = journal()[-20_000:]
        result.write_text(json.dumps(FOUND))


def steps() -> None:
    FOUND["install"] = run(
        EDGETOOL, "service", "install", str(CONFIG), "--program", EDGETOOL, "--watchdog", "5"
    )
    FOUND["active"] = show("ActiveState")
    FOUND["well"] = until(well)
    pid = show("MainPID")
    FOUND["user"] = run("ps", "-o", "user=", "-p", pid)["out"].strip()
    FOUND["status"] = run(EDGETOOL, "service", "status")
    FOUND["reload"] = run("systemctl", "reload", "edgetool.service")
    FOUND["reloaded"] = bool(until(lambda: "event=reloaded" in journal()))
    FOUND["same_process_after_reload"] = show("MainPID") == pid
    os.kill(int(pid), signal.SIGKILL)
    FOUND["after_kill"] = bool(until(lambda: restarted(pid))) and bool(until(well))
    FOUND["restarts_after_kill"] = show("NRestarts")
    pid = show("MainPID")
    os.kill(int(pid), signal.SIGSTOP)  # it hangs: nobody feeds the watchdog
    FOUND["after_hang"] = bool(until(lambda: restarted(pid))) and bool(until(well))
    FOUND["restarts_after_hang"] = show("NRestarts")
    FOUND["other"] = run(EDGETOOL, "service", "install", "/etc/edgetool/other.toml", "--program", EDGETOOL)
    good = CONFIG.read_text()
    CONFIG.write_text(good.replace("urls", "url"))
    FOUND["restart_wrong"] = run("systemctl", "restart", "edgetool.service")
    until(lambda: show("ActiveState") == "failed", 60.0)
    before = show("NRestarts")
    time.sleep(8.0)  # four times RestartSec
    FOUND["wrong"] = {name: show(name) for name in ("ActiveState", "Result", "ExecMainStatus")}
    FOUND["wrong_restarts"] = [before, show("NRestarts")]
    FOUND["status_wrong"] = run(EDGETOOL, "service", "status")
    CONFIG.write_text(good)
    FOUND["mended"] = run("systemctl", "restart", "edgetool.service")["rc"] == 0 and bool(until(well))
    FOUND["stop"] = run("systemctl", "stop", "edgetool.service")
    FOUND["stopped"] = "event=stopped" in journal()
    FOUND["recordings"] = sorted(path.name for path in Path("/var/lib/edgetool/recordings").glob("*.etl"))
    FOUND["uninstall"] = run(EDGETOOL, "service", "uninstall")
    FOUND["unit_gone"] = not Path("/etc/systemd/system/edgetool.service").exists()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
