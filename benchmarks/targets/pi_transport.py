"""Sends a bench to a Python elsewhere through its standard input and takes the result from its standard output.

One ZIP goes there: edgetool's own source, the files that the bundle's manifest lists, the rows. So a bench runs this machine's
edgetool, whichever is installed there; what must be installed there is numpy and the engines' packages. What comes back is
taken for hostile: no more of it is read than was asked for.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import threading
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.targets.pi_answer import Answer, Expected, read_answer
from quantization.bundle import MANIFEST, Bundle
from toolkit.errors import LinkError

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("toolkit", "quantization", "firmware_bridge", "runtime", "benchmarks")
_KINDS = (".py", ".c", ".h", ".S", ".json", ".toml", ".ld", ".mk")
_MARK = b"edgetool-result\n"
#: What a login shell may print before the result, and the end of standard error that is kept, bytes.
_NOISE_BYTES = 1 << 16
#: Characters of its last line that an error repeats.
_LINE = 300
#: A window of the slowest engine takes 20 ms on a Pi 3 and 60 ms under emulation.
TIMEOUT_S = 3600

#: Runs there, with nothing but Python. Whatever libraries print goes to stderr, so that stdout is the result alone.
BOOTSTRAP = """
import io, os, sys, tempfile, zipfile
out = os.dup(1)
os.dup2(2, 1)
with tempfile.TemporaryDirectory(prefix="edgetool-bench-") as folder:
    zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read())).extractall(folder)
    sys.path.insert(0, os.path.join(folder, "source"))
    from benchmarks.targets.pi_transport import far_side
    result = far_side(folder)
with os.fdopen(out, "wb") as file:
    file.write(result)
"""


def bench_there(
    command: Sequence[str],
    name: str,
    bundle: Bundle,
    inputs: Mapping[str, NDArray[Any]],
    expected: Expected,
    environment: Mapping[str, str] | None = None,
) -> Answer:
    """:func:`benchmarks.targets.pi_worker.run` by ``command``, which is a Python that gets :data:`BOOTSTRAP` with ``-c``.

    LinkError with the last line that it said if it ends without a result, or with one that is not what was ``expected``.
    """
    job = _packed(bundle, inputs, expected.timed)
    # A ZIP of what cannot be compressed is a little larger than its content.
    limit = expected.most_bytes + expected.most_bytes // 10 + _NOISE_BYTES
    out, said, code = _talk(name, command, job, environment, limit)
    # What a login shell there prints comes before the mark.
    _, mark, body = out.partition(_MARK)
    if code or not mark:
        lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
        raise LinkError(f"{name}: {_explained(lines[-1][:_LINE] if lines else 'it said nothing', code)}")
    return read_answer(name, body, expected)


def _talk(
    name: str, command: Sequence[str], job: bytes, environment: Mapping[str, str] | None, limit: int
) -> tuple[bytes, bytes, int]:
    """Standard output, at most ``limit`` bytes of it, the end of standard error, and the exit code of ``command``."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
    except FileNotFoundError:
        raise LinkError(f"{name}: {command[0]} is not installed on this machine") from None
    assert process.stdin and process.stdout and process.stderr
    said, late = bytearray(), threading.Event()

    def out_of_time() -> None:
        late.set()
        process.kill()

    clock = threading.Timer(TIMEOUT_S, out_of_time)
    helpers = [
        threading.Thread(target=_feed, args=(process.stdin, job), daemon=True),
        threading.Thread(target=_keep_end, args=(process.stderr, said), daemon=True),
        clock,
    ]
    for helper in helpers:
        helper.start()
    try:
        out = process.stdout.read(limit + 1)
        if len(out) > limit:
            raise LinkError(
                f"{name}: it sends more than the {limit:,} bytes that were asked for; is it an edgetool?"
            )
        code = process.wait()
    finally:
        process.kill()
        process.wait()
        clock.cancel()
        for helper in helpers:
            helper.join()
        process.stdout.close()
    if late.is_set():
        raise LinkError(f"{name}: no result within {TIMEOUT_S} s; use fewer windows (--windows)")
    return out, bytes(said), code


def _feed(pipe: IO[bytes], job: bytes) -> None:
    """Write all of ``job`` and close; one that ends before it has read all says why on its standard error."""
    with suppress(OSError), pipe:
        pipe.write(job)


def _keep_end(pipe: IO[bytes], said: bytearray) -> None:
    """Read until the end, and keep the last bytes in ``said``."""
    with pipe:
        while part := os.read(pipe.fileno(), _NOISE_BYTES):
            said.extend(part)
            del said[:-_NOISE_BYTES]


def remote_shell(python: str | None) -> str:
    """The command line for a login shell there; without ``python`` a usual virtual environment, else python3."""
    code = shlex.quote(BOOTSTRAP)
    if python is not None:
        return f"{shlex.quote(python)} -c {code}"
    usual = '"$HOME/edgetool/bin/python" /opt/edgetool/bin/python'
    return f'p=python3; for q in {usual}; do [ -x "$q" ] && p="$q"; done; "$p" -c {code}'


def far_side(folder: str) -> bytes:
    """What :data:`BOOTSTRAP` calls there."""
    from benchmarks.targets.pi_worker import run

    place = Path(folder)
    with np.load(place / "inputs.npz") as stored:
        inputs = {key: stored[key] for key in stored.files}
    options = json.loads((place / "options.json").read_text())
    buffer = io.BytesIO()
    # The keys hold slashes, which is what NPZ takes as names.
    np.savez_compressed(buffer, **run(Bundle.load(place / "bundle"), inputs, options["timed"]))  # type: ignore[arg-type]
    return _MARK + buffer.getvalue()


def _packed(bundle: Bundle, inputs: Mapping[str, NDArray[Any]], timed: bool) -> bytes:
    rows = io.BytesIO()
    np.savez(rows, **inputs)  # type: ignore[arg-type]
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in _PACKAGES:
            for file in sorted((_ROOT / package).rglob("*")):
                if file.suffix in _KINDS and file.is_file() and not file.is_symlink():
                    archive.write(file, Path("source") / file.relative_to(_ROOT))
        # As they were when their hashes were verified: the folder, whatever else lies in it, is not read again.
        for name, content in {MANIFEST: bundle.manifest_content, **bundle.files}.items():
            archive.writestr(f"bundle/{name}", content)
        archive.writestr("inputs.npz", rows.getvalue())
        archive.writestr("options.json", json.dumps({"timed": timed}))
    return whole.getvalue()


def _explained(said: str, code: int) -> str:
    """The last line of what failed, and what to do about the usual causes."""
    hints = {
        "Permission denied": "put your key there: ssh-copy-id",
        "Host key verification failed": "connect once by hand with ssh and accept its key",
        "Could not resolve hostname": "is the name right?",
        "Connection refused": "is ssh enabled there? sudo raspi-config, Interface Options, SSH",
        "timed out": "is it on, and in this network?",
        "No module named": "install edgetool there: make wheel, copy dist/edgetool-*.whl, "
        "then python3 -m venv ~/edgetool && ~/edgetool/bin/pip install 'FILE.whl[pi]'",
        "not found": "name its Python with ?python=PATH",
        "No such file": "name its Python with ?python=PATH",
    }
    hint = next((text for sign, text in hints.items() if sign in said), None)
    return f"{said} (exit code {code})" + (f"; {hint}" if hint else "")
