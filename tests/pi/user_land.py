"""A Raspberry Pi's user land on this machine: Debian's arm64 Python under QEMU, with edgetool's wheel and its dependencies.

``python -m tests.pi.user_land`` makes it in ``build/pi`` (about a minute and 500 MB the first time, seconds later).
No second stage, chroot or binfmt: debootstrap only fetches Debian's own packages and checks their signatures, dpkg unpacks
the ones that Python needs, pip fetches arm64 wheels, and qemu-aarch64 looks under the folder for every file it opens.
Compilers are not emulated: a process there that starts one runs this machine's cross compiler.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
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

ROOT = Path(__file__).parents[2]
DEFAULT = ROOT / "build" / "pi"
CROSS_COMPILER = "aarch64-linux-gnu-gcc"
_RELEASE = "bookworm"
#: Beginnings of the names of the packages that Python and the wheels load.
_PACKAGES = (
    *("python3", "libpython3", "libc6_", "libgcc-s1_", "libstdc++6_", "zlib1g_", "libexpat1_", "libssl3_", "libffi8_"),
    *("libbz2", "liblzma5_", "libsqlite3", "libuuid1_", "libreadline8_", "libncursesw6_", "libtinfo6_", "libcrypt1_"),
    *("libnsl2_", "libtirpc3_", "libdb5.3_", "media-types_", "tzdata_"),
)
#: LiteRT asks /proc/cpuinfo for the processor and crashes on what it does not know: a Raspberry Pi 4's.
_CPUINFO = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

Model\t\t: Raspberry Pi 4 Model B Rev 1.4
"""
#: What a package set adds to edgetool[pi]. tflite-runtime 2.14 needs numpy 1.
SETS = {"default": (), "tflite-runtime": ("tflite-runtime==2.14.0", "numpy<2")}
#: Not a dependency: what the contract suite needs.
_SUITE = ("pytest",)
#: No arm64 wheel on PyPI: built here without a compiler, which leaves out its C speed-up, as on a Pi without one.
_PURE = ("cobs",)


def why_not() -> str | None:
    """What is missing to make or run it here; None if nothing is."""
    tools = ("qemu-aarch64-static", CROSS_COMPILER, "dpkg")
    missing = [name for name in tools if shutil.which(name) is None]
    if not (DEFAULT / "made").is_file():
        if shutil.which("debootstrap", path=_search_path()) is None:
            missing.append("debootstrap")
        elif os.geteuid() != 0:
            return "debootstrap runs as root only; make it once by: sudo .venv/bin/python -m tests.pi.user_land"
    if sys.version_info[:2] != (3, 11):
        return f"this is Python {platform.python_version()} and Debian {_RELEASE}'s is 3.11"
    return f"{', '.join(missing)} not installed" if missing else None


def _search_path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


