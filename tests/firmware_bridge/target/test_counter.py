"""What a Cortex-M image says that it counts, that its counts hold when the counter turns, and that no emulator is left."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_bridge.protocol.table import CounterKind
from firmware_bridge.target import build as firmware_build
from firmware_bridge.target.boards import BOARDS
from firmware_bridge.target.emulator import Emulator
from firmware_bridge.target.link import TargetLink, open_port
from tests.firmware_bridge.target.images import shipped_image
from tests.quantization.c_emitter.harness import run
from toolkit.errors import LinkError, MissingDependencyError

BOARD = "mps2-an386"


class Slowed(Emulator):
    """One instruction takes 2^shift ns of virtual time, so that SysTick does not count instructions."""

    shift = 0

    def _options(self, control: Path) -> list[str]:
        return [f"shift={self.shift}" if o == "shift=0" else o for o in super()._options(control)]


@pytest.mark.parametrize(
    ("shift", "kind", "step"),
    [
        # 1 ns an instruction and 40 ns a tick: SysTick counts in 40 instructions.
        (0, CounterKind.INSTRUCTIONS, 40.0),
        # 8 ns an instruction: five instructions a tick, more than a core can do and not what the emulator counts.
        (3, CounterKind.NONE, 0.0),
        # 64 ns an instruction: 1.6 ticks each, as on silicon whose core has no cycle counter: there SysTick counts cycles.
        (6, CounterKind.CYCLES, 1.0),
    ],
)
def test_the_image_measures_what_its_counter_counts(shift: int, kind: CounterKind, step: float) -> None:
    emulator = Slowed(shipped_image(BOARD))
    emulator.shift = shift
    with emulator, TargetLink(open_port(emulator.url), BOARD) as link:
        identity = link.identify()
        assert (identity.counter, identity.counter_step) == (kind, step)


@pytest.mark.parametrize("name", [BOARD, "stm32f405"])
def test_the_count_goes_on_when_systick_turns(name: str, tmp_path: Path) -> None:
    image = shipped_image(name)
    board = BOARDS[name]
    firmware = Path(firmware_build.__file__).parent / "firmware"
    layout = {
        "CODE_ORIGIN": board.code_origin,
        "CODE_SIZE": board.code_bytes,
        "RAM_ORIGIN": board.ram_origin,
        "RAM_SIZE": board.ram_bytes,
    }
    run(
        [
            "arm-none-eabi-gcc",
            *board.flags,
            "-std=c99",
            *firmware_build.WARNINGS,
            "-O2",
            "-nostartfiles",
            "--specs=nano.specs",
            f"-I{firmware}",
            f"-I{firmware / 'ports'}",
            f"-I{firmware.parents[1] / 'protocol/codec_c'}",
            Path(__file__).parent / "firmware_systick.c",
            firmware / "ports/cortex_m.c",
            firmware / f"ports/{board.port}.c",
            "-T",
            firmware / "ports/cortex_m.ld",
            *(f"-Wl,--defsym={symbol}={value}" for symbol, value in layout.items()),
            "-o",
            tmp_path / "systick.elf",
        ]
    )
    with Emulator(replace(image, elf=tmp_path / "systick.elf")) as emulator:
        port = open_port(emulator.url)
        port.write(b"?")
        said = b""
        until = time.monotonic() + 20
        while len(said) < 8 and time.monotonic() < until:
            said += port.read(8)
        port.close()
    longest, whole = struct.unpack("<II", said)
    # A reading and its bookkeeping are under 100 instructions, with SysTick's interrupt under 200: 34 ticks at 168 MHz. A count
    # that takes 0 for the end of a turn is wrong by 2^24 there.
    assert longest <= 200 * board.clock_hz // 10**9 + 1
    assert 600 <= whole <= 600 + longest


def alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="NOT TESTED: no /proc on this system")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_emulator_ends_with_the_process_that_started_it(number: signal.Signals, tmp_path: Path) -> None:
    elf = shipped_image(BOARD).elf
    script = tmp_path / "hold.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from types import SimpleNamespace\n"
        "from firmware_bridge.target.emulator import Emulator\n"
        "from firmware_bridge.target.boards import BOARDS\n"
        f"image = SimpleNamespace(elf=Path(sys.argv[1]), board=BOARDS[{BOARD!r}])\n"
        "with Emulator(image) as emulator:\n"
        "    print(emulator._process.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = dict(os.environ, TMPDIR=str(tmp_path))
    holder = subprocess.Popen([sys.executable, script, elf], stdout=subprocess.PIPE, env=environment)
    assert holder.stdout is not None
    emulator = int(holder.stdout.readline())
    assert alive(emulator)
    holder.send_signal(number)
    holder.communicate()
    until = time.monotonic() + 20
    while alive(emulator) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(emulator)


def test_the_emulator_and_its_watcher_end_with_the_context() -> None:
    with Emulator(shipped_image(BOARD)) as emulator:
        assert emulator._process is not None and emulator._watcher is not None
        processes = [emulator._process.pid, emulator._watcher.pid]
    assert not any(Path(f"/proc/{pid}").exists() for pid in processes)


def test_what_cannot_be_emulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = shipped_image(BOARD)
    with pytest.raises(LinkError, match=r"mps2-an386 has ended: .*nowhere\.elf"):
        Emulator(replace(image, elf=tmp_path / "nowhere.elf")).__enter__()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match="apt install qemu-system-arm"):
        Emulator(image)
