"""Intervals of a mean over problems: how far it could move with other problems of the same kind. numpy alone.

Three methods; docs/statistics.md shows how often each holds the truth, and why ``bayesian`` is the default:

- ``bayesian``: quantiles of the posterior under a Dirichlet process prior (see `resampling.posterior_means`). The prior
  says that problems unlike any seen may exist, at the ends of the metric's range; that is what small sets and metrics
  near 0 or 1 need, where the intervals below are too short or have no width at all.
- ``percentile``: quantiles of the bootstrap means (Efron 1979).
- ``bca``: the same at levels corrected for bias and skewness (Efron 1987).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.errors import PolyEpoError
from components.evaluation.resampling import posterior_means, resampled_means

__all__ = [
    "Difference",
    "Ends",
    "Interval",
    "Method",
    "bootstrap_interval",
    "bootstrap_intervals",
    "paired_bootstrap",
    "paired_bootstraps",
    "problem_draws",
]

Float64 = NDArray[np.float64]
Method = Literal["bayesian", "percentile", "bca"]
Ends = tuple[float, float]

_NORMAL = NormalDist()
_ROUNDING = 1e-12  # sums of the same numbers in another order differ by less


@dataclass(frozen=True)
class Interval:
    """A mean over problems with the ends of its interval; low <= value <= high."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """The fields by name, rounded to 10 digits so that files read well."""
        return {name: round(value, 10) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Difference(Interval):
    """Mean of b - a with its interval; ``probability`` is the share of draws in which b beats a."""

    probability: float


def bootstrap_interval(
    values_P: ArrayLike,
    *,
    draws: int,
    confidence: float,
    seed: int,
    method: Method = "bayesian",
    ends: Ends | None = None,
) -> Interval:
    """Interval of the mean over P problems.

    The draws depend on the seed and P alone, so that the intervals of several metrics of one evaluation rest on the
    same ones.

    Args:
        values_P: one value per problem.
        draws: resamples, or draws of the posterior.
        confidence: e.g. 0.95.
        seed: of the draws.
        method: see the module.
        ends: where the prior of ``bayesian`` puts its mass: the range of the metric, (0, 1) for a share. None: the
            smallest and the largest value, for a metric without a natural range.

    Raises:
        PolyEpoError: no values, one that is not finite, or one outside the ends.
    """
    values_PM = _values(values_P)[:, None]
    return bootstrap_intervals(values_PM, draws=draws, confidence=confidence, seed=seed, method=method, ends=[ends])[0]


def bootstrap_intervals(
    values_PM: ArrayLike,
    *,
    draws: int,
    confidence: float,
    seed: int,
    method: Method = "bayesian",
    ends: Sequence[Ends | None] | None = None,
) -> list[Interval]:
    """`bootstrap_interval` of each of M metrics, on the same draws and at little more than the cost of one.

    Raises:
        PolyEpoError: no values, one that is not finite, or one outside its ends.
    """
    values = _table(values_PM)
    draws_DM = _draw(values, _ends(values, ends), method, draws=draws, seed=seed)
    return _intervals(values, draws_DM, method, confidence)


def problem_draws(values_P: ArrayLike, ends: Ends | None, *, draws: int, seed: int) -> Float64:
    """(draws,) draws of the mean over problems behind the ``bayesian`` interval.

    Raises:
        PolyEpoError: no values, one that is not finite, or one outside the ends.
    """
    values_P1 = _values(values_P)[:, None]
    return _draw(values_P1, _ends(values_P1, [ends]), "bayesian", draws=draws, seed=seed)[:, 0]


def paired_bootstrap(
    baseline_P: ArrayLike,
    candidate_P: ArrayLike,
    *,
    draws: int,
    confidence: float,
    seed: int,
    method: Method = "bayesian",
) -> Difference:
    """Interval of the mean difference candidate - baseline on the same P problems, in the same order.

    Problems are drawn in pairs, so that how hard they are cancels out. The prior of ``bayesian`` puts half an
    observation at plus and half at minus the largest absolute difference: it favours neither side. A draw without any
    difference counts half for the probability of improvement.

    Raises:
        PolyEpoError: the numbers of problems differ, there are none, or a value is not finite.
    """
    baseline, candidate = _values(baseline_P), _values(candidate_P)
    return paired_bootstraps(
        baseline[:, None], candidate[:, None], draws=draws, confidence=confidence, seed=seed, method=method
    )[0]


def paired_bootstraps(
    baseline_PM: ArrayLike,
    candidate_PM: ArrayLike,
    *,
    draws: int,
    confidence: float,
    seed: int,
    method: Method = "bayesian",
) -> list[Difference]:
    """`paired_bootstrap` of each of M metrics, on the same draws and at little more than the cost of one.

    Raises:
        PolyEpoError: the numbers of problems or metrics differ, there are none, or a value is not finite.
    """
    baseline, candidate = _table(baseline_PM), _table(candidate_PM)
    if baseline.shape != candidate.shape:
        raise PolyEpoError(
            "a paired comparison needs the same problems on both sides",
            where="paired bootstrap",
            value=(len(baseline), len(candidate)),
        )
    differences_PM = candidate - baseline
    # In the order of the mean's sign: with the sides swapped every single draw is mirrored.
    signs_M = np.where(differences_PM.mean(axis=0) >= 0, 1.0, -1.0)
    ends_2M = np.array([[-1.0], [1.0]]) * signs_M * np.abs(differences_PM).max(axis=0)
    draws_DM = _draw(differences_PM, ends_2M, method, draws=draws, seed=seed)
    better_M = (draws_DM > _ROUNDING).mean(axis=0) + (np.abs(draws_DM) <= _ROUNDING).mean(axis=0) / 2
    return [
        Difference(**asdict(interval), probability=better)
        for interval, better in zip(
            _intervals(differences_PM, draws_DM, method, confidence), better_M.tolist(), strict=True
        )
    ]


def _draw(values_PM: Float64, ends_2M: Float64, method: Method, *, draws: int, seed: int) -> Float64:
    """(D, M) draws of the means."""
    if method == "bayesian":
        return posterior_means(values_PM, ends_2M, draws=draws, seed=seed)
    return resampled_means(values_PM, draws=draws, seed=seed)


def _intervals(values_PM: Float64, draws_DM: Float64, method: Method, confidence: float) -> list[Interval]:
    tail = (1.0 - confidence) / 2.0
    levels_M2 = np.full((values_PM.shape[1], 2), [tail, 1.0 - tail])
    if method == "bca":
        levels_M2 = np.array([_bca_levels(*pair, tail) for pair in zip(values_PM.T, draws_DM.T, strict=True)])
    intervals = []
    for mean, draws_D, levels_2 in zip(values_PM.mean(axis=0).tolist(), draws_DM.T, levels_M2, strict=True):
        low, high = np.quantile(draws_D, levels_2).tolist()
        # A mean at the end of its range lies outside the middle of the posterior, but never outside the interval.
        intervals.append(Interval(mean, min(low, mean), max(high, mean)))
    return intervals


def _bca_levels(values_P: Float64, draws_D: Float64, tail: float) -> list[float]:
    """Levels of the quantiles, corrected for the median bias of the draws and the skewness of the values.

    For a mean the acceleration, which Efron (1987) takes from the jackknife, has this closed form.
    """
    deviations_P = values_P - values_P.mean()
    spread = float((deviations_P**2).sum())
    if spread <= _ROUNDING**2:
        return [tail, 1.0 - tail]
    acceleration = float((deviations_P**3).sum()) / (6.0 * spread**1.5)
    shifted_D = draws_D - values_P.mean()
    below = float((shifted_D < -_ROUNDING).mean() + (np.abs(shifted_D) <= _ROUNDING).mean() / 2)
    nearest = 0.5 / len(draws_D)
    bias = _NORMAL.inv_cdf(min(max(below, nearest), 1.0 - nearest))
    levels = []
    for level in (tail, 1.0 - tail):
        shift = bias + _NORMAL.inv_cdf(level)
        # The correction has a pole at 1 / acceleration; a draw that far out is beyond every quantile.
        levels.append(_NORMAL.cdf(bias + shift / max(1.0 - acceleration * shift, _ROUNDING)))
    return levels


def _ends(values_PM: Float64, ends: Sequence[Ends | None] | None) -> Float64:
    """(2, M) the ends given, else the extremes of the values."""
    extremes_2M = np.stack([values_PM.min(axis=0), values_PM.max(axis=0)])
    ends_2M = extremes_2M.copy()
    for metric, pair in enumerate(ends or []):
        if pair is not None:
            ends_2M[:, metric] = pair
    if (extremes_2M[0] < ends_2M[0] - _ROUNDING).any() or (extremes_2M[1] > ends_2M[1] + _ROUNDING).any():
        raise PolyEpoError("a value lies outside the ends of its metric", where="bootstrap", value=ends)
    return ends_2M


def _values(values_P: ArrayLike) -> Float64:
    values = np.asarray(values_P, dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise PolyEpoError("needs one finite value per problem, at least one", where="bootstrap", value=values.shape)
    return values


def _table(values_PM: ArrayLike) -> Float64:
    values = np.asarray(values_PM, dtype=np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise PolyEpoError("needs a finite value of each metric per problem", where="bootstrap", value=values.shape)
    return values
