"""Estimators from s samples per problem: what k of them would show. numpy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.errors import PolyEpoError
from components.evaluation.counts import check_k, integers
from components.evaluation.majority import Majority, majority_at_k

__all__ = ["Majority", "coverage", "distinct_correct", "effective_correct", "majority_at_k", "pass_at_k"]

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
    samples, correct = np.broadcast_arrays(integers(num_samples, "num_samples"), integers(num_correct, "num_correct"))
    check_k(k, int(samples.min(initial=np.iinfo(np.int64).max)), "pass@k")
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
    samples_P = np.broadcast_to(integers(num_samples, "num_samples"), lengths_P.shape)
    check_k(draws, int(samples_P.min(initial=np.iinfo(np.int64).max)), "distinct_correct")
    if not lengths_P.sum():
        return np.zeros(len(counts_P))
    owner = np.repeat(np.arange(len(counts_P)), lengths_P)
    found = pass_at_k(samples_P[owner], np.concatenate(counts_P), draws)
    return np.bincount(owner, weights=found, minlength=len(counts_P)).astype(np.float64)


def effective_correct(cluster_counts: Sequence[ArrayLike]) -> Float64:
    """Effective number of correct clusters: exp of the entropy of the clusters' shares (Hill 1973, order 1).

    As many equally frequent clusters would have the same entropy. The entropy of shares m_c / c is too low, by about
    (clusters - 1) / (2 c) for c correct completions; instead of it stands sum_c (m_c / c) (H(c - 1) - H(m_c - 1)) with
    harmonic numbers H, whose expectation is the first c - 1 terms of the entropy's series
    sum_v (1 / v) sum_c p_c (1 - p_c)^v (Zhang 2012, Neural Computation 24). What bias is left is downwards in the
    entropy, and falls exponentially with c; the exponential lifts small c a little. The value can exceed the number of
    clusters seen: it estimates the policy's clusters, not the sample's.

    Args:
        cluster_counts: for each of P problems the numbers m_c of correct completions in its clusters.

    Returns:
        (P,) float64; 0 without a correct completion.
    """
    counts_P = [np.asarray(counts, dtype=np.int64).ravel() for counts in cluster_counts]
    counts_P = [counts[counts > 0] for counts in counts_P]
    totals_P = np.array([counts.sum() for counts in counts_P], dtype=np.int64)
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, totals_P.max(initial=1) + 1))])
    owner = np.repeat(np.arange(len(counts_P)), [len(counts) for counts in counts_P])
    flat = np.concatenate([np.zeros(0, dtype=np.int64), *counts_P])
    terms = flat / totals_P[owner] * (harmonic[totals_P[owner] - 1] - harmonic[flat - 1])
    entropy_P = np.bincount(owner, weights=terms, minlength=len(counts_P))
    return np.where(totals_P > 0, np.exp(entropy_P), 0.0)


def coverage(num_correct: ArrayLike) -> Float64:
    """(P,) 1.0 for each problem with at least one correct sample, else 0.0; the mean is the coverage."""
    return (integers(num_correct, "num_correct") > 0).astype(np.float64)
