"""A Raspberry Pi's user land on this machine: Debian's Python for it and wheels for it under QEMU, 64 or 32 bits wide.

No second stage, chroot or binfmt: debootstrap only fetches Debian's own packages and checks their signatures, dpkg unpacks
the ones that Python needs, pip fetches wheels, and QEMU's user emulator looks under the folder for every file it opens.
Compilers are not emulated: a process there that starts one runs this machine's cross compiler.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from benchmarks.targets.pi_architectures import ARM64, Architecture
from toolkit.cache_folder import cache_folder
from toolkit.errors import MissingDependencyError

_RELEASE = "bookworm"
#: Debian's packages by program, for the message that one is missing.
_TOOLS = {"debootstrap": "debootstrap", "dpkg": "dpkg", "fakeroot": "fakeroot"}
#: Once it is made these are not asked for; fakeroot only where the user is not root, because debootstrap insists on it.
_FOR_MAKING = ("debootstrap", "dpkg", "fakeroot")
#: Beginnings of the names of the packages that Python and the wheels load.
_PACKAGES = (
    *("python3", "libpython3", "libc6_", "libgcc-s1_", "libstdc++6_", "zlib1g_", "libexpat1_", "libssl3_"),
    *("libbz2", "liblzma5_", "libsqlite3", "libuuid1_", "libreadline8_", "libncursesw6_", "libtinfo6_"),
    *("libffi8_", "libcrypt1_", "libnsl2_", "libtirpc3_", "libdb5.3_", "media-types_", "tzdata_"),
)
#: No wheel for ARM on PyPI: built here without a compiler, which leaves out its C speed-up, as on a Pi without one.
_PURE = ("cobs>=1.2.2",)


@dataclass(frozen=True)
class UserLand:
    """A user land that is made. ``folder`` holds ``root`` and a ``site-NAME`` for each set of packages."""

    folder: Path
    architecture: Architecture = ARM64

    def site(self, name: str) -> Path:
        """Where the packages of set ``name`` lie."""
        return self.folder / f"site-{name}"

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command that runs the Pi's Python with ``arguments``."""
        root = self.folder / "root"
        emulator = [self.architecture.emulator, "-cpu", self.architecture.processor, "-L", str(root)]
        return [*emulator, str(root / "usr/bin/python3.11"), *arguments]

    def environment(self, name: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Variables for it: of this machine's Python nothing is seen."""
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.folder / "home"),
            "PYTHONPATH": os.pathsep.join(map(str, (self.site(name), *self._debian_python()))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",
            "CC": self.architecture.compiler,
            "EDGETOOL_CACHE": str(self.folder / "compiled"),
            **(more or {}),
        }

    def _debian_python(self) -> list[Path]:
        """Where the system's own Python packages lie; Debian's Python looks below /usr, which is this machine's."""
        return [self.folder / "root/usr/lib/python3/dist-packages"] if self.architecture.packages else []


def default_folder() -> Path:
    """Where ``edgetool bench --on pi-emulated`` keeps it."""
    return cache_folder() / "pi"


def own_requirements() -> list[str]:
    """What the installed edgetool needs on every machine, by its own metadata."""
    found = importlib.metadata.requires("edgetool") or []
    return [requirement for requirement in found if "extra ==" not in requirement]


def why_not(folder: Path, architecture: Architecture = ARM64) -> str | None:
    """What is missing to make or run it here; None if nothing is."""
    if sys.version_info[:2] != (3, 11):
        return f"this is Python {platform.python_version()}, and Debian {_RELEASE}'s is 3.11"
    spared = set(_FOR_MAKING) if (folder / "made").is_file() else {"fakeroot"} if os.geteuid() == 0 else set()
    own = {architecture.emulator: "qemu-user-static", architecture.compiler: architecture.compiler_packages}
    tools = own | _TOOLS
    missing = [package for tool, package in tools.items() if tool not in spared and _which(tool) is None]
    return f"not installed: apt install {' '.join(missing)}" if missing else None


