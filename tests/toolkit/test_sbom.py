"""Bills of materials: valid by the official schema, which cyclonedx-python-lib holds, and true to what they describe."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from quantization.bundle import SBOM, Bundle, new_bundle, write_bundle
from tests.runtime.engines.models import MODELS, make_bundle
from toolkit import __version__
from toolkit.sbom import bundle_sbom, pinned, wheel_sbom

ROOT = Path(__file__).resolve().parents[2]


def valid(content: bytes) -> dict[str, Any]:
    """The document, which the strict schema allows: no field that it does not name."""
    from cyclonedx.schema import SchemaVersion  # takes seconds, most of them the validator's own grammar
    from cyclonedx.validation.json import JsonStrictValidator

    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(content.decode())
    assert problem is None, problem
    document: dict[str, Any] = json.loads(content)
    return document


def test_the_validator_refuses_what_is_no_bill_of_materials() -> None:
    good = bundle_sbom({"a.tflite": "0" * 64}, "1.0", {})
    valid(good)
    for wrong in (
        good.replace(b'"machine-learning-model"', b'"model"'),
        good.replace(b'"0000', b'"zzzz'),
        good.replace(b'"bomFormat"', b'"format"'),
    ):
        assert wrong != good
        with pytest.raises(AssertionError):
            valid(wrong)


def test_a_bundles_holds_every_file_and_what_made_it(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle", MODELS["small"])
    bundle = Bundle.load(tmp_path / "bundle")
    document = valid(bundle.files[SBOM])
    found = {each["name"]: each["hashes"][0]["content"] for each in document["components"]}
    assert found == {
        name: hashlib.sha256(content).hexdigest() for name, content in bundle.files.items() if name != SBOM
    }
    kinds = {each["name"]: each["type"] for each in document["components"]}
    assert kinds["models/window.int8.tflite"] == kinds["checkpoint.safetensors"] == "machine-learning-model"
    assert kinds["golden.npz"] == "file"
    with new_bundle(tmp_path / "other") as folder:
        tools = {"numpy": "2.4.6", "tf_keras": "2.21.0"}
        about = {"data": {"source": "synthetic"}, "tools": tools}
        write_bundle(folder, bundle.checkpoint, bundle.graphs, bundle.golden, about=about)
    document = valid(Bundle.load(tmp_path / "other").files[SBOM])
    makers = {each["name"]: each["purl"] for each in document["metadata"]["tools"]["components"]}
    assert makers == {
        "edgetool": f"pkg:pypi/edgetool@{__version__}",
        "numpy": "pkg:pypi/numpy@2.4.6",
        "tf_keras": "pkg:pypi/tf-keras@2.21.0",
    }


def test_a_wheels_names_each_dependency_with_what_is_allowed_and_what_was_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tested = pinned((ROOT / "constraints.txt").read_text())
    document = valid(wheel_sbom("1.2.3", project["dependencies"], tested))
    assert document["metadata"]["component"]["version"] == "1.2.3"
    components = {each["name"]: each for each in document["components"]}
    assert len(components) == len(project["dependencies"])
    for name, component in components.items():
        (stated,) = (each["value"] for each in component["properties"])
        assert stated in project["dependencies"] and stated.startswith(name)
        assert component["version"] == tested[name.lower().replace("_", "-")], name


def test_hostile_names_stay_json() -> None:
    document = valid(bundle_sbom({'a"\\\n\x1b\u202e.tflite': "0" * 64}, "1.0", {}))
    assert document["components"][0]["name"] == 'a"\\\n\x1b\u202e.tflite'
