"""Builds the firmware image of a board around the C of a bundle (docs/FIRMWARE.md).

The build is a function of the C, the firmware's sources and the compiler: the same inputs give the same bytes, wherever it
runs. Nothing here knows what a model is; the folder ``c/`` of a bundle is taken as files.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from firmware_bridge.protocol.codec_c import FOLDER as CODEC
from firmware_bridge.protocol.table import MAX_MESSAGE_BYTES, REQUEST_HEADER_BYTES
from firmware_bridge.target.boards import Board
from toolkit import __version__
from toolkit.errors import InputError, MissingDependencyError
from toolkit.files import write_bytes

_HERE = Path(__file__).parent
#: Of the firmware's own sources; the generated library is built by its own Makefile.
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
OPTIMISATION = "-O2"


@dataclass(frozen=True)
class Image:
    """A built image and its measured sizes in bytes.

    ``flash_bytes``, ``ram_bytes``: of the whole image, RAM without stack. ``library_flash_bytes``, ``library_ram_bytes``:
    of the generated library with the model alone, as linked (its state is the caller's, and not in here).
    """

    elf: Path
    board: Board
    flash_bytes: int
    ram_bytes: int
    library_flash_bytes: int
    library_ram_bytes: int
    state_bytes: int
    model_hash: str
    contract_hash: str
    compiler: str
    flags: tuple[str, ...]


def require_compiler() -> str:
    """The boards' compiler and its version; MissingDependencyError says what to install."""
    return _compiler("arm-none-eabi-gcc")


def build(c_folder: Path, board: Board, out: Path, *, probe: bool = False) -> Image:
    """Build the image of ``board`` around the C in ``c_folder`` into the file ``out`` (an ELF).

    ``probe``: a debugging image that keeps every tensor of the last inference for the request ``tensor``; larger and slower.

    InputError if the folder holds no generated C, or C for another core; MissingDependencyError without a compiler.
    """
    facts = header_facts(c_folder)
    if facts["TARGET"] != board.core:
        raise InputError(
            f"{c_folder} holds C for {facts['TARGET']} and board {board.name} is a {board.core}: "
            f"run edgetool convert with --core {board.core}"
        )
    _require_messages(facts)
    compiler = require_compiler()
    with _sources(c_folder) as folder:
        options = (OPTIMISATION, *(("-DEDGETOOL_PROBE",) if probe else ()))
        _run(["make", "-s", "-C", "model", "libedgetool_model.a", f"CFLAGS={' '.join(options)}"], folder)
        flags = _link(folder, board, (*board.flags, *_firmware_flags(compiler), *options[1:]))
        text, data, bss = _sizes(folder)
        library_flash, library_ram = _library_sizes((folder / "image.map").read_text())
        write_bytes(out, (folder / "image.elf").read_bytes())
    return Image(
        elf=out,
        board=board,
        flash_bytes=text + data,
        ram_bytes=data + bss,
        library_flash_bytes=library_flash,
        library_ram_bytes=library_ram,
        state_bytes=int(facts["STATE_BYTES"]),
        model_hash=facts["MODEL_HASH"],
        contract_hash=facts["CONTRACT_HASH"],
        compiler=compiler,
        flags=flags,
    )


def _require_messages(facts: Mapping[str, str]) -> None:
    """InputError if a window of the model's integers is larger than a message may be."""
    values = int(facts["WINDOW"]) * int(facts["PER_ROW"])
    size = REQUEST_HEADER_BYTES + values * int(facts["VALUE_SIZE"])
    if size > MAX_MESSAGE_BYTES:
        raise InputError(
            f"a window of this model is a message of {size:,} bytes and the firmware's link takes {MAX_MESSAGE_BYTES:,}: "
            "use a shorter window or fewer channels"
        )


def build_process(c_folder: Path, out: Path, *, sanitize: bool = False) -> Path:
    """The firmware as a process of this machine whose link is standard input and output; ``c_folder`` is for target c99."""
    facts = header_facts(c_folder)
    if facts["TARGET"] != "c99":
        raise InputError(f"{c_folder} holds C for {facts['TARGET']}; run edgetool convert with --core c99")
    compiler = _compiler("cc")
    checks = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all") if sanitize else ()
    with _sources(c_folder) as folder:
        cflags = " ".join((OPTIMISATION, *checks))
        _run(["make", "-s", "-C", "model", "libedgetool_model.a", f"CFLAGS={cflags}"], folder)
        _run(
            [
                "cc",
                *_firmware_flags(compiler),
                *checks,
                *_firmware_sources(),
                "firmware/ports/posix.c",
                *_LIBRARY,
                "-o",
                "image",
            ],
            folder,
        )
        write_bytes(out, (folder / "image").read_bytes())
    out.chmod(0o755)
    return out


def header_facts(c_folder: Path) -> dict[str, str]:
    """The constants of ``edgetool_model.h`` by name without EDGETOOL_; InputError if it is not there or not whole."""
    header = c_folder / "edgetool_model.h"
    try:
        text = header.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(
            f"{header} cannot be read; give the folder c/ of a bundle made with edgetool convert --core CORE"
        ) from None
    facts = dict(re.findall(r'^#define EDGETOOL_(\w+) "?([^"\n]*?)"?$', text, re.MULTILINE))
    missing = [name for name in _FACTS if name not in facts]
    if missing:
        raise InputError(f"{header}: EDGETOOL_{missing[0]} is missing; convert the bundle again")
    odd = [name for name in _NUMBERS if not re.fullmatch("[0-9]{1,9}", facts[name])]
    if odd:
        raise InputError(
            f"{header}: EDGETOOL_{odd[0]} is {facts[odd[0]]!r}, which is not a number; convert the bundle again"
        )
    return facts


#: Constants of the header that building an image needs.
_FACTS = (
    "TARGET",
    "MODEL_HASH",
    "CONTRACT_HASH",
    "STATE_BYTES",
    "WINDOW",
    "PER_ROW",
    "VALUE_SIZE",
)
#: Those of them that are numbers.
_NUMBERS = _FACTS[3:]
_OF_FILTERS = ("(edgetool_filters.o)", "(et_filter.o)")
_LIBRARY = ("model/edgetool_self_test.c", "model/libedgetool_model.a")


def _firmware_sources() -> list[str]:
    return [f"firmware/{name}" for name in ("main.c", "target_node.c")] + [
        f"codec/{name}" for name in ("edgetool_frame.c", "edgetool_packets.c")
    ]


def _firmware_flags(compiler: str) -> list[str]:
    build = f"{compiler.removeprefix('arm-none-eabi-')} {OPTIMISATION}, edgetool {__version__}"[:63]
    return [
        "-std=c99",
        *WARNINGS,
        OPTIMISATION,
        "-ffp-contract=off",
        "-ffunction-sections",
        "-fdata-sections",
        "-Ifirmware",
        "-Icodec",
        "-Imodel",
        f'-DFIRMWARE_BUILD="{build}"',
    ]


def _link(folder: Path, board: Board, flags: tuple[str, ...]) -> tuple[str, ...]:
    _run(
        [
            "arm-none-eabi-gcc",
            *flags,
            "-nostartfiles",
            "--specs=nano.specs",
            *_firmware_sources(),
            "firmware/ports/cortex_m.c",
            f"firmware/ports/{board.port}.c",
            *_LIBRARY,
            "-T",
            "firmware/ports/cortex_m.ld",
            "-Wl,--gc-sections,-Map=image.map",
            f"-Wl,--defsym=CODE_ORIGIN={board.code_origin},--defsym=CODE_SIZE={board.code_bytes}",
            f"-Wl,--defsym=RAM_ORIGIN={board.ram_origin},--defsym=RAM_SIZE={board.ram_bytes}",
            "-o",
            "image.elf",
        ],
        folder,
    )
    return flags


@contextmanager
def _sources(c_folder: Path) -> Iterator[Path]:
    """A folder with model/, firmware/ and codec/, so that no path of this machine gets into the image."""
    with tempfile.TemporaryDirectory(prefix="edgetool-firmware-") as name:
        folder = Path(name)
        shutil.copytree(c_folder, folder / "model", ignore=shutil.ignore_patterns("*.o", "*.a", "self_test"))
        shutil.copytree(_HERE / "firmware", folder / "firmware")
        shutil.copytree(CODEC, folder / "codec", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        yield folder


def _compiler(program: str) -> str:
    """``program`` and its version; MissingDependencyError says what to install."""
    if shutil.which(program) is None or shutil.which("make") is None:
        packages = (
            "gcc-arm-none-eabi libnewlib-arm-none-eabi make" if program.startswith("arm") else "gcc make"
        )
        raise MissingDependencyError(
            f"{program} and make are needed to build a target: apt install {packages}, or your system's equivalents"
        )
    for option in ("-dumpfullversion", "-dumpversion"):  # clang knows only the second
        done = subprocess.run([program, option], capture_output=True, text=True)
        if done.returncode == 0:
            return f"{program} {done.stdout.strip()}"
    raise MissingDependencyError(f"{program} does not say its version: is it GCC or clang?")


def _run(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        if large := re.search(r"region `(\w+)' overflowed by (\d+) bytes", done.stderr):
            raise InputError(
                f"the target image needs {int(large[2]):,} bytes more {large[1].lower()} memory than the board has: "
                "use a smaller model, --prefer size, or a board with more"
            )
        first = next((line for line in lines if "error:" in line), lines[-1] if lines else "no message")
        raise InputError(f"building the target image failed in {command[0]}: {first}")
    return done.stdout


def _sizes(folder: Path) -> tuple[int, int, int]:
    """text, data and bss of image.elf, bytes."""
    rows = _run(["arm-none-eabi-size", "image.elf"], folder).splitlines()[1].split()
    return int(rows[0]), int(rows[1]), int(rows[2])


def _library_sizes(link_map: str) -> tuple[int, int]:
    """Flash and static RAM of the generated model, from GNU ld's map of what it kept.

    The contract's filters are not in them: they are the self-test's here, since windows come filtered over the link.
    """
    flash = ram = 0
    kept = link_map.partition("Linker script and memory map")[2]
    # A long section name stands on a line of its own, before address, size and file.
    for section, size, file in re.findall(r"^ (\.[\w.]+)\s+0x\w+\s+0x(\w+)\s+(\S+)$", kept, re.MULTILINE):
        if "libedgetool_model.a" not in file or file.endswith(_OF_FILTERS):
            continue
        if section.startswith((".text", ".rodata", ".data")):
            flash += int(size, 16)
        if section.startswith((".bss", ".data")):
            ram += int(size, 16)
    return flash, ram
