"""Intervals by bootstrap over problems: how far a mean could move with other problems. numpy alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.errors import PolyEpoError

__all__ = ["Difference", "Interval", "bootstrap_interval", "paired_bootstrap"]

_CELLS = 2**22  # resampled values held at once, 32 MiB


@dataclass(frozen=True)
class Interval:
    """A mean over problems with the ends of its percentile interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """The fields by name, rounded to 10 digits so that files read well."""
        return {name: round(value, 10) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Difference(Interval):
    """Mean of b - a with its interval; ``probability`` is the share of resamples in which b beats a."""

    probability: float


def bootstrap_interval(values_P: ArrayLike, *, draws: int, confidence: float, seed: int) -> Interval:
    """Percentile interval of the mean over P problems, each resample drawing P problems with replacement.

    The resamples depend on the seed and P alone, so that the intervals of several metrics of one evaluation
    rest on the same ones.

    Raises:
        PolyEpoError: no values, or one that is not finite.
    """
    values = _values(values_P)
    means = np.concatenate(list(_resampled_means(values, draws, seed)))
    low, high = _ends(means, confidence)
    return Interval(float(values.mean()), low, high)


def paired_bootstrap(
    baseline_P: ArrayLike, candidate_P: ArrayLike, *, draws: int, confidence: float, seed: int
) -> Difference:
    """Interval of the mean difference candidate - baseline on the same P problems, in the same order.

    Problems are resampled in pairs, so that how hard they are cancels out. A resample without any difference
    counts half for the probability of improvement.

    Raises:
        PolyEpoError: the numbers of problems differ, there are none, or a value is not finite.
    """
    baseline, candidate = _values(baseline_P), _values(candidate_P)
    if baseline.shape != candidate.shape:
        raise PolyEpoError(
            "a paired comparison needs the same problems on both sides",
            where="paired bootstrap",
            value=(len(baseline), len(candidate)),
        )
    differences = candidate - baseline
    means = np.concatenate(list(_resampled_means(differences, draws, seed)))
    low, high = _ends(means, confidence)
    # Sums of the same numbers in another order: what is below rounding is no difference.
    better, equal = (means > 1e-12).mean(), (np.abs(means) <= 1e-12).mean()
    return Difference(float(differences.mean()), low, high, float(better + equal / 2))


def _resampled_means(values_P: NDArray[np.float64], draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Means of ``draws`` resamples, in chunks that bound the memory."""
    rng = np.random.default_rng(seed)
    size = len(values_P)
    chunk = max(_CELLS // size, 1)
    for start in range(0, draws, chunk):
        picked = rng.integers(0, size, size=(min(chunk, draws - start), size))
        yield values_P[picked].mean(axis=1)


def _ends(means: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)


def _values(values_P: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(values_P, dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise PolyEpoError("needs one finite value per problem, at least one", where="bootstrap", value=values.shape)
    return values
