"""What both flows of edgetool share: records, data, filters, the model."""

from __future__ import annotations

import importlib


def _version() -> str:
    """The number that the build took from the last tag (pyproject.toml); in a tree that was never built, the fallback."""
    try:
        return str(importlib.import_module("toolkit._version").version)
    except ImportError:
        return "0.1.0"


__version__ = _version()
