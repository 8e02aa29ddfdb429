"""Firmware images of the shipped model, built once a run of the tests."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from firmware_bridge.target.boards import BOARDS
from firmware_bridge.target.build import Image, build
from tests.quantization.c_emitter.harness import write
from tests.quantization.c_emitter.test_models import emission, shipped
from tests.tools import require


@lru_cache
def shipped_image(name: str) -> Image:
    """The image of board ``name``; its folder holds the C as ``c`` too. Skips without compiler or emulator."""
    require("arm-none-eabi-gcc", "qemu-system-arm", "make")
    board = BOARDS[name]
    folder = Path(tempfile.mkdtemp(prefix="edgetool-test-image-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    checkpoint, windows, _, _ = shipped()
    write(emission(checkpoint, board.core, windows), folder / "c")
    return build(folder / "c", board, folder / "image.elf")
