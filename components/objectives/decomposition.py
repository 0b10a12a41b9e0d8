"""Where a Poly-EPO advantage comes from: reward times diversity, or both together.

Paper: arXiv 2604.17654. Over the sets that hold completion i, with rbar(G) the mean reward and d(G) the diversity,

    E_i = E[rbar d] = E[rbar] E[d]  +  Cov(rbar, d)

The first term pays for being correct among, and different from, the rest, each on average; the covariance pays when the
sets that are diverse are also the ones that are correct. Both are exact and cost one more closed form: E[d] is E_i with
every reward set to 1. The centred terms sum to the advantage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from components.objectives.base import center
from components.objectives.batch import Batch, Floats, Groups
from components.objectives.poly_epo import PolyEpo

__all__ = ["Decomposition", "decompose"]


@dataclass(frozen=True)
class Decomposition:
    """The two terms of the advantage, each (P, N) and centred in its group; 0 outside the mask."""

    product_PN: Floats
    covariance_PN: Floats


def decompose(
    objective: PolyEpo, rewards_PN: ArrayLike, clusters_PN: ArrayLike, mask_PN: ArrayLike | None = None
) -> Decomposition:
    """The two terms of ``objective.advantages`` of the same arguments.

    Raises:
        ObjectiveError: as ``advantages``.
    """
    advantages = objective.advantages(rewards_PN, clusters_PN, mask_PN)
    groups = Groups.check(rewards_PN, clusters_PN, mask_PN)
    product = groups.map(lambda batch: center(_mean_reward(batch, objective) * _mean_diversity(batch, objective)), 0.0)
    return Decomposition(product, advantages - product)


def _mean_reward(batch: Batch, objective: PolyEpo) -> Floats:
    """E[rbar] over the sets that hold i: its own reward and n-1 of the others'."""
    n, rewards = objective.set_size, batch.rewards_PN
    others = rewards.sum(axis=1, keepdims=True) - rewards
    means: Floats = (rewards + (n - 1) / (batch.group_size - 1) * others) / n
    return means


def _mean_diversity(batch: Batch, objective: PolyEpo) -> Floats:
    # Which completions may count is decided by the true rewards, before they are set to 1.
    counted = objective.counted(batch)
    plain = PolyEpo(set_size=objective.set_size, require_two_clusters=objective.require_two_clusters)
    return plain.scores(Batch(np.ones_like(batch.rewards_PN), counted.clusters_PN, batch.prompts_P))
