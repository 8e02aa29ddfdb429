"""What a dataset declares of its time axes, mended and counted: by a table whose every value is its true time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toolkit.data import load
from toolkit.errors import RecordingError
from toolkit.records import Recording, Signal

RATE = 52000 / 27  # Delsys EMG, Hz


def dataset(folder: Path, emg: str, moments: str = 'time = "time"', more: str = "") -> Recording:
    (folder / "set.toml").write_text(
        'format = "edgetool dataset 1"\nkind = "measured"\n[[recording]]\nname = "r"\nperson = "p"\ntask = "level"\n'
        'mass_kg = 70\nfiles = { emg = "emg.csv", two = "two.csv", moments = "moments.csv" }\n'
        f'[emg]\nfile = "emg"\nunit = "mV"\n{emg}\n{more}\n'
        f'[moments]\nfile = "moments"\nrate_hz = 100\nunit = "Nm/kg"\nchannels = {{ m = "m" }}\n{moments}\n'
    )
    (recording,) = load(str(folder / "set.toml"))
    return recording


def table(folder: Path, name: str, rows: list[str]) -> None:
    (folder / name).write_text("\n".join(rows) + "\n")


def moments_table(folder: Path) -> None:
    table(folder, "moments.csv", ["time,m", *(f"{k / 100:.2f},{k}" for k in range(100))])


CHANNELS = 'channels = { a = "a" }'


def values(signal: Signal | None) -> list[float]:
    assert signal is not None
    return [float(value) for value in signal.samples[:, 0]]


def test_without_a_time_column_the_rate_gives_the_times(tmp_path: Path) -> None:
    moments_table(tmp_path)
    table(tmp_path, "emg.csv", ["a", *map(str, range(1900))])
    recording = dataset(tmp_path, f'rate_hz = {RATE}\ntime = "none"\n{CHANNELS}')
    assert recording.signals["emg"].spec.rate_hz == RATE and len(recording.signals["emg"].samples) == 1900


@pytest.mark.parametrize(("unit", "factor"), [("ms", 1e3), ("us", 1e6)])
def test_times_in_other_units(tmp_path: Path, unit: str, factor: float) -> None:
    moments_table(tmp_path)
    table(tmp_path, "emg.csv", ["time,a", *(f"{k / RATE * factor:.3f},{k}" for k in range(1900))])
    recording = dataset(tmp_path, f'rate_hz = {RATE}\ntime_unit = "{unit}"\n{CHANNELS}')
    assert recording.signals["emg"].duration_s == pytest.approx(1900 / RATE)


def test_two_channels_of_one_column(tmp_path: Path) -> None:
    moments_table(tmp_path)
    table(tmp_path, "emg.csv", ["time,a", *(f"{k / 1000:.3f},{k}" for k in range(1000) if k != 500)])
    channels = 'channels = { a = "a", b = { column = "a", scale = -1 } }'
    recording = dataset(tmp_path, f"rate_hz = 1000\nfill_rows = 1\n{channels}")
    emg = recording.signals["emg"]
    assert emg.spec.channel_names == ("a", "b") and list(emg.samples[500]) == [499, -499]
    assert recording.provenance["mended_emg"] == "1 missing rows filled"


def test_missing_rows_and_values_are_held_and_counted(tmp_path: Path) -> None:
    moments_table(tmp_path)
    rows = [f"{k / 1000:.3f},{k}" for k in range(1000) if k not in (500, 700, 701)]
    rows[100] = "0.100,nan"
    table(tmp_path, "emg.csv", ["time,a", *rows])
    recording = dataset(tmp_path, f"rate_hz = 1000\nfill_rows = 2\n{CHANNELS}")
    expected = list(range(1000))
    expected[100], expected[500], expected[700], expected[701] = 99, 499, 699, 699
    assert values(recording.signals["emg"]) == expected
    assert recording.provenance["mended_emg"] == "3 missing rows filled, 1 values that are no numbers filled"


def test_moments_lie_on_the_line_between_their_neighbours(tmp_path: Path) -> None:
    table(
        tmp_path, "moments.csv", ["time,m", *(f"{k / 100:.2f},{k}" for k in range(100) if k not in (40, 41))]
    )
    table(tmp_path, "emg.csv", ["time,a", *(f"{k / 1000:.3f},{k}" for k in range(1000))])
    recording = dataset(tmp_path, f"rate_hz = 1000\n{CHANNELS}", "fill_rows = 2")
    np.testing.assert_allclose(values(recording.moments), range(100), rtol=1e-6)


def test_jitter_is_taken_out_and_told(tmp_path: Path) -> None:
    moments_table(tmp_path)
    off = np.random.default_rng(1).uniform(0, 0.004, 1000)
    off[0] = 0
    table(tmp_path, "emg.csv", ["time,a", *(f"{k / 1000 + off[k]:.6f},{k}" for k in range(1000))])
    recording = dataset(tmp_path, f"rate_hz = 1000\njitter_ms = 4\n{CHANNELS}")
    assert values(recording.signals["emg"]) == list(range(1000))
    assert recording.provenance["mended_emg"] == f"times up to {1e3 * off.max():.3g} ms off"


@pytest.mark.parametrize("more", ["", "fill_rows = 1", "jitter_ms = 1", "fill_rows = 1\njitter_ms = 1"])
def test_more_than_was_declared_is_refused(tmp_path: Path, more: str) -> None:
    moments_table(tmp_path)
    rows = [f"{k / 1000:.3f},{k}" for k in range(1000) if k not in (500, 501, 502)]
    table(tmp_path, "emg.csv", ["time,a", *rows])
    with pytest.raises(RecordingError, match="row 500"):
        dataset(tmp_path, f"rate_hz = 1000\n{more}\n{CHANNELS}")


def test_a_value_missing_for_longer_is_refused(tmp_path: Path) -> None:
    moments_table(tmp_path)
    rows = [f"{k / 1000:.3f},{'' if k in (7, 8) else k}" for k in range(1000)]
    table(tmp_path, "emg.csv", ["time,a", *rows])
    with pytest.raises(RecordingError, match=r"column 'a', row 7 \(time 0.007 s\) is nan"):
        dataset(tmp_path, f"rate_hz = 1000\nfill_rows = 1\n{CHANNELS}")


def test_repeated_time_columns_and_shorter_columns(tmp_path: Path) -> None:
    """Delsys: a time column before each, the slower sensor's columns end earlier. Its own is the one to the left."""
    moments_table(tmp_path)
    rows = [
        f"{k / RATE:.6f},{k}," + (f"{k * 0.00675:.5f},{k}" if k < 147 else ",") for k in range(1900)
    ]  # 4000/27 Hz
    table(tmp_path, "emg.csv", ["X[s],a,X[s],acc", *rows])
    imu = (
        f'[imu]\nfile = "emg"\nunit = "g"\nrate_hz = {4000 / 27}\ntime = "X[s]"\nchannels = {{ acc = "acc" }}'
    )
    recording = dataset(tmp_path, f'rate_hz = {RATE}\ntime = "X[s]"\n{CHANNELS}', more=imu)
    assert values(recording.signals["emg"]) == list(range(1900))
    np.testing.assert_allclose(values(recording.signals["imu"]), 9.80665 * np.arange(147), rtol=1e-6)


