"""JSON by the letter, files that are files, and one line for whatever a reader raises."""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import BundleError, ContractError, InputError
from toolkit.reading import (
    DEPTH,
    parse_json,
    parse_json_object,
    read_file,
    read_json_object,
    read_toml,
    reading,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**300), 10**300) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner),
)  # fmt: skip


@given(VALUES)
def test_what_json_holds_is_read_as_the_standard_library_reads_it(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert parse_json(text, "x", "JSON") == value == parse_json(text.encode(), "x", "JSON")


@pytest.mark.parametrize(
    "text, why",
    [
        ("NaN", "NaN is not a number in JSON"),
        ('{"a": -Infinity}', "-Infinity is not a number in JSON"),
        ("1e400", "the number 1e400... is not a finite float64"),
        ("1" + "0" * 399, "is beyond float64"),
        ("-1" + "0" * 5000, "of 5002 digits is beyond float64"),
        ("0." + "1" * 5000, "is not a finite float64"),
        ("[" * 100_000, f"nested more than {DEPTH} deep"),
        ('{"a":' * 2000 + "1" + "}" * 2000, f"nested more than {DEPTH} deep"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' is given twice"),
        ('["\\ud800"]', "surrogates not allowed"),
        ('{"\\udc00x": 1}', "surrogates not allowed"),
        ("", "Expecting value"),
        ("{'a': 1}", "Expecting property name"),
        ('"a\nb"', "Invalid control character"),
        ("1 2", "Extra data"),
        (b"\xff{}", "can't decode byte 0xff"),
        (b"\xed\xa0\x80", "can't decode byte 0xed"),
    ],
)
def test_what_two_readers_would_read_differently_is_refused_in_one_line(text: str | bytes, why: str) -> None:
    with pytest.raises(BundleError) as caught:
        parse_json(text, "bundle/manifest.json", "a manifest", BundleError)
    assert str(caught.value).startswith("bundle/manifest.json is not a manifest: ")
    assert why in str(caught.value) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_brackets_within_text_are_not_depth() -> None:
    text = json.dumps(["[" * 500 + '"' + "{" * 500 + "\\"])
    assert parse_json(text, "x", "JSON") == json.loads(text)
    nested: object = 1
    for _ in range(DEPTH):
        nested = [nested]
    assert parse_json(json.dumps(nested), "x", "JSON") == nested


@pytest.mark.parametrize(
    "text, kind", [("[]", "an array"), ('"x"', "text"), ("1", "a number"), ("null", "null")]
)
def test_an_object_is_asked_for(text: str, kind: str) -> None:
    with pytest.raises(InputError, match=f"x is not a recipe: it must be a JSON object and is {kind}$"):
        parse_json_object(text, "x", "a recipe")


@pytest.mark.parametrize(
    "fault",
    [
        KeyError("mean"), ValueError("bad\nworse"), RuntimeError("File is encrypted"), NotImplementedError("zip 9"),
        struct.error("unpack"), zipfile.BadZipFile("no"), zlib.error("-3"), RecursionError(), OverflowError("big"),
        IndexError(), TypeError("x"), AttributeError("y"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), EOFError(),
    ],
)  # fmt: skip
def test_whatever_a_reader_raises_is_one_line_that_names_the_file(fault: Exception) -> None:
    with pytest.raises(InputError, match=r"^data/x\.npz is not a recording: .+$") as caught:
        with reading("data/x.npz", "a recording"):
            raise fault
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "fault", [ContractError("ours"), MemoryError(), KeyboardInterrupt(), AssertionError("a bug")]
)
def test_our_own_errors_memory_and_bugs_pass(fault: BaseException) -> None:
    with pytest.raises(type(fault)) as caught:
        with reading("x", "a recording"):
            raise fault
    assert caught.value is fault


def test_a_pipe_a_device_a_folder_and_a_file_that_is_too_large_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(InputError, match="it is not a regular file"):
            read_file(path, "a recipe")
    (tmp_path / "x").write_bytes(b"12345")
    with pytest.raises(InputError, match="x has 5 bytes; a recipe has at most 4"):
        read_file(tmp_path / "x", "a recipe", limit=4)
    assert read_file(tmp_path / "x", "a recipe", limit=5) == b"12345"
    with pytest.raises(InputError, match=r"cannot read .*gone: no such file"):
        read_file(tmp_path / "gone", "a recipe")
    with pytest.raises(InputError, match="is not a recipe"):
        read_file(Path("a\0b"), "a recipe")


def test_documents_in_files(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text('{"a": [1.5]}')
    assert read_json_object(path, "a recipe") == {"a": [1.5]}
    path.write_text("a = 1\n[b]\nc = 'x'\n")
    assert read_toml(path, "a config") == ({"a": 1, "b": {"c": "x"}}, path.read_text())
    for text in ("a = ", "a = " + "[" * 50_000, "a = 1\na = 2"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"x is not a config: ") as caught:
            read_toml(path, "a config")
        assert "\n" not in str(caught.value)
