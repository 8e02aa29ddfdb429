"""Bills of materials (CycloneDX 1.6, JSON): what a bundle holds and what made it, what a wheel needs.

They hold no time, no serial number and no path, so that the same content gives the same bytes. Nothing but the standard library
is needed: the wheel's is made while it is built. The format: https://cyclonedx.org/docs/1.6/json/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

SPEC = "1.6"
LICENSE = "Apache-2.0"
#: Suffixes of files that are models; every other file is a file.
_MODELS = (".tflite", ".safetensors")
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def bundle_sbom(hashes: Mapping[str, str], edgetool: str, tools: Mapping[str, str]) -> bytes:
    """Of a bundle: its files by name with their SHA-256; edgetool and the packages ``tools``, by version, that made it."""
    files = [
        {
            "type": "machine-learning-model" if name.endswith(_MODELS) else "file",
            "bom-ref": f"file:{name}",
            "name": name,
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }
        for name, digest in sorted(hashes.items())
    ]
    made_by = [_edgetool(edgetool), *(_package(name, version) for name, version in sorted(tools.items()))]
    return _document(
        {"type": "machine-learning-model", "bom-ref": "bundle", "name": "edgetool bundle"}, files, made_by
    )


def wheel_sbom(version: str, requirements: Sequence[str], tested: Mapping[str, str]) -> bytes:
    """Of a wheel of edgetool ``version``: the packages of ``requirements`` (PEP 508), with the versions that were ``tested``.

    A wheel holds none of them: pip installs what fits the requirement, which is a property of each component.
    """
    components = []
    for requirement in sorted(requirements, key=str.lower):
        found = _NAME.match(requirement)
        assert found is not None, requirement
        package = _package(found[1], tested.get(_normal(found[1])))
        package["properties"] = [{"name": "edgetool:requirement", "value": requirement}]
        components.append(package)
    return _document(_edgetool(version), components, [])


def pinned(constraints: str) -> dict[str, str]:
    """Versions by normal name of a file of lines ``NAME==VERSION``."""
    pairs = (line.split("==") for line in constraints.split() if "==" in line)
    return {_normal(name): version for name, version in pairs}


def _edgetool(version: str) -> dict[str, Any]:
    return {
        "type": "application",
        "bom-ref": "edgetool",
        "name": "edgetool",
        "version": version,
        "licenses": [{"license": {"id": LICENSE}}],
        "purl": f"pkg:pypi/edgetool@{version}",
    }


def _package(name: str, version: str | None) -> dict[str, Any]:
    purl = f"pkg:pypi/{_normal(name)}"
    if version is None:
        return {"type": "library", "bom-ref": purl, "name": name, "purl": purl}
    full = f"{purl}@{version}"
    return {"type": "library", "bom-ref": full, "name": name, "version": version, "purl": full}


def _normal(name: str) -> str:
    """A package's name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _document(
    subject: dict[str, Any], components: list[dict[str, Any]], made_by: list[dict[str, Any]]
) -> bytes:
    metadata: dict[str, Any] = {"component": subject}
    if made_by:
        metadata["tools"] = {"components": made_by}
    refs = [component["bom-ref"] for component in components]
    value = {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "version": 1,
        "metadata": metadata,
        "components": components,
        "dependencies": [{"ref": subject["bom-ref"], "dependsOn": refs}],
    }
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
