"""One step of the build that pyproject.toml cannot say: the wheel's bill of materials (edgetool/sbom.cdx.json)."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SBOM = "edgetool/sbom.cdx.json"


def _sbom_module() -> ModuleType:
    """``toolkit.sbom`` by its file: the build's environment has none of our packages."""
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "toolkit" / "sbom.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BuildWithSbom(build_py):
    """Writes the bill of materials beside the modules; an editable installation has none."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        sbom = _sbom_module()
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        constraints = ROOT / "constraints.txt"
        tested = sbom.pinned(constraints.read_text(encoding="utf-8")) if constraints.exists() else {}
        path = Path(self.build_lib) / SBOM
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sbom.wheel_sbom(self.distribution.get_version(), project["dependencies"], tested))


setup(cmdclass={"build_py": BuildWithSbom})
