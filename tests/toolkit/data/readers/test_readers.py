"""Tables from OpenSim, CSV and NPZ files: header traps, and every way in which a file can be bad."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from toolkit.data import load, readers
from toolkit.data.readers import npz as archive
from toolkit.errors import RecordingError

PLAIN = "walk\nversion=1\nnRows=3\nnColumns=3\ninDegrees=yes\nendheader\ntime\ta\tb\n0\t1\t2\n0.01\t3\t4\n0.02\t5\t6\n"

HEADERS = {
    "plain": PLAIN,
    "no title, few keys, blank lines": "\nnRows=3\n\nendheader\n\nTime  a   b\n0 1 2\n0.01 3 4\n0.02 5 6\n\n",
    "free text and padding": (
        "T\nAngles are in degrees.\n inDegrees = yes \n  EndHeader  \n"
        "  time\t  a\t b \t\n 0\t 1\t 2\t\n 0.01 3 4\n0.02 5 6"
    ),
    "carriage returns and a byte order mark": "\ufeff" + PLAIN.replace("\n", "\r\n"),
    "columns in another order": "endheader\nb time a\n2 0 1\n4 0.01 3\n6 0.02 5\n",
}


@pytest.mark.parametrize("text", HEADERS.values(), ids=HEADERS.keys())
def test_opensim_columns_are_found_by_name_whatever_the_header(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.sto"
    path.write_bytes(text.encode())
    read = readers.read(path)
    times = read.time_axis("time", 100.0)
    np.testing.assert_array_equal(times, [0.0, 0.01, 0.02])
    np.testing.assert_array_equal(read.columns(["b", "a"], times), [[2, 1], [4, 3], [6, 5]])


@pytest.mark.parametrize(
    ("header", "expected"), [("inDegrees=yes", True), ("inDegrees=no", False), ("", None)]
)
def test_opensim_unit_of_angles_is_kept(tmp_path: Path, header: str, expected: bool | None) -> None:
    path = tmp_path / "x.mot"
    path.write_text(f"{header}\nendheader\ntime a\n0 1\n")
    assert readers.read(path).in_degrees is expected


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text("\n".join(delimiter.join(row) for row in (["time", '"a"', " b "], ["0", "1", "-2.5e1"])))
    read = readers.read(path)
    assert read.names == ("time", "a", "b")
    np.testing.assert_array_equal(read.values, [[0, 1, -25]])


def test_npz_table(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", time=np.arange(3) / 10, a=np.array([1, 2, 3]))
    read = readers.read(tmp_path / "x.npz")
    np.testing.assert_array_equal(read.columns(["a"], read.time_axis("time", 10.0)), [[1], [2], [3]])


BAD = {
    "no endheader": ("x.sto", "time a\n0 1\n", "no line 'endheader'"),
    "nothing after the header": ("x.sto", "nRows=3\nendheader\n", "ends after its header; the file is cut short"),
    "fewer rows than it says": ("x.sto", PLAIN[:-9], "the header says 3 rows and there are 2"),
    "a row cut short": ("x.sto", PLAIN[:-3], "line 10 has 2 values for 3 columns; the file is cut short"),
    "fewer columns than it says": (
        "x.sto", PLAIN.replace("nColumns=3", "nColumns=4"), "says 4 columns and there are 3",
    ),
    "a word among numbers": ("x.sto", PLAIN.replace("\t3\t", "\tx3\t"), "line 9, column 'a' is 'x3'"),
    "a word in a CSV": ("x.csv", "time,a\n0,1\n0.01,x\n", "line 3, column 'a' is 'x'; it must be a number"),
    "decimal commas": ("x.csv", "time,a\n0,00,1,5\n", "line 2 has 4 values for 2 columns; are its decimals written"),
    "a blank line inside": ("x.csv", "time,a\n0,1\n\n0.01,2\n", "line 3 has 0 values for 2 columns"),
    "no names": ("x.csv", "0,1\n0.01,2\n", "its first row must name the columns"),
    "empty": ("x.csv", "\n\n", "is empty"),
    "another type": ("x.xlsx", "?", "type '.xlsx' cannot be read; allowed: .sto, .mot, .csv"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text", "said"), BAD.values(), ids=BAD.keys())
def test_bad_tables_are_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(RecordingError) as caught:
        readers.read(path)
    assert said in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_file_and_bytes_that_are_not_text(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"cannot read .*gone\.csv: no such file; it must be a table"):
        readers.read(tmp_path / "gone.csv")
    (tmp_path / "x.csv").write_bytes(b"time,a\n\xff\xfe,1\n")
    with pytest.raises(RecordingError, match="byte 7 is not UTF-8"):
        readers.read(tmp_path / "x.csv")


def test_missing_column_names_those_that_exist(tmp_path: Path) -> None:
    path = tmp_path / "x.sto"
    path.write_text(PLAIN)
    read = readers.read(path)
    with pytest.raises(RecordingError, match=r"has no column 'knee'; it has time, a, b"):
        read.columns(["a", "knee"], read.time_axis("time", 100.0))


def test_a_column_named_twice_is_refused_only_if_used(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("time,a,b,b\n0,1,2,3\n0.01,1,2,3\n")
    read = readers.read(path)
    times = read.time_axis("time", 100.0)
    assert read.columns(["a"], times).shape == (2, 1)
    with pytest.raises(RecordingError, match="has 2 columns named 'b'"):
        read.columns(["b"], times)


@pytest.mark.parametrize("value", ["nan", "inf", "-Infinity"])
def test_values_that_are_not_finite_are_named_by_row_column_and_time(tmp_path: Path, value: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"time,a,b,c\n1.00,1,2,nan\n1.01,1,{value},3\n")
    read = readers.read(path)
    times = read.time_axis("time", 100.0)
    assert read.columns(["a"], times).shape == (2, 1)  # what is not used may be missing
    with pytest.raises(RecordingError) as caught:
        read.columns(["a", "b"], times)
    assert f"column 'b', row 1 (time 1.01 s) is {float(value)}" in str(caught.value)


TIMES = {
    "a gap": ([0, 0.01, 0.02, 0.04], "row 3 has time 0.04 s, where 100 Hz from 0 s gives 0.03 s"),
    "another rate": ([0, 0.02, 0.04, 0.06], "the median rate is 50 Hz: correct rate_hz"),
    "backwards": ([0, 0.01, 0.0, 0.01], "row 2 has time 0 s"),
    "a hole": ([0, 0.01, float("nan"), 0.03], "time of row 2 is nan"),
    "one row": ([0], "has 1 rows; it needs at least 2"),
}


@pytest.mark.parametrize(("times", "said"), TIMES.values(), ids=TIMES.keys())
def test_irregular_time_is_refused(tmp_path: Path, times: list[float], said: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text("time,a\n" + "".join(f"{t},1\n" for t in times))
    with pytest.raises(RecordingError) as caught:
        readers.read(path).time_axis("time", 100.0)
    assert said in str(caught.value)


def test_rounded_times_are_regular(tmp_path: Path) -> None:
    """1/3 kHz printed to a tenth of a millisecond is off by up to 0.05 ms of 3 ms: rounding, not a gap."""
    path = tmp_path / "x.csv"
    path.write_text("time,a\n" + "".join(f"{i * 0.003:.4f},1\n" for i in range(50)))
    assert len(readers.read(path).time_axis("time", 1000 / 3)) == 50


def test_recording_goes_through_npz_unchanged_and_the_bytes_depend_on_it_alone(tmp_path: Path) -> None:
    recording = load("synthetic:people=1,seconds=2,tasks=level,seed=3")[0]
    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    archive.write_recording(one, recording)
    archive.write_recording(two, recording)
    assert one.read_bytes() == two.read_bytes()
    (back,) = load(str(one))
    assert (back.name, back.person, back.task, back.kind) == (
        recording.name,
        recording.person,
        recording.task,
        "synthetic",
    )
    assert back.mass_kg == recording.mass_kg and back.heel_strikes_s == recording.heel_strikes_s
    assert dict(back.provenance) == dict(recording.provenance)
    assert back.moments is not None and recording.moments is not None
    for name, signal in {**recording.signals, "moments": recording.moments}.items():
        other = back.moments if name == "moments" else back.signals[name]
        assert other.spec == signal.spec and other.start_s == signal.start_s
        np.testing.assert_array_equal(other.samples, signal.samples)


def test_truncated_npz_at_every_part_is_refused(tmp_path: Path) -> None:
    recording = load("synthetic:people=1,seconds=1,tasks=level")[0]
    whole = tmp_path / "whole.npz"
    archive.write_recording(whole, recording)
    content = whole.read_bytes()
    for length in (0, 1, 100, len(content) // 2, len(content) - 1):
        path = tmp_path / "cut.npz"
        path.write_bytes(content[:length])
        with pytest.raises(RecordingError, match=r"cut\.npz is not a"):
            load(str(path))


class Boom:
    """Would make a folder if it were ever unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.path,)


