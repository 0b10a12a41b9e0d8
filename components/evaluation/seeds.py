"""Intervals over seeds and problems together: how far a result could move with another seed and other problems."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from components.errors import PolyEpoError
from components.evaluation.intervals import Ends, Interval, problem_draws

__all__ = ["hierarchical_bootstrap"]


def hierarchical_bootstrap(
    values_SP: ArrayLike, *, draws: int, confidence: float, seed: int, ends: Ends | None = None
) -> Interval:
    """Interval of the mean over S training seeds and P problems, which are crossed: each seed meets every problem.

    A draw is the mean of drawn problems, as in `bootstrap_interval`, moved by a draw of how far the mean of S seeds
    may be off: their standard error times a Student t with S - 1 degrees of freedom, the posterior for normal seeds
    under the prior of Jeffreys. Drawing seeds with replacement instead, as bootstraps of crossed data do (Owen 2007),
    leaves far too short intervals with the two to five seeds that one can afford (docs/statistics.md). One seed says
    nothing about seeds: its interval is over problems alone.

    Args:
        values_SP: one metric, (S, P).
        draws: draws behind the interval.
        confidence: e.g. 0.95.
        seed: of the draws.
        ends: the metric's range, as in `bootstrap_interval`; the interval keeps to it.

    Raises:
        PolyEpoError: no values, one that is not finite, or one outside the ends.
    """
    values = np.asarray(values_SP, dtype=np.float64)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise PolyEpoError(
            "values must be finite and (seeds, problems)", where="hierarchical bootstrap", value=values.shape
        )
    seeds, mean = len(values), float(values.mean())
    draws_D = problem_draws(values.mean(axis=0), ends, draws=draws, seed=seed)
    if seeds > 1:
        error = values.mean(axis=1).std(ddof=1) / np.sqrt(seeds)
        draws_D += error * np.random.default_rng([seed, 2]).standard_t(seeds - 1, draws)
    tail = (1.0 - confidence) / 2.0
    low, high = np.clip(np.quantile(draws_D, [tail, 1.0 - tail]), *(ends or (-np.inf, np.inf)))
    return Interval(mean, min(float(low), mean), max(float(high), mean))