def test_a_file_for_each_sensor(tmp_path: Path) -> None:
    """Two files of one stream, of which one begins 3 rows later and ends 2 rows earlier: rows of equal times stand together."""
    moments_table(tmp_path)
    table(tmp_path, "emg.csv", ["time,a", *(f"{k / 1000:.3f},{k}" for k in range(1000))])
    table(tmp_path, "two.csv", ["time,b", *(f"{k / 1000:.3f},{k}" for k in range(3, 998))])
    channels = 'channels = { b = { column = "b", file = "two" }, a = "a" }'
    recording = dataset(tmp_path, f"rate_hz = 1000\n{channels}")
    emg = recording.signals["emg"]
    assert emg.spec.channel_names == ("b", "a") and emg.start_s == 0.003
    np.testing.assert_array_equal(emg.samples[:, 0], emg.samples[:, 1])
    assert values(emg) == list(range(3, 998))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('time_unit = "h"', "time_unit is 'h'; allowed: s, ms, us"),
        ("fill_rows = 21", "fill_rows is 21; it must be 0 to 20"),
        ("fill_rows = true", "fill_rows is True"),
        ("jitter_ms = 0", "jitter_ms is 0; it must be above 0"),
        ('fill_rows = "2"', "fill_rows is '2'; it must be a whole number"),
    ],
)
def test_declarations_that_make_no_sense(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(RecordingError, match=said):
        dataset(tmp_path, f"rate_hz = 1000\n{line}\n{CHANNELS}")
