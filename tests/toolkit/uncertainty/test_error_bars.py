"""Error bars: values a person can check, coverage of people who took no part, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.errors import ContractError, RecordingError, UsageError
from toolkit.uncertainty import ErrorBars, Judged, fit_error_bars
from toolkit.uncertainty.conformal import weighted_quantile
from toolkit.uncertainty.error_bars import require_outputs

OUTPUTS = ("hip", "knee")


def bars() -> ErrorBars:
    return ErrorBars(OUTPUTS, np.array([[0.1, 1, 2, 3, 4], [0.2, 0, 0, 0, 0.5]], np.float32), 0.9, 3, "test")


def test_the_half_width_is_the_sum_of_the_page() -> None:
    # hip at 2, knee at -1: 0.1 + 1 * 2 + 4 * 1, and 0.2 + 0.5 * 1.
    assert bars().half_widths(np.array([2.0, -1.0])).tolist() == pytest.approx([6.1, 0.7])
    # Both the other way: 0.1 + 2 * 2 + 3 * 1, and 0.2.
    assert bars().half_widths(np.array([-2.0, 1.0])).tolist() == pytest.approx([7.1, 0.2])


def test_rows_at_once_are_rows_one_by_one() -> None:
    moments = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    one_by_one = np.stack([bars().half_widths(row) for row in moments])
    assert np.array_equal(bars().half_widths(moments), one_by_one)
    assert one_by_one.dtype == np.float32


def test_json_gives_the_same_bits_back() -> None:
    weights = np.random.default_rng(1).uniform(0, 1, (2, 5)).astype(np.float32)
    before = ErrorBars(OUTPUTS, weights, 0.8, 4, "somebody's")
    after = ErrorBars.from_json(before.to_json())
    assert np.array_equal(after.weights, weights)
    assert (after.outputs, after.level, after.people, after.basis) == (OUTPUTS, 0.8, 4, "somebody's")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": [[1, 2]]}, "2 rows of 5"),
        ({"weights": [[-1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]}, "at least 0"),
        ({"weights": [[float("nan")] * 5] * 2}, "finite"),
        ({"level": 1.0}, "between 0.5 and 0.99"),
        ({"level": "high"}, "not error bars"),
        ({"outputs": None}, "not error bars"),
    ],
)
def test_what_is_no_error_bar_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        ErrorBars.from_json(bars().to_json() | change)


def test_error_bars_of_other_joints_are_refused() -> None:
    require_outputs(bars(), OUTPUTS)
    with pytest.raises(ContractError, match="error bars are of hip, knee and the model gives knee, hip"):
        require_outputs(bars(), ("knee", "hip"))


def test_the_quantile_counts_importance() -> None:
    values = np.array([3.0, 1.0, 2.0])
    assert weighted_quantile(values, np.array([1.0, 1.0, 1.0]), 0.66) == 2.0
    assert weighted_quantile(values, np.array([8.0, 1.0, 1.0]), 0.5) == 3.0


def people(count: int, seed: int, tasks: tuple[str, ...] = ("level", "stairs")) -> list[Judged]:
    """Errors that grow with the moment (0.02 + 0.1 |m|), and of stairs twice as large; each person somewhat better or worse."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        skill = np.exp(rng.normal(0.0, 0.1))
        for task in tasks:
            estimates = rng.normal(0.0, 1.0 if task == "level" else 2.0, (400, 2))
            noise = rng.normal(size=(400, 2)) * (0.02 + 0.1 * np.abs(estimates)) * skill
            found.append(Judged(f"p{number}", task, estimates, estimates + noise))
    return found


def inside(found: ErrorBars, judged: list[Judged]) -> np.ndarray:
    return np.concatenate(
        [np.abs(one.targets - one.estimates) <= found.half_widths(one.estimates) for one in judged]
    )


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_of_people_who_took_no_part_the_stated_share_is_inside(level: float) -> None:
    found = fit_error_bars(people(10, 1), OUTPUTS, "test", level)
    others = people(40, 2)
    assert inside(found, others).mean() == pytest.approx(level, abs=0.02)
    for task in ("level", "stairs"):
        assert inside(found, [one for one in others if one.task == task]).mean() == pytest.approx(
            level, abs=0.03
        )


def test_the_width_follows_the_error() -> None:
    """The true 90 % half width is 1.645 (0.02 + 0.1 |m|)."""
    found = fit_error_bars(people(10, 1), OUTPUTS, "test")
    for moment in (0.5, 1.0, 2.0):
        half = found.half_widths(np.array([moment, 0.0]))[0]
        assert half == pytest.approx(1.645 * (0.02 + 0.1 * moment), rel=0.15)


def test_people_count_alike_whatever_their_number_of_rows() -> None:
    few, many = people(2, 3, ("level",)), people(2, 3, ("level",))
    longer = [
        Judged(many[0].person, "level", *(np.tile(v, (9, 1)) for v in (many[0].estimates, many[0].targets)))
    ]
    same = fit_error_bars([*longer, many[1]], OUTPUTS, "test")
    assert np.allclose(same.weights, fit_error_bars(few, OUTPUTS, "test").weights, rtol=1e-3, atol=1e-4)


def test_one_person_is_too_few() -> None:
    with pytest.raises(
        RecordingError, match="at least 2 people that the model did not learn from; there are 1"
    ):
        fit_error_bars(people(1, 0), OUTPUTS, "test")


def test_a_level_that_says_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match=r"between 0.5 and 0.99"):
        fit_error_bars(people(2, 0), OUTPUTS, "test", 0.999)
