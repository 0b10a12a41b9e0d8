"""Estimators from s samples per problem: what k of them would show. numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.errors import PolyEpoError

__all__ = ["Majority", "coverage", "distinct_correct", "majority_at_k", "pass_at_k"]

Float64 = NDArray[np.float64]


def pass_at_k(num_samples: ArrayLike, num_correct: ArrayLike, k: int) -> Float64:
    """Chance that k samples drawn without replacement from s, of which c are correct, hold a correct one.

    Unbiased estimator of pass@k, 1 - C(s - c, k) / C(s, k) (Chen et al. 2021, arXiv 2107.03374), as a product
    of k ratios: exact to about k rounding errors, without binomials that overflow.

    Args:
        num_samples: s, scalar or array of integers.
        num_correct: c, scalar or array that broadcasts with s; 0 <= c <= s.
        k: draws, 1 <= k <= every s.

    Returns:
        float64 of the broadcast shape (0-dimensional for scalars).

    Raises:
        PolyEpoError: k exceeds the samples (the estimator does not exist there), or a count is out of range.
    """
    samples, correct = np.broadcast_arrays(_integers(num_samples, "num_samples"), _integers(num_correct, "num_correct"))
    _check_k(k, int(samples.min(initial=np.iinfo(np.int64).max)), "pass@k")
    if ((correct < 0) | (correct > samples)).any():
        raise PolyEpoError("num_correct must be between 0 and num_samples", where="pass@k", value=correct.tolist())
    missed = np.ones(samples.shape)
    for drawn in range(k):
        # Once fewer wrong samples are left than draws, no draw can miss: the factor is 0, never negative.
        missed = missed * np.maximum(samples - correct - drawn, 0) / (samples - drawn)
    return np.asarray(1.0 - missed)


def distinct_correct(num_samples: ArrayLike, cluster_counts: Sequence[ArrayLike], draws: int) -> Float64:
    """Expected number of distinct correct clusters among ``draws`` of a problem's s samples, by rarefaction.

    Sum over clusters of 1 - C(s - m_c, m) / C(s, m) (Hurlbert 1971): each cluster counts with the chance that
    a draw without replacement holds one of its correct completions. Exact: no draw is made.

    Args:
        num_samples: s, one integer for all problems or (P,).
        cluster_counts: for each of P problems the numbers m_c of correct completions in its clusters.
        draws: m <= s.

    Returns:
        (P,) float64.
    """
    counts_P = [np.asarray(counts, dtype=np.int64).ravel() for counts in cluster_counts]
    lengths_P = np.array([len(counts) for counts in counts_P], dtype=np.int64)
    samples_P = np.broadcast_to(_integers(num_samples, "num_samples"), lengths_P.shape)
    _check_k(draws, int(samples_P.min(initial=np.iinfo(np.int64).max)), "distinct_correct")
    if not lengths_P.sum():
        return np.zeros(len(counts_P))
    owner = np.repeat(np.arange(len(counts_P)), lengths_P)
    found = pass_at_k(samples_P[owner], np.concatenate(counts_P), draws)
    return np.bincount(owner, weights=found, minlength=len(counts_P)).astype(np.float64)


def coverage(num_correct: ArrayLike) -> Float64:
    """(P,) 1.0 for each problem with at least one correct sample, else 0.0; the mean is the coverage."""
    return (_integers(num_correct, "num_correct") > 0).astype(np.float64)


@dataclass(frozen=True)
class Majority:
    """maj@k of P problems.

    Attributes:
        accuracy_P: (P,) chance that the winning answer is correct.
        share_P: (P,) mean share of the k votes that the winning answer takes.
    """

    accuracy_P: Float64
    share_P: Float64


def majority_at_k(answers_PS: ArrayLike, correct_PS: ArrayLike, k: int, *, draws: int, seed: int) -> Majority:
    """Majority vote among k samples drawn without replacement; ties are broken at random.

    Seeded Monte-Carlo: ``draws`` votes per problem, with a stream of random numbers of its own for each
    problem's place in the array, so that the errors of the draws average out over problems. A sample without
    an answer casts no vote but uses up its draw; a vote without any answer is lost. Where equal answers were
    judged differently, the winner counts with the share of its samples that are correct.

    Args:
        answers_PS: (P, S) integer answer ids, equal ids = equal answers within a problem, -1 = no answer.
        correct_PS: (P, S) whether each sample is correct.
        k: votes, 1 <= k <= S.
        draws: votes held per problem.
        seed: of the draws and of the ties.

    Raises:
        PolyEpoError: k exceeds S, or the shapes differ.
    """
    answers, correct = _integers(answers_PS, "answers"), np.asarray(correct_PS, dtype=bool)
    if answers.ndim != 2 or answers.shape != correct.shape:
        raise PolyEpoError(
            "answers and correct must both be (problems, samples)",
            where="majority@k",
            value=(answers.shape, correct.shape),
        )
    _check_k(k, answers.shape[1], "majority@k")
    votes = [
        _vote(answers_S, correct_S, k, draws, np.random.default_rng([seed, index]))
        for index, (answers_S, correct_S) in enumerate(zip(answers, correct, strict=True))
    ]
    accuracy_P, share_P = np.array(votes, dtype=np.float64).reshape(-1, 2).T
    return Majority(accuracy_P, share_P)


def _vote(
    answers_S: NDArray[np.int64], correct_S: NDArray[np.bool_], k: int, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Accuracy and winning share of one problem."""
    values, inverse, counts = np.unique(answers_S, return_inverse=True, return_counts=True)
    if values[-1] < 0:
        return 0.0, 0.0
    accuracy = np.bincount(inverse, weights=correct_S) / counts
    drawn = rng.multivariate_hypergeometric(counts, k, size=draws, method="count")
    drawn[:, values < 0] = 0
    # Below one vote: it decides ties and nothing else.
    winner = np.argmax(drawn + rng.random(drawn.shape) * (drawn > 0), axis=1)
    votes = drawn[np.arange(draws), winner]
    return float(np.where(votes > 0, accuracy[winner], 0.0).mean()), float(votes.mean() / k)


def _integers(values: ArrayLike, name: str) -> NDArray[np.int64]:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer):
        if array.size:
            raise PolyEpoError(f"{name} must be integers", where="evaluation", value=str(array.dtype))
        array = array.astype(np.int64)
    return array.astype(np.int64)


def _check_k(k: int, samples: int, where: str) -> None:
    if k < 1 or k > samples:
        raise PolyEpoError(
            f"k must be between 1 and the {samples} samples per problem",
            where=where,
            value=k,
            remedy="draw more samples (evaluation.samples) or lower k",
        )
