"""``edgetool inspect`` of a bundle ended in a traceback where the manifest did not say all that ours do, and printed it raw.

The manifest is not under its own hash: who changes it changes what is shown. It may steer no terminal and forge no line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edgetool.cli import edgetool
from quantization.bundle import MANIFEST
from tests.runtime.engines.models import MODELS, make_bundle

HOSTILE = "x\x1b[2J\nBundle y: every file matches its hash in the manifest\u202e"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scheme": HOSTILE, "converter": {"name": HOSTILE}},
        {"data": {"source": HOSTILE, "kinds": [HOSTILE, 5, None], "calibration_windows": HOSTILE}},
        {"data": {"source": "synthetic", "kinds": HOSTILE, "calibration_windows": [HOSTILE]}},
        {"scheme": [HOSTILE], "converter": [HOSTILE], "tools": HOSTILE},
    ],
    ids=str,
)
def test_what_a_manifest_says_is_shown_as_text(tmp_path: Path, changes: dict[str, Any]) -> None:
    make_bundle(tmp_path / "bundle", MODELS["small"])
    manifest = json.loads((tmp_path / "bundle" / MANIFEST).read_text())
    (tmp_path / "bundle" / MANIFEST).write_text(json.dumps({**manifest, **changes}))
    shown = CliRunner().invoke(edgetool, ["inspect", str(tmp_path / "bundle")])
    assert shown.exit_code == 0, shown.exception
    assert "\x1b" not in shown.output and "\u202e" not in shown.output
    assert sum(line.startswith("Bundle ") for line in shown.output.splitlines()) == 1
