"""A daemon on simulated sensors, with the shipped model: everything but the hardware, for ``edgetool run --demo``."""

from __future__ import annotations

import hashlib
from pathlib import Path

from runtime.engines import DEFAULT_ENGINE, usual_scheme
from runtime.settings import ModelSettings, ServerSettings, Settings
from toolkit import __version__
from toolkit.cache_folder import is_trusted, trusted_folder
from toolkit.errors import EdgetoolError
from toolkit.progress import Progress

#: What calibrates the demo's model: synthetic gait, as what it was trained on.
_DATA = "synthetic:people=1"
#: The simulated node: a good link with the faults that a good link has.
SOURCE = "sim://synthetic?jitter_ms=2&drop=0.0005&drift_ppm=20"


def demo_bundle(folder: Path | None = None, progress: Progress | None = None) -> Path:
    """The shipped checkpoint as a bundle, converted once (it takes seconds; ``progress`` is told) and kept in the cache.

    Raises UsageError if another user could have put one there (``toolkit/cache_folder.py``).
    """
    from quantization.bundle import Bundle
    from quantization.convert import convert
    from toolkit.model import pretrained

    content = hashlib.sha256(pretrained().read_bytes() + __version__.encode()).hexdigest()
    path = (folder or trusted_folder()) / f"demo-{content[:16]}"
    if is_trusted(path, is_folder=True):
        try:
            Bundle.load(path)
        except EdgetoolError:
            pass  # damaged, or of an older form: made again
        else:
            return path
    convert("pretrained", _DATA, path, progress=progress)
    return path


def demo_settings(
    bundle: Path, engine: str = DEFAULT_ENGINE, port: int = 8765, sinks: tuple[str, ...] = ()
) -> Settings:
    """Simulator, model and dashboard on this machine alone."""
    return Settings(
        model=ModelSettings(bundle, engine, usual_scheme(engine)),
        sources=(SOURCE,),
        sinks=sinks,
        server=ServerSettings(port=port),
        labels={"data": "synthetic: simulated sensors, no hardware"},
    )
