"""The C99 codec for nodes, and the generator of its constants."""

from __future__ import annotations

from pathlib import Path

#: Where the C sources stand: give it to a compiler with -I.
FOLDER = Path(__file__).parent
