"""What a scored batch says about exploration: one flat mapping of numbers, returned and never logged here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIGNAL_EPSILON", "batch_metrics", "distinct_per_problem"]

SIGNAL_EPSILON = 1e-8
"""A problem whose advantages are all smaller than this in magnitude gives no gradient."""


def batch_metrics(
    rewards_PN: NDArray[np.float64],
    clusters_PN: NDArray[np.int64],
    advantages_PN: NDArray[np.float64],
    mask_PN: NDArray[np.bool_],
    *,
    correct_reward: float,
) -> dict[str, float]:
    """Metrics of a batch of P problems with up to N completions; cells outside ``mask_PN`` do not count.

    - reward_mean: mean reward of the completions
    - coverage: share of problems with a correct completion
    - distinct_correct: distinct clusters among a problem's correct completions, mean over problems
    - distinct_clusters: distinct clusters among all its completions, mean over problems
    - degenerate_share: share of completions in no cluster
    - signal_share: share of problems with an advantage of magnitude SIGNAL_EPSILON or more
    - wrong_positive_share: share of the wrong completions that earn a positive advantage (0 if none is wrong)
    """
    correct_PN = mask_PN & (rewards_PN >= correct_reward)
    wrong_PN = mask_PN & ~correct_PN
    clustered_PN = mask_PN & (clusters_PN >= 0)
    magnitude_P = np.where(mask_PN, np.abs(advantages_PN), 0.0).max(axis=1)
    wrong_positive = (wrong_PN & (advantages_PN > SIGNAL_EPSILON)).sum()
    return {
        "reward_mean": float(rewards_PN[mask_PN].mean()),
        "coverage": float(correct_PN.any(axis=1).mean()),
        "distinct_correct": float(distinct_per_problem(clusters_PN, correct_PN).mean()),
        "distinct_clusters": float(distinct_per_problem(clusters_PN, mask_PN).mean()),
        "degenerate_share": 1.0 - float(clustered_PN.sum() / mask_PN.sum()),
        "signal_share": float((magnitude_P >= SIGNAL_EPSILON).mean()),
        "wrong_positive_share": float(wrong_positive / max(int(wrong_PN.sum()), 1)),
    }


def distinct_per_problem(clusters_PN: NDArray[np.int64], counted_PN: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(P,) number of distinct cluster ids >= 0 among the cells that ``counted_PN`` marks."""
    values_PN = np.sort(np.where(counted_PN, clusters_PN, -1), axis=1)
    first_PN = np.diff(values_PN, axis=1, prepend=-1) > 0
    return np.asarray(first_PN.sum(axis=1), dtype=np.int64)
