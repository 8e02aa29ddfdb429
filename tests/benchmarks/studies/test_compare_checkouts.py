"""Two bundles are equal if only names that were replaced differ, and what follows from them; every other byte counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.studies.compare_checkouts import (
    RENAMED,
    Checkout,
    Comparison,
    bundle_differences,
    figure_differences,
    figures,
)
from quantization.kernels import kernel_text
from toolkit.errors import InputError

OLD = {
    "models/window.int8.tflite": b"\x00graph",
    "golden.npz": b"vectors",
    "c/Makefile": b"OBJECTS = edgetool_model.o kernels/et_dense_s16.o kernels/et_lstm.o\n",
    "c/kernels/et_dense_s16.c": b"/* et_dense_s16,\n * which adds. */\nint et_dense_s16(void) { return 1; }\n",
    "c/edgetool_model.c": b'#include "kernels/et_dense.h"\n#include "kernels/et_elementwise.h"\nint y;\n',
}
NEW = {
    "models/window.int8.tflite": b"\x00graph",
    "golden.npz": b"vectors",
    "c/Makefile": b"OBJECTS = edgetool_model.o kernels/et_lstm.o kernels/et_fully_connected_sum32_s16.o\n",
    "c/kernels/et_fully_connected_sum32_s16.c": b"/* et_fully_connected_sum32_s16, which\n * adds. */\n"
    b"int et_fully_connected_sum32_s16(void) { return 1; }\n",
    "c/edgetool_model.c": b'#include "kernels/et_elementwise.h"\n#include "kernels/et_fully_connected_sum32.h"\nint y;\n',
}


def bundle(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in {**files, "manifest.json": str(folder).encode()}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_names_that_were_replaced_are_no_difference(tmp_path: Path) -> None:
    assert not list(bundle_differences(bundle(tmp_path / "a", OLD), bundle(tmp_path / "b", NEW)))


@pytest.mark.parametrize("name", NEW)
def test_every_other_byte_is_one(name: str, tmp_path: Path) -> None:
    changed = {**NEW, name: NEW[name] + b"1"}
    found = list(bundle_differences(bundle(tmp_path / "a", OLD), bundle(tmp_path / "b", changed)))
    assert found == [f"{name} differs"]
    assert not Comparison([("pretrained", found)]).equal
    added = {**NEW, "sbom.cdx.json": b"{}", "notes.txt": b""}
    found = list(bundle_differences(bundle(tmp_path / "e", OLD), bundle(tmp_path / "f", added)))
    assert found == ["notes.txt is only after"]
    missing = {key: content for key, content in NEW.items() if key != name}
    found = list(bundle_differences(bundle(tmp_path / "c", OLD), bundle(tmp_path / "d", missing)))
    assert found == [f"{name} is only before"]


def test_the_new_names_are_those_of_the_tree() -> None:
    """A name of the table that no kernel has would hide a difference."""
    from quantization.kernels import kernel_paths

    text = "\n".join(kernel_text(name) for name in kernel_paths() if name.endswith((".c", ".h", ".S")))
    stems = {Path(name).stem for name in kernel_paths()}
    assert [new for new in RENAMED.values() if new not in text and new not in stems] == []
    assert len(set(RENAMED.values())) == len(RENAMED)


def test_figures_must_be_equal_and_times_need_not() -> None:
    def report(rmse: float, p50: float, size: int) -> dict[str, object]:
        run = {"engine": "native", "scheme": "int8", "graph": "window", "accuracy": {"rmse": rmse}}
        return {"runs": [{**run, "latency": {"p50_us": p50}, "size": {"model_bytes": size}}]}

    first = figures(report(0.07, 80.0, 164_000))
    assert first["native int8 window accuracy rmse"] == 0.07
    assert not list(figure_differences(first, figures(report(0.07, 90.0, 159_632))))
    found = list(figure_differences(first, figures(report(0.0700001, 80.0, 164_000))))
    assert found == ["native int8 window accuracy rmse: 0.07 before, 0.0700001 after"]
    assert len(list(figure_differences(first, {}))) == len(first)


def test_a_command_that_fails_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project.scripts]\nedgetool = "broken:main"\n')
    (tmp_path / "broken.py").write_text("def main():\n    raise SystemExit('no such option')\n")
    with pytest.raises(InputError, match="edgetool convert failed: no such option"):
        Checkout(tmp_path).run("convert")
