"""Draws of a mean over problems: resampled problems, or the posterior of a Dirichlet process. numpy alone.

Both are weighted means, so a chunk of draws is one matrix product, weights times values, whatever the number of
metrics. Weights depend on the seed and the number of problems alone: all metrics of an evaluation rest on the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["posterior_means", "resampled_means"]

Float64 = NDArray[np.float64]

_CELLS = 2**20  # weights held at once, 8 MiB: about what a core's cache holds


def resampled_means(values_PM: Float64, *, draws: int, seed: int) -> Float64:
    """(draws, M) means of P problems drawn with replacement (Efron 1979).

    Args:
        values_PM: M metrics of P problems.
        draws: resamples.
        seed: of the resampling.
    """
    problems = len(values_PM)
    rng = np.random.default_rng(seed)
    means = []
    for size in _chunks(draws, problems):
        picked = rng.integers(0, problems, size=(size, problems))
        picked += np.arange(size)[:, None] * problems
        counts = np.bincount(picked.ravel(), minlength=size * problems).reshape(size, problems)
        means.append(counts.astype(np.float64) @ values_PM / problems)
    return np.concatenate(means)


def posterior_means(values_PM: Float64, ends_2M: Float64, *, draws: int, seed: int) -> Float64:
    """(draws, M) draws of the population mean under a Dirichlet process prior with half an observation at each end.

    The posterior of a Dirichlet process (Ferguson 1973) puts weights Dirichlet(1, ..., 1, 1/2, 1/2) on the P values
    and the two ends. Without the ends it is the Bayesian bootstrap (Rubin 1981), which knows of no values but those
    seen; for values 0 and 1 it is the Beta posterior under the prior Beta(1/2, 1/2) of Jeffreys.

    Args:
        values_PM: M metrics of P problems.
        ends_2M: lower and upper end of each metric.
        draws: draws of the posterior.
        seed: of the draws.
    """
    problems = len(values_PM)
    # A stream each, so that the draws do not depend on how they are cut into chunks.
    of_problems, of_ends = (np.random.default_rng([seed, stream]) for stream in range(2))
    means = []
    for size in _chunks(draws, problems):
        weights = of_problems.standard_exponential((size, problems))
        end_weights = of_ends.standard_gamma(0.5, (size, 2))
        total = weights.sum(axis=1, keepdims=True) + end_weights.sum(axis=1, keepdims=True)
        means.append((weights @ values_PM + end_weights @ ends_2M) / total)
    return np.concatenate(means)


def _chunks(draws: int, problems: int) -> Iterator[int]:
    """Sizes that add up to ``draws`` and bound the memory."""
    chunk = max(_CELLS // problems, 1)
    for start in range(0, draws, chunk):
        yield min(chunk, draws - start)
