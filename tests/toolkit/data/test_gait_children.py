"""The twelve children, if their files are beside the checkout: what is known about them from elsewhere must come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toolkit.data import load
from toolkit.data.channels import GRAVITY, MOMENTS, SEGMENTS, inertial_channels
from toolkit.data.check import check
from toolkit.data.describe import cycles
from toolkit.records import Recording

ROOT = Path(__file__).resolve().parents[3]
TOML = ROOT / "examples" / "gait_children.toml"
FILES = ROOT.parent / "shared" / "data" / "gait_children"
WALK = ROOT.parent / "shared" / "data" / "opensim_walk36"

pytestmark = pytest.mark.skipif(
    not FILES.is_dir(), reason=f"the children are not at {FILES}: their tests did NOT run"
)


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    pytest.importorskip("ezc3d")
    return load(f"{TOML}:root={FILES}")


def test_twelve_children_two_walks_two_legs(recordings: list[Recording]) -> None:
    assert len(recordings) == 48 and len({r.person for r in recordings}) == 12
    assert all(23 <= r.mass_kg <= 61 for r in recordings)
    assert recordings[0].signals["imu"].spec.channels == inertial_channels(SEGMENTS)
    assert {r.kind for r in recordings} == {"virtual-imu"}


def test_moments_count_for_a_stride_of_most_legs(recordings: list[Recording]) -> None:
    """An independent count on these files found 43 legs and 37.3 s; the rule of this reader is stricter by one leg."""
    spans = [span for r in recordings for span in r.valid_s or ()]
    assert len([r for r in recordings if r.valid_s]) == 42
    assert sum(stop - start for start, stop in spans) == pytest.approx(37.3, abs=1.0)
    assert all(0.2 < stop - start < 1.2 for start, stop in spans)


def test_who_has_no_emg(recordings: list[Recording]) -> None:
    for person in ("HC040A", "HC055A"):
        for one in recordings:
            if one.person == person:
                assert len(one.missing["emg"]) == 4
    clean = [r for r in recordings if not r.missing and r.valid_s]
    assert (len(clean), len({r.person for r in clean})) == (15, 9)


def test_events_of_the_files_are_contacts_with_the_plates(recordings: list[Recording]) -> None:
    one = next(r for r in recordings if r.name == "HC002D/straight/right")
    assert one.valid_s is not None and one.valid_s[0][0] == pytest.approx(1.83)  # its event says 1.83 s
    assert 1.83 in [round(t, 2) for t in one.heel_strikes_s]


@pytest.mark.skipif(
    not WALK.is_dir(), reason=f"the walking trial is not at {WALK}: its signs were NOT compared"
)
def test_signs_are_those_of_the_walking_trial(recordings: list[Recording]) -> None:
    """Level strides of both correlate, joint by joint, and push-off at the ankle is negative on every leg."""
    (walk,) = load(f"{TOML.parent / 'opensim_walk36.toml'}:root={WALK}")
    reference = np.nanmean(cycles(walk), axis=0)
    level = [cycles(r)[0] for r in recordings if r.task == "level" and len(cycles(r))]
    assert len(level) >= 22
    mean = np.ma.masked_invalid(level).mean(axis=0).filled(np.nan)
    known = np.isfinite(mean).all(axis=1)
    for joint, name in enumerate(MOMENTS):
        r = np.corrcoef(mean[known, joint], reference[known, joint])[0, 1]
        assert r > 0.5, f"{name}: {r}"  # a wrong sign gives the same with a minus
    assert all(np.nanmin(one[:, 2]) < -0.8 and np.nanmax(one[:, 2]) < 0.6 for one in level)


def test_both_legs_read_alike(recordings: list[Recording]) -> None:
    """Mirrored left legs and right ones: gravity along the shank, flexion in swing about +z, alike to within a third."""
    for name in ("shank_accel_y", "shank_gyro_z"):
        place = recordings[0].signals["imu"].spec.channel_names.index(name)
        sides = {
            side: np.mean(
                [
                    np.percentile(r.signals["imu"].samples[20:, place], 90)
                    for r in recordings
                    if r.name.endswith(side)
                ]
            )
            for side in ("left", "right")
        }
        assert sides["left"] == pytest.approx(sides["right"], rel=0.15)
    assert all(abs(r.signals["imu"].samples[20:, 1::6][:, 1].mean() - GRAVITY) < 3.0 for r in recordings)


def test_the_check_finds_what_is_known_of_the_electrodes(tmp_path: Path) -> None:
    """Without the TOML's own limits, and with the two electrodes that nobody wore."""
    pytest.importorskip("ezc3d")
    text = TOML.read_text().replace("dead_below = 0.001\n", "").replace("railed_at = 1.25\n", "")
    extra = 'tib_ant = "{S} Tib Ant"\nspare = "{S} Spare"\ntib_post = "{S} Tib Post"\n'
    path = tmp_path / "raw.toml"
    path.write_text(text.replace('tib_ant = "{S} Tib Ant"\n', extra))
    found: dict[str, set[str]] = {}
    for finding in check(load(f"{path}:root={FILES}")):
        if finding.what in ("dead", "railed", "flat"):
            found.setdefault(finding.recording, set()).add(finding.channel)
    four = {"rect_fem", "hamstrings", "gastrocnemius", "tib_ant"}
    for name in (
        f"{p}/{w}/{s}" for p in ("HC040A", "HC055A") for w in ("straight", "turn") for s in ("left", "right")
    ):
        assert four <= found[name]
    assert all({"spare", "tib_post"} <= channels for channels in found.values()) and len(found) == 48