def test_objects_and_pickles_are_refused_and_do_not_run(tmp_path: Path) -> None:
    boom = Boom(str(tmp_path / "ran"))
    np.savez(tmp_path / "object.npz", recording=np.array([boom], dtype=object))
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(boom))
    for name in ("object.npz", "pickle.npz"):
        for reader in (lambda p: load(str(p)), readers.read):
            with pytest.raises(RecordingError):
                reader(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_npz_that_is_a_table_or_of_another_format(tmp_path: Path) -> None:
    np.savez(tmp_path / "table.npz", time=np.arange(3.0))
    with pytest.raises(RecordingError, match="describe a table of columns with a dataset TOML"):
        load(str(tmp_path / "table.npz"))
    np.savez(tmp_path / "new.npz", recording=np.array('{"format": "edgetool recording 9"}'))
    with pytest.raises(RecordingError, match="has format 'edgetool recording 9'; this version reads"):
        load(str(tmp_path / "new.npz"))
    np.savez(tmp_path / "bare.npz", recording=np.array('{"format": "edgetool recording 1"}'))
    with pytest.raises(
        RecordingError,
        match=r"is not a whole recording of edgetool's .export it again.: 'signals' is missing",
    ):
        load(str(tmp_path / "bare.npz"))


def test_npz_columns_must_be_numbers_of_one_length(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", time=np.arange(3.0), a=np.arange(4.0))
    with pytest.raises(RecordingError, match="columns must have equal lengths"):
        readers.read(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", time=np.arange(3.0), a=np.zeros((3, 2)))
    with pytest.raises(RecordingError, match=r"array 'a' has shape \(3, 2\)"):
        readers.read(tmp_path / "y.npz")
