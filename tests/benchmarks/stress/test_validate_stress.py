"""``validate --stress``: bounds that hold and bounds that do not, on a stress test that runs, of only what they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.validation.validate import stress_check
from quantization.bundle import Bundle
from toolkit.errors import UsageError

DATA = "synthetic:people=3,seed=77,seconds=16,tasks=level"


def test_bounds_of_a_stress_test_are_held(shipped_bundle: Path, tmp_path: Path) -> None:
    """All EMG dead is never ok and so keeps the first bound; a stuck gyroscope costs what the second does not allow."""
    bundle, bounds = Bundle.load(shipped_bundle), tmp_path / "bounds.toml"
    bounds.write_text('[[bound]]\nname = "dead"\nsize = "all EMG"\nmin_not_ok = 0.99\n')
    check = stress_check(bundle, bounds, DATA, 0, None)
    assert (check.row, check.name, check.value, check.detail) == ("stress", "broken_bounds", 0.0, "")
    assert check.passed
    with bounds.open("a") as more:
        more.write('[[bound]]\nname = "dead"\nsize = "one gyroscope axis"\nmax_rmse_increase = 0.0\n')
    seen: list[str] = []
    check = stress_check(bundle, bounds, DATA, 0, lambda stage, done, total: seen.append(stage))
    assert check.value == 1.0 and not check.passed
    assert check.detail.startswith("max_rmse_increase of dead one gyroscope axis is ")
    assert check.detail.endswith(", the bound is 0")
    # What no bound names is not run.
    assert {stage.split()[0] for stage in seen} == {"data", "none", "dead", "done"}


def test_a_bound_on_what_is_not_known_is_refused(shipped_bundle: Path, tmp_path: Path) -> None:
    """One line, before anything is run."""
    bounds = tmp_path / "bounds.toml"
    bounds.write_text('[[bound]]\nname = "rain"\nmin_not_ok = 0.9\n')
    with pytest.raises(UsageError, match="perturbation 'rain' is not known; allowed: none, imu-turned"):
        stress_check(Bundle.load(shipped_bundle), bounds, DATA, 0, None)
