"""Intervals over seeds and problems together: how far a result could move with another seed and other problems."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from components.errors import PolyEpoError
from components.evaluation.intervals import Interval

__all__ = ["hierarchical_bootstrap"]


def hierarchical_bootstrap(values_SP: ArrayLike, *, draws: int, confidence: float, seed: int) -> Interval:
    """Percentile interval of the mean over S training seeds and P problems.

    Each draw takes S seeds with replacement and P problems with replacement, the same problems for all seeds: seeds
    are the upper level, problems are crossed with them because every seed is evaluated on the same ones. With few
    seeds such an interval is still too narrow; it says more than one over problems alone, and less than many seeds.

    Args:
        values_SP: one metric, (S, P).
        draws: resamples.
        confidence: e.g. 0.95.
        seed: of the resampling.

    Raises:
        PolyEpoError: no values, or one that is not finite.
    """
    values = np.asarray(values_SP, dtype=np.float64)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise PolyEpoError(
            "values must be finite and (seeds, problems)", where="hierarchical bootstrap", value=values.shape
        )
    rng = np.random.default_rng(seed)
    seeds, problems = values.shape
    # Multiplicities instead of rows: one matrix product per level.
    weights_DS = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws) / seeds
    weights_DP = rng.multinomial(problems, np.full(problems, 1 / problems), size=draws) / problems
    means_D = np.einsum("ds,sp,dp->d", weights_DS, values, weights_DP, optimize=True)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means_D, [tail, 1.0 - tail])
    return Interval(float(values.mean()), float(low), float(high))
