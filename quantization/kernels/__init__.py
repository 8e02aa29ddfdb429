"""C99 kernels, a folder an op as in ``quantization/ops``; a bundle's C holds those it uses side by side in ``kernels/``.

A file's name is its own in the whole tree, so code and C name a kernel by it alone.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
#: What a compiler needs to build kernels from the tree itself.
INCLUDE_OPTIONS = tuple(f"-I{folder}" for folder in sorted(FOLDER.iterdir()) if folder.is_dir())


@cache
def kernel_paths() -> dict[str, Path]:
    """Every kernel source and header by file name."""
    paths = [path for path in sorted(FOLDER.rglob("et_*")) if path.is_file()]
    found = {path.name: path for path in paths}
    assert len(found) == len(paths), "two kernel files have one name"
    return found


def is_kernel(name: str) -> bool:
    return name in kernel_paths()


def kernel_text(name: str) -> str:
    """The text of the kernel file ``name``, such as ``et_lstm.c``."""
    return kernel_paths()[name].read_text()
