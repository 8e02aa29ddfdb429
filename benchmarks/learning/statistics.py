"""Statistics of a comparison. The person is the unit of every interval and test: windows of one person are not independent."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

#: With fewer people no test is made: of five, the smallest two-sided p of a signed rank is 0.0625.
PEOPLE_FOR_TEST = 6
#: With fewer people there are under 40 different resamples of them, too few for a 95 % interval.
PEOPLE_FOR_INTERVAL = 5
RESAMPLES = 10_000
#: Up to so many people all sign flips are tried; above, so many random ones.
EXACT_PEOPLE = 12
FLIPS = 4096
#: Significance level, also of a point of the curve to belong to a cluster.
ALPHA = 0.05


def interval(values: Float, seed: int = 0) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval of the mean over people, values (people,); None for fewer than five."""
    if len(values) < PEOPLE_FOR_INTERVAL:
        return None
    chosen = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[chosen].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def wilcoxon(differences: Float) -> float | None:
    """Two-sided p of Wilcoxon's signed-rank test on paired differences (people,); None for fewer than six, or if all are 0."""
    if len(differences) < PEOPLE_FOR_TEST or not np.any(differences):
        return None
    from scipy.stats import wilcoxon as test

    return float(test(differences).pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P values corrected for their number (Holm 1979, Scand J Stat 6:65); None stays None and does not count."""
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    result: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        result[place] = largest
    return result


@dataclass(frozen=True)
class Cluster:
    """A stretch of the curve, ``start`` to ``stop`` in points (both included), its summed t and corrected p."""

    start: int
    stop: int
    mass: float
    p: float


def cluster_test(differences: Float, seed: int = 0) -> list[Cluster]:
    """Where two curves differ, from each person's difference curve (people, points): a cluster permutation test.

    Points whose paired t is beyond the two-sided 5 % bound form clusters of one sign; a cluster's p is the share of sign flips
    of whole people whose largest cluster is at least as heavy (Maris & Oostenveld 2007, J Neurosci Methods 164:177). The curve
    is not closed: 0 % and 100 % are not neighbours. Empty for fewer than six people. p has no value below 1 / flips.
    """
    people = len(differences)
    if people < PEOPLE_FOR_TEST:
        return []
    from scipy.stats import t as student

    bound = float(student.ppf(1 - ALPHA / 2, people - 1))
    heaviest = _heaviest(np.stack([_t(differences * flip[:, None]) for flip in _flips(people, seed)]), bound)
    return [
        Cluster(start, stop, mass, float((heaviest >= abs(mass) - 1e-9).mean()))
        for start, stop, mass in _clusters(_t(differences), bound)
    ]


def _flips(people: int, seed: int) -> Float:
    if people <= EXACT_PEOPLE:
        return np.array(list(itertools.product((1.0, -1.0), repeat=people)))
    signs = np.random.default_rng(seed).choice((1.0, -1.0), (FLIPS, people))
    signs[0] = 1.0  # what was observed is one of the flips, so that p is never 0
    return signs


def _t(differences: Float) -> Float:
    error = differences.std(axis=0, ddof=1) / np.sqrt(len(differences))
    mean = differences.mean(axis=0)
    t: Float = np.divide(mean, error, out=np.zeros_like(mean), where=error > 0)
    return t


def _clusters(t: Float, bound: float) -> list[tuple[int, int, float]]:
    sign = np.where(t > bound, 1, np.where(t < -bound, -1, 0))
    edges = np.flatnonzero(np.diff(sign)) + 1
    return [
        (int(part[0]), int(part[-1]), float(t[part].sum()))
        for part in np.split(np.arange(len(t)), edges)
        if sign[part[0]]
    ]


def _heaviest(t: Float, bound: float) -> Float:
    """The heaviest cluster of each row, t (flips, points)."""
    sign = np.where(t > bound, 1, np.where(t < -bound, -1, 0))
    running, heaviest, last = np.zeros(len(t)), np.zeros(len(t)), np.zeros(len(t), np.int64)
    for point in range(t.shape[1]):
        now = sign[:, point]
        running = np.where(now == 0, 0.0, t[:, point] + np.where(now == last, running, 0.0))
        heaviest, last = np.maximum(heaviest, np.abs(running)), now
    return heaviest


def mean_ranks(scores: Float) -> Float:
    """Mean rank of each model over people, scores (people, models), 1 is the smallest; ties share."""
    from scipy.stats import rankdata

    ranks: Float = rankdata(scores, axis=1).mean(axis=0)
    return ranks


def critical_difference(people: int, models: int) -> float | None:
    """By how much mean ranks must differ at 5 % (Nemenyi; Demsar 2006, JMLR 7:1); None for fewer than six people."""
    if people < PEOPLE_FOR_TEST or models < 2:
        return None
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - ALPHA, models, np.inf)) / 2**0.5
    return float(q) * float(np.sqrt(models * (models + 1) / (6 * people)))
