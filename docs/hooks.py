"""The site's hooks: pages that lie outside docs/ are part of it, and links to them work in the repository and on the site."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
#: Place in the site -> file of the repository; one that is absent is left out, and a link to it is then a warning.
ELSEWHERE = {
    "index.md": "README.md",
    "PROTOCOL.md": "firmware_bridge/PROTOCOL.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "examples/run.toml": "examples/run.toml",
    "examples/opensim_walk36.toml": "examples/opensim_walk36.toml",
    "examples/quickstart.ipynb": "examples/quickstart.ipynb",
}
_LINK = re.compile(r"(\]\()([^)#\s:]+)(#[^)\s]*)?(\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and files from elsewhere."""
    for place, name in ELSEWHERE.items():
        if (ROOT / name).is_file():
            files.append(File.generated(config, place, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Links as they are in the repository become links of the site."""
    source = ELSEWHERE.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def moved(match: re.Match[str]) -> str:
        before, target, anchor, after = match.groups()
        name = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        places = {file: place for place, file in ELSEWHERE.items()}
        place = places.get(name, name.removeprefix("docs/") if name.startswith("docs/") else None)
        if place is None:
            return match[0]  # a file that is not on the site: mkdocs says so
        here = posixpath.dirname(page.file.src_uri) or "."
        return f"{before}{posixpath.relpath(place, here)}{anchor or ''}{after}"

    return _LINK.sub(moved, markdown)
