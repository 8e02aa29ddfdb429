"""Curves and pulses of the synthetic gait."""

from __future__ import annotations

import numpy as np

from toolkit.data.synthetic.curves import after_each


def test_a_pulse_counts_from_its_start_for_sixty_decays() -> None:
    time_s = np.arange(0.0, 10.0, 0.5)
    pulses = list(after_each(time_s, np.array([-1.0, 2.2, 9.9]), 0.05))
    assert [(rows.start, rows.stop) for rows, _ in pulses] == [(0, 4), (5, 11), (20, 20)]
    np.testing.assert_allclose(pulses[1][1], [0.3, 0.8, 1.3, 1.8, 2.3, 2.8], rtol=0, atol=1e-12)


def test_what_is_left_out_is_less_than_a_rounding() -> None:
    """The sum over all rows, as it was computed once, is the same number: what follows 60 decays is below 1e-26."""
    time_s, starts = np.arange(20_000) / 1000.0, np.array([0.5, 1.6, 2.9])
    whole, parts = np.zeros(20_000), np.zeros(20_000)
    for start in starts:
        whole += np.exp(-np.maximum(time_s - start, 0.0) / 0.06) * (time_s >= start)
    for rows, after in after_each(time_s, starts, 0.06):
        parts[rows] += np.exp(-after / 0.06)
    np.testing.assert_array_equal(1.0 + parts, 1.0 + whole)
