"""Asks TensorFlow Lite Micro, in a process of its own, whether an arena is large enough.

The wheel answers most arenas that are too small with an error, and some with a segmentation fault (measured: 95 of 350
sizes below what a small model needs). So the question is put to a child, and its death is an answer too.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from toolkit.errors import ModelFileError

#: Reads sizes, a line each, and says 1 or 0.
_CHILD = """
import sys
from tflite_micro import runtime
content = open(sys.argv[1], "rb").read()
for line in sys.stdin:
    try:
        runtime.Interpreter.from_bytes(content, arena_size=int(line))
        answer = "1"
    except (RuntimeError, ValueError):
        answer = "0"
    print(answer, flush=True)
"""


class ArenaProbe:
    """``with ArenaProbe(content) as probe: probe.enough(40_000)``; a child that died is started again when next asked."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> ArenaProbe:
        self._folder = tempfile.TemporaryDirectory(prefix="edgetool-arena-")
        self._model = Path(self._folder.name) / "model.tflite"
        self._model.write_bytes(self._content)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None:
            self._child.communicate()
        self._folder.cleanup()

    def enough(self, size: int) -> bool:
        """Whether TFLM plans the graph in ``size`` bytes. ModelFileError if the wheel cannot be asked at all."""
        child = self._child or self._start()
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(f"{size}\n")
            child.stdin.flush()
            answer = child.stdout.readline().strip()
        except BrokenPipeError:
            answer = ""
        if answer:
            return answer == "1"
        self._child = None
        child.communicate()
        if child.returncode >= 0:  # not killed by a signal: it never came to the question
            raise ModelFileError(
                f"the Python that asks TFLM for its arena ended with {child.returncode}; reinstall tflite-micro"
            )
        return False

    def _start(self) -> subprocess.Popen[str]:
        # -P: nothing of the folder that the user stands in is imported.
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD, str(self._model)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return self._child