@dataclass(frozen=True)
class UserLand:
    """A user land that is made. ``folder`` holds ``root`` and a ``site-NAME`` for each package set."""

    folder: Path

    def site(self, name: str) -> Path:
        """Where the packages of set ``name`` lie."""
        return self.folder / f"site-{name}"

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command that runs the Pi's Python with ``arguments``."""
        root = self.folder / "root"
        emulator = ["qemu-aarch64-static", "-cpu", "cortex-a72", "-L", str(root)]
        return [*emulator, str(root / "usr/bin/python3.11"), *arguments]

    def environment(self, packages: str = "default", more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Variables for it: nothing of this machine's Python is seen."""
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.folder / "home"),
            "PYTHONPATH": str(self.site(packages)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",
            "CC": CROSS_COMPILER,
            "EDGETOOL_CACHE": str(self.folder / "cache"),
            **(more or {}),
        }

    def run(
        self, arguments: Sequence[str], packages: str = "default", **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the Pi's Python to its end."""
        return subprocess.run(
            self.command(arguments),
            env=self.environment(packages, more),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def installed_bytes(self, packages: str = "default") -> dict[str, int]:
        """Size of each top-level package of a set, tests' own left out."""
        sizes: dict[str, int] = {}
        site = self.site(packages)
        for file in site.rglob("*"):
            if file.is_file():
                top = file.relative_to(site).parts[0]
                sizes[top] = sizes.get(top, 0) + file.stat().st_size
        return sizes


def make(folder: Path = DEFAULT) -> UserLand:
    """The user land in ``folder``, made or brought up to date with the working tree. Safe from several processes.

    Raises subprocess.CalledProcessError with the output of the tool that failed, for example without network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if not (folder / "made").is_file():
            _make_root(folder)
        wheel = build_wheel(folder / "wheel")
        for name, extra in SETS.items():
            _make_site(folder, name, wheel, extra)
    return UserLand(folder)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _call(command: Sequence[str | Path], **environment: str) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, "PATH": _search_path(), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
        done.check_returncode()


def _make_root(folder: Path) -> None:
    partial = folder / "root.partial"
    shutil.rmtree(partial, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder) as fetched:
        options = ["--arch=arm64", "--download-only", "--variant=minbase", "--include=python3"]
        _call(["debootstrap", *options, _RELEASE, fetched])
        for package in sorted(Path(fetched, "var/cache/apt/archives").glob("*.deb")):
            if package.name.startswith(_PACKAGES):
                _call(["dpkg", "-x", package, partial])
    (partial / "proc").mkdir()
    (partial / "proc/cpuinfo").write_text(_CPUINFO)
    shutil.rmtree(folder / "root", ignore_errors=True)
    partial.rename(folder / "root")
    (folder / "made").touch()


def build_wheel(folder: Path) -> Path:
    """edgetool's wheel from the files of the working tree, built in a copy so that nothing is left beside them."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for package in ("toolkit", "quantization", "firmware_bridge", "benchmarks"):
            shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "*.partial"))
        for file in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / file, copy / file)
        shutil.rmtree(folder, ignore_errors=True)
        _call([sys.executable, "-m", "build", "--wheel", "--outdir", folder, copy])
    (wheel,) = folder.glob("edgetool-*.whl")
    return wheel


def _make_site(folder: Path, name: str, wheel: Path, extra: Sequence[str]) -> None:
    """The wheel's dependencies as its own metadata says, fetched when that changes; the wheel itself always."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        wanted = [line for line in archive.read(metadata).decode().splitlines() if line.startswith("Requires-Dist")]
    key = hashlib.sha256("\n".join([*wanted, *extra]).encode()).hexdigest()
    fetched, stamp = folder / f"wheels-{name}", folder / f"wheels-{name}.key"
    site = folder / f"site-{name}"
    if not stamp.is_file() or stamp.read_text() != key:
        stamp.unlink(missing_ok=True)
        shutil.rmtree(fetched, ignore_errors=True)
        _fetch(folder, fetched, [f"edgetool[pi] @ {wheel.as_uri()}", *extra])
        _fetch(folder, folder / "wheels-suite", list(_SUITE))
        shutil.rmtree(site, ignore_errors=True)
        _unpack([file for file in fetched.glob("*.whl") if not file.name.startswith("edgetool-")], site)
        _unpack(list((folder / "wheels-suite").glob("*.whl")), folder / "site-suite")
        stamp.write_text(key)
    for old in (*site.glob("edgetool-*"), *(site / p for p in ("toolkit", "quantization", "firmware_bridge", "benchmarks"))):
        shutil.rmtree(old, ignore_errors=True)
    _unpack([wheel], site)


def _fetch(folder: Path, to: Path, requirements: Sequence[str]) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    pure = folder / "wheels-pure"
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    if not pure.is_dir():
        options = ["--no-deps", "--no-cache-dir", "--no-binary", ":all:", "--wheel-dir", str(pure)]
        _call([*pip, "wheel", *options, *constraints, *_PURE], CC="false")
    tags = [f"manylinux_2_{minor}_aarch64" for minor in range(17, 37)] + ["manylinux2014_aarch64"]
    platforms = [option for tag in tags for option in ("--platform", tag)]
    python = ["--python-version", "311", "--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none"]
    only = ["--only-binary", ":all:", "--find-links", str(pure), "--dest", str(to)]
    _call([*pip, "download", *only, *python, *platforms, *requirements])


def _unpack(wheels: Sequence[Path], site: Path) -> None:
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)


if __name__ == "__main__":
    reason = why_not()
    if reason:
        sys.exit(f"no Raspberry Pi user land here: {reason}")
    land = make()
    for name in SETS:
        print(f"{name}: {sum(land.installed_bytes(name).values()) / 1e6:.1f} MB installed in {land.site(name)}")
