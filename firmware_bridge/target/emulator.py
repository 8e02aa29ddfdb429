"""Runs a firmware image on an emulated board: QEMU, instructions counted, the UART on a pseudo-terminal.

One instruction is 1 ns of virtual time (``-icount shift=0``), so counts repeat; nothing about real time can be told from it.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from firmware_bridge.target.build import Image
from toolkit.errors import LinkError, MissingDependencyError
from toolkit.reading import parse_json_object

PROGRAM = "qemu-system-arm"
#: Longest time that QEMU may take to answer on its control socket, s.
_CONTROL_S = 20.0


def require_emulator() -> str:
    """QEMU's version; MissingDependencyError says what to install."""
    if shutil.which(PROGRAM) is None:
        raise MissingDependencyError(
            f"{PROGRAM} is needed to emulate a board: apt install qemu-system-arm, or your system's equivalent"
        )
    done = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0].replace("QEMU emulator version", "QEMU").split("(")[0].strip()


class Emulator:
    """A context: the board runs inside it. :attr:`url` is what pyserial opens.

    LinkError if QEMU does not come up. Nothing is left behind, whatever happens inside, even if this process is killed.
    """

    def __init__(self, image: Image) -> None:
        self.image = image
        self.version = require_emulator()
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="edgetool-qemu-")
        try:
            self._start(Path(self._folder.name) / "control")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._control is not None:
            self._control.close()
        self.kill()
        if self._folder is not None:
            self._folder.cleanup()

    def reset(self) -> None:
        """Press the board's reset button."""
        self._ask("system_reset")

    def stop(self) -> None:
        """Freeze the core: a board that hangs."""
        self._ask("stop")

    def resume(self) -> None:
        """End :meth:`stop`."""
        self._ask("cont")

    def kill(self) -> None:
        """End QEMU: a board that is unplugged."""
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.communicate()
            self._watcher = None
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self, control: Path) -> None:
        self._process = subprocess.Popen(
            [PROGRAM, *self._options(control)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._watcher = _end_with_this_process(self._process.pid)
        self._control = self._connect(control)
        self._answer()
        self._ask("qmp_capabilities")
        for device in self._ask("query-chardev"):
            if device["label"] == "uart":
                self.url = str(device["filename"]).removeprefix("pty:")
        if not self.url:
            raise LinkError(f"{self.version} opened no pseudo-terminal for the UART")

    def _options(self, control: Path) -> list[str]:
        machine = ["-M", self.image.board.machine, "-kernel", str(self.image.elf), "-icount", "shift=0"]
        uart = ["-chardev", "pty,id=uart", "-serial", "chardev:uart"]
        rest = ["-display", "none", "-monitor", "none", "-qmp", f"unix:{control},server=on,wait=off"]
        return machine + uart + rest

    def _connect(self, control: Path) -> socket.socket:
        assert self._process is not None
        until = time.monotonic() + _CONTROL_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise self._ended()
            link = socket.socket(socket.AF_UNIX)
            link.settimeout(_CONTROL_S)
            try:
                link.connect(str(control))
            except OSError:
                link.close()
                time.sleep(0.01)
                continue
            return link
        raise LinkError(f"{PROGRAM} did not come up within {_CONTROL_S:.0f} s")

    def _ask(self, command: str) -> Any:
        """One command of the QEMU machine protocol; its ``return``."""
        if self._control is None or self._process is None:
            raise LinkError("the emulated board is not running")
        self._control.sendall(json.dumps({"execute": command}).encode() + b"\n")
        while True:
            answer = self._answer()
            if "error" in answer:
                raise LinkError(f"{PROGRAM} refused {command}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]

    def _answer(self) -> dict[str, Any]:
        assert self._control is not None
        line = bytearray()
        while not line.endswith(b"\n"):
            try:
                part = self._control.recv(1)
            except TimeoutError:
                raise LinkError(f"{PROGRAM} does not answer within {_CONTROL_S:.0f} s") from None
            except OSError:
                raise self._ended() from None
            if not part:
                raise self._ended()
            line += part
        return parse_json_object(bytes(line), PROGRAM, "a machine that answers in JSON", LinkError)

    def _ended(self) -> LinkError:
        """Why QEMU has ended, in its own words. It has closed its control socket, so it is gone or about to be."""
        assert self._process is not None and self._process.stderr is not None
        self._process.wait()
        said = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        last = said[-1] if said else "no message"
        return LinkError(f"{PROGRAM} -M {self.image.board.machine} has ended: {last}")


def _end_with_this_process(pid: int) -> subprocess.Popen[bytes]:
    """A shell that kills process ``pid`` when this one is gone, however it went: then the pipe between them closes."""
    return subprocess.Popen(["sh", "-c", f"read line; kill -9 {pid}"], stdin=subprocess.PIPE)
