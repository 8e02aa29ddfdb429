"""Sends a bench to a Python elsewhere through its standard input and takes the result from its standard output.

One ZIP goes there: edgetool's own source, the bundle, the rows. So a bench runs this machine's edgetool, whichever is
installed there; what must be installed there is numpy and the engines' packages.
"""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import EdgetoolError, LinkError

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("toolkit", "quantization", "firmware_bridge", "runtime", "benchmarks")
_KINDS = (".py", ".c", ".h", ".S", ".json", ".toml", ".ld", ".mk")
_MARK = b"edgetool-result\n"
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
    bundle: Path,
    inputs: Mapping[str, NDArray[Any]],
    timed: bool,
    environment: Mapping[str, str] | None = None,
) -> dict[str, NDArray[Any]]:
    """:func:`benchmarks.targets.pi_worker.run` by ``command``, which is a Python that gets :data:`BOOTSTRAP` with ``-c``.

    LinkError with the last line that it said if it ends without a result.
    """
    job = _packed(bundle, inputs, timed)
    try:
        done = subprocess.run(
            command, input=job, capture_output=True, env=environment, timeout=TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        raise LinkError(f"{name}: {command[0]} is not installed on this machine") from None
    except subprocess.TimeoutExpired:
        raise LinkError(f"{name}: no result within {TIMEOUT_S} s; use fewer windows (--windows)") from None
    # What a login shell there prints comes before the mark.
    _, mark, body = done.stdout.partition(_MARK)
    if done.returncode or not mark:
        said = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        raise LinkError(f"{name}: {_explained(said[-1] if said else 'it said nothing', done.returncode)}")
    with np.load(io.BytesIO(body)) as stored:
        return {key: stored[key] for key in stored.files}


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
    from quantization.bundle import Bundle

    place = Path(folder)
    with np.load(place / "inputs.npz") as stored:
        inputs = {key: stored[key] for key in stored.files}
    options = json.loads((place / "options.json").read_text())
    buffer = io.BytesIO()
    # The keys hold slashes, which is what NPZ takes as names.
    np.savez_compressed(buffer, **run(Bundle.load(place / "bundle"), inputs, options["timed"]))  # type: ignore[arg-type]
    return _MARK + buffer.getvalue()


def _packed(bundle: Path, inputs: Mapping[str, NDArray[Any]], timed: bool) -> bytes:
    rows = io.BytesIO()
    np.savez(rows, **inputs)  # type: ignore[arg-type]
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in _PACKAGES:
            for file in sorted((_ROOT / package).rglob("*")):
                if file.suffix in _KINDS and file.is_file():
                    archive.write(file, Path("source") / file.relative_to(_ROOT))
        for file in sorted(bundle.rglob("*")):
            if file.is_file():
                archive.write(file, Path("bundle") / file.relative_to(bundle))
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


def about(results: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The JSON of a result."""
    found: dict[str, Any] = json.loads(str(results["about"]))
    return found


def require_result(name: str, found: Mapping[str, Any]) -> None:
    """EdgetoolError if not a single engine could be opened there."""
    if not found["versions"]:
        reasons = "; ".join(f"{key}: {reason}" for key, reason in found["refused"].items())
        raise EdgetoolError(f"{name}: no engine runs there: {reasons}")