def make(
    folder: Path,
    name: str,
    requirements: Sequence[str],
    local: Sequence[Path] = (),
    architecture: Architecture = ARM64,
) -> UserLand:
    """The user land in ``folder`` with the package set ``name``, made or brought up to date; safe from several processes.

    ``requirements`` are pip's, resolved for the architecture (as they stand where it takes packages of Debian's).
    ``local`` wheels are unpacked over them whenever they change.
    MissingDependencyError if it cannot be made here, or with the last line of the tool that failed, say without network.
    """
    reason = why_not(folder, architecture)
    if reason is not None:
        raise MissingDependencyError(f"no {architecture.debian} user land on this machine: {reason}")
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if not (folder / "made").is_file():
            _make_root(folder, architecture)
        _make_site(folder, name, requirements, [wheel.name for wheel in local], architecture)
        for wheel in local:
            _replace(wheel, folder / f"site-{name}")
    return UserLand(folder, architecture)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _which(tool: str) -> str | None:
    return shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _call(command: Sequence[str | Path], **environment: str) -> None:
    program = _which(str(command[0])) or str(command[0])
    done = subprocess.run(
        [program, *(str(part) for part in command[1:])],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        last = said[-1].strip() if said else f"exit code {done.returncode}"
        raise MissingDependencyError(f"the user land cannot be made: {Path(program).name}: {last}")


def _make_root(folder: Path, architecture: Architecture) -> None:
    partial = folder / "root.partial"
    shutil.rmtree(partial, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder) as fetched:
        include = ",".join(("python3", *architecture.packages))
        options = [
            f"--arch={architecture.debian}",
            "--download-only",
            "--variant=minbase",
            f"--include={include}",
        ]
        as_root = [] if os.geteuid() == 0 else ["fakeroot"]
        _call([*as_root, _which("debootstrap") or "debootstrap", *options, _RELEASE, fetched])
        for package in sorted(Path(fetched, "var/cache/apt/archives").glob("*.deb")):
            if package.name.startswith((*_PACKAGES, *architecture.unpacked)):
                _call(["dpkg", "-x", package, partial])
    for choice in ("blas", "lapack"):
        # Debian's post-installation script would link the chosen one of several into the folder above.
        for library in partial.glob(f"usr/lib/*/{choice}/*.so*"):
            library.rename(library.parent.parent / library.name)
    (partial / "proc").mkdir()
    (partial / "proc/cpuinfo").write_text(architecture.cpuinfo)
    shutil.rmtree(folder / "root", ignore_errors=True)
    partial.rename(folder / "root")
    (folder / "made").touch()


def _make_site(
    folder: Path, name: str, requirements: Sequence[str], local: Sequence[str], architecture: Architecture
) -> None:
    """Fetch and unpack, if the requirements are others than last time."""
    key = _key(requirements)
    stamp, site = folder / f"site-{name}.key", folder / f"site-{name}"
    if stamp.is_file() and stamp.read_text() == key:
        return
    stamp.unlink(missing_ok=True)
    shutil.rmtree(site, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder) as fetched:
        _fetch(folder, Path(fetched), requirements, architecture)
        for wheel in sorted(Path(fetched).glob("*.whl")):
            if wheel.name not in local:
                _unpack(wheel, site)
    stamp.write_text(key)


def _key(requirements: Sequence[str]) -> str:
    """Of the requirements, and of what a wheel among them requires."""
    lines = list(requirements)
    for requirement in requirements:
        _, at, url = requirement.partition(" @ ")
        if at:
            with zipfile.ZipFile(unquote(urlsplit(url).path)) as archive:
                metadata = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
                text = archive.read(metadata).decode()
            lines += [line for line in text.splitlines() if line.startswith("Requires-Dist")]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _fetch(folder: Path, to: Path, requirements: Sequence[str], architecture: Architecture) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    pure = folder / "wheels-pure"
    if not any(pure.glob("*.whl")):
        options = ["--no-deps", "--no-cache-dir", "--no-binary", ":all:", "--wheel-dir", str(pure)]
        _call([*pip, "wheel", *options, *_PURE], CC="false")
    platforms = [option for tag in architecture.platforms for option in ("--platform", tag)]
    python = [
        "--python-version",
        "311",
        "--implementation",
        "cp",
        "--abi",
        "cp311",
        "--abi",
        "abi3",
        "--abi",
        "none",
    ]
    # What Debian brings in place of a wheel, pip does not see.
    alone = ["--no-deps"] if architecture.packages else []
    only = ["--only-binary", ":all:", "--find-links", str(pure), "--dest", str(to), *alone]
    _call([*pip, "download", *only, *python, *platforms, *requirements])


def _replace(wheel: Path, site: Path) -> None:
    """Unpack ``wheel`` in place of what is there; nothing if it is there, because another process may be running it."""
    with zipfile.ZipFile(wheel) as archive:
        entries = sorted((entry.filename, entry.CRC) for entry in archive.infolist())
    stamp, content = site / f"{wheel.name}.content", repr(entries)
    if stamp.is_file() and stamp.read_text() == content:
        return
    stamp.unlink(missing_ok=True)
    for top in {name.partition("/")[0] for name, _ in entries}:
        shutil.rmtree(site / top, ignore_errors=True)
    _unpack(wheel, site)
    stamp.write_text(content)


def _unpack(wheel: Path, site: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
