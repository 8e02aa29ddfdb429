"""CSV as instruments and spreadsheets write it: one table of numbers, written in every form, is read as the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toolkit.data import readers
from toolkit.errors import RecordingError

#: Each is time 0, 0.01, 0.02 and a column "a" 1.5, -2, 0.25.
SAME = {
    "preamble": b"Application:,Trigno\nName: x, y, z\n\ntime,a\n0,1.5\n0.01,-2\n0.02,0.25\n",
    "rates under the names": b"time,a\n,1925.926 Hz\n0,1.5\n0.01,-2\n0.02,0.25\n",
    "units under the names": b"time,a\n[s],[mV]\n0,1.5\n0.01,-2\n0.02,0.25\n",
    "decimal commas": b"time;a\n0;1,5\n0,01;-2\n0,02;,25\n",
    "UTF-16": "time\ta\n0\t1.5\n0.01\t-2\n0.02\t0.25\n".encode("utf-16"),
    "Windows-1252 above the numbers": "Essai été\ntime,a,EMG [µV]\n0,1.5,1\n0.01,-2,2\n0.02,0.25,3\n".encode("cp1252"),
    "delimiters at the ends": b"time,a,\n0,1.5,\n0.01,-2,\n0.02,0.25,\n",
    "more delimiters under the names": b"time,a\n0,1.5,,\n0.01,-2,,\n0.02,0.25,,\n",
    "words in a column": b"phase,time,a\nstance,0,1.5\nswing,0.01,-2\n,0.02,0.25\n",
    "dates and times": (
        b"time,a\n2026-03-01T00:00:00.000,1.5\n2026-03-01T00:00:00.010,-2\n2026-03-01T00:00:00.020,0.25\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("content", SAME.values(), ids=SAME.keys())
def test_forms_of_one_table(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    table = readers.read(tmp_path / "x.csv")
    times = table.time_axis("time", 100.0)
    np.testing.assert_allclose(times, [0, 0.01, 0.02], atol=1e-12)
    np.testing.assert_array_equal(table.columns(["a"], times)[:, 0], [1.5, -2, 0.25])


def test_times_of_day_count_from_midnight(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("t,a\n2026-03-01 23:59:59.5+01:00,1\n2026-03-02 00:00:00+01:00,2\n")
    np.testing.assert_array_equal(readers.read(tmp_path / "x.csv").values[:, 0], [86399.5, 86400.0])


def test_an_absent_value_is_not_a_number_and_is_refused_where_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("time,a,b\n0,1,1\n0.01,,2\n0.02,NA,3\n")
    table = readers.read(tmp_path / "x.csv")
    times = table.time_axis("time", 100.0)
    np.testing.assert_array_equal(table.columns(["b"], times)[:, 0], [1, 2, 3])
    with pytest.raises(RecordingError, match=r"column 'a', row 1 \(time 0.01 s\) is nan"):
        table.columns(["a"], times)


REFUSED = {
    "points and commas in one column": ("time;a\n0;1,5\n0,01;1.5\n", "line 2, column 'a' is '1,5'"),
    "a date that is none": ("time,a\n2026-03-01T00:00:00,1\n2026-03-41T00:00:00,1\n", "is '2026-03-41T00:00:00'"),
    "one time with a zone, one without": ("time,a\n2026-03-01T00:00:00Z,1\n2026-03-01T00:00:01,1\n", "line 3, column 'time'"),
    "a row too long": ("time,a\n0,1\n1,2,3\n", "line 3 has 3 values for 2 columns"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_could_be_read_in_two_ways_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(RecordingError) as caught:
        readers.read(tmp_path / "x.csv")
    assert said in str(caught.value)
