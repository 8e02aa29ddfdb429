"""Firmware images of the shipped model, built once a run of the tests."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from c_harness import require, write
from test_c_models import emission, shipped

from firmware_bridge.firmware_build import BOARDS, Image, build


@lru_cache
def shipped_image(name: str) -> Image:
    """The image of board ``name``; its folder holds the C as ``c`` too. Skips without compiler or emulator."""
    require("arm-none-eabi-gcc", "qemu-system-arm", "make")
    board = BOARDS[name]
    folder = Path(tempfile.mkdtemp(prefix="edgetool-test-image-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    checkpoint, windows, _, _ = shipped()
    write(emission(checkpoint, board.target, windows), folder / "c")  # type: ignore[arg-type]
    return build(folder / "c", board, folder / "image.elf")
