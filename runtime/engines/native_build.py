"""Compiles a bundle's generated C for the machine it runs on, once, into a cache folder.

A library's name is the hash of all that decides its bits: graphs and what a stream carries, emitter, kernels, options,
compiler, processor, the versions of numpy and Python.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

import quantization
import toolkit
from quantization.bundle import Bundle
from quantization.c_emitter.bundle_files import emission
from quantization.graph.graph_file import GraphFile
from quantization.kernels import kernel_paths, kernel_text
from toolkit.cache_folder import is_trusted, trusted_folder
from toolkit.errors import MissingDependencyError, ModelFileError, OutputError
from toolkit.files import write_bytes

#: Function -> (its portable kernel, the one for hosts that takes its name and calls the other for what it does not do).
HOST_KERNELS = {
    "et_lstm_step": ("kernels/et_lstm.c", "kernels/et_lstm_host.c"),
    "et_batch_matmul_mixed_s16": ("kernels/et_batch_matmul_mixed_s16.c", "kernels/et_batch_matmul_host.c"),
    "et_fully_connected_sum32_s16": (
        "kernels/et_fully_connected_sum32_s16.c",
        "kernels/et_fully_connected_host.c",
    ),
    "et_add_s16": ("kernels/et_add_s16.c", "kernels/et_add_host.c"),
    "et_multiply_s16": ("kernels/et_multiply_s16.c", "kernels/et_multiply_host.c"),
    "et_quantize_s8": ("kernels/et_convert.c", "kernels/et_convert_host.c"),
}
_HOST_HEADERS = ("kernels/et_host.h", "kernels/et_host_dot.h")
#: -ffp-contract=off: quantizing an input is one multiplication and one addition, two roundings, as in the reference.
OPTIONS = ("-std=c99", "-O3", "-fPIC", "-ffp-contract=off", "-fvisibility=default")
#: For this processor; the first that the compiler takes. The bits are the same with each.
_TUNINGS = (("-march=native",), ("-mcpu=native",), ())


def compiler() -> str:
    """Path of ``$CC`` or ``cc``; MissingDependencyError if there is none."""
    wanted = os.environ.get("CC", "cc")
    found = shutil.which(wanted)
    if found is None:
        raise MissingDependencyError(
            f"engine native needs a C compiler and {wanted!r} is not found: apt install gcc, or use engine litert"
        )
    return found


def sources(bundle: Bundle, graphs: list[GraphFile]) -> dict[str, bytes]:
    """The portable C of ``graphs``, the kernels for hosts beside it, and the glue for ctypes."""
    files = dict(emission(graphs, bundle.contract, parts=()).files)
    wanted = [host for portable, host in HOST_KERNELS.values() if portable in files]
    for file in (*wanted, *_HOST_HEADERS):
        files[file] = kernel_text(Path(file).name).encode()
    files["native_glue.c"] = Path(__file__).with_name("native_glue.c").read_bytes()
    return files


def library(bundle: Bundle, graphs: list[GraphFile]) -> Path:
    """The compiled model, from the cache or built now (seconds).

    Raises MissingDependencyError without a compiler, ModelFileError if it fails, OutputError if the cache cannot be
    written, UsageError if others can write it.
    """
    program = compiler()
    path = trusted_folder() / f"model-{_key(bundle, graphs, program)}.so"
    if not is_trusted(path):
        write_bytes(path, _compiled(sources(bundle, graphs), program))
    return path


def makers() -> list[Path]:
    """Every file that may decide the C: all code of the generator and of what it imports, the kernels, and what is here.

    An update of edgetool compiles a model again, which takes seconds; a library that an older emitter made would be wrong.
    """
    modules = [
        path for package in (quantization, toolkit) for path in Path(package.__path__[0]).rglob("*.py")
    ]
    return sorted(
        {*modules, *kernel_paths().values(), *(p for p in Path(__file__).parent.iterdir() if p.is_file())}
    )


def _key(bundle: Bundle, graphs: list[GraphFile], program: str) -> str:
    """Of what the C is made from and not of the C: a start of the daemon need not generate it again."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    parts = [platform.machine(), _processor(), said, str(OPTIONS), str(_TUNINGS), bundle.contract.hash]
    parts += [np.__version__, platform.python_version()]
    for graph in graphs:  # what a stream carries is in the manifest, not in its .tflite
        parts += [graph.graph, graph.scheme, str(None if graph.state is None else graph.state.to_json())]
    digest = hashlib.sha256("\n".join(parts).encode())
    contents = [graph.content for graph in graphs] + [path.read_bytes() for path in makers()]
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:32]


def _processor() -> str:
    """What the processor can do: a cache on a card that moves to another board must not be used there."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(
        sorted({x for x in lines if x.startswith(("flags", "Features", "CPU part", "model name"))})
    )


def _compiled(files: Mapping[str, bytes], program: str) -> bytes:
    try:
        with tempfile.TemporaryDirectory(prefix="edgetool-native-") as name:
            folder = Path(name)
            (folder / "kernels").mkdir()
            for file, content in files.items():
                (folder / file).write_bytes(content)
            return _link(folder, files, program)
    except OSError as error:
        raise OutputError(
            f"cannot compile the model in {tempfile.gettempdir()}: {error.strerror or error}"
        ) from None


def build_commands(names: Iterable[str], base: Sequence[str], last: Sequence[str]) -> list[list[str]]:
    """Compiler calls that make one program or library of source files ``names``: portable kernels that a host's takes the place
    of are compiled under another name, then all is linked with the options ``last``."""
    files = sorted(names)
    replaced = {name: pair[0] for name, pair in HOST_KERNELS.items() if pair[0] in files}
    commands = [
        [*base, f"-D{name}={name}_portable", "-c", file, "-o", f"{name}.o"] for name, file in replaced.items()
    ]
    rest = [name for name in files if name.endswith(".c") and name not in replaced.values()]
    return [*commands, [*base, "-I.", *rest, *(f"{name}.o" for name in replaced), *last]]


@contextmanager
def _ordinary() -> Iterator[None]:
    """The calling thread, and so what it starts, without real-time priority: a compiler may wait for whoever serves sensors."""
    policy = os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else None
    if policy is None or policy not in (os.SCHED_FIFO, os.SCHED_RR):
        yield
        return
    parameters = os.sched_getparam(0)
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setscheduler(0, policy, parameters)


def _link(folder: Path, names: Iterable[str], program: str) -> bytes:
    said = ""
    for tuning in _TUNINGS:
        for command in build_commands(names, [program, *OPTIONS, *tuning], ["-shared", "-o", "model.so"]):
            with _ordinary():
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            said = done.stderr
            if done.returncode:
                break
        else:
            return (folder / "model.so").read_bytes()
    reason = next((line for line in said.splitlines() if "error" in line), said.strip()[:200])
    raise ModelFileError(f"engine native: {program} cannot compile the model: {reason}; use engine litert")
