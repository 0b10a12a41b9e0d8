"""Poly-EPO's polychromic set objective, in closed form.

Paper: "Poly-EPO: Training Exploratory Reasoning Models", arXiv 2604.17654.

    f(G) = mean reward of G  x  |U(G)| / n,      U(G) = the distinct clusters among G's n members

and with the single-cluster rule (``require_two_clusters``, the paper's) f(G) = 0 when |U(G)| <= 1. Degenerate
completions (cluster -1) are in no cluster; their reward still counts in the mean.

E_i is the mean of f over all C(N-1, n-1) sets that hold completion i, here in O(N + clusters) for any n. Write
m_c, R_c for size and reward sum of cluster c, d and R_D for the degenerates', R for the sum of all rewards,
p = (n-1)/(N-1), q1_c and q2_c for the chances that a set misses c given one and given two members outside c
(``ratios``), D1 = sum_c (1 - q1_c), D2 = sum_c (1 - q2_c), S = sum_c R_c q2_c. Then n^2 E_i is the sum of

    own       r_i (D1 + q1_k)                                          i's reward x the clusters it meets
    partners  p [ (D2 + q2_k) (R - r_i) + S - R_k q2_k ]               its partners' rewards x those clusters
    rule      - r_i q1[N-M] - p (R_k + R_D - r_i) q2[N-M],  M = m_k + d    sets where k is the only cluster

for i in cluster k. For a degenerate i the terms in k vanish from the first two, and the third runs over every
cluster c, less the sets of degenerates alone (they hold no cluster and score nothing as it is).

Edge cases: n = 1 without the rule is GRPO with degenerates' rewards taken as 0, with the rule every score is 0.
All rewards equal still gives a signal where cluster sizes differ; all rewards 0 gives none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from components.objectives.base import Objective
from components.objectives.batch import DEGENERATE, Batch, Floats
from components.objectives.checks import check_flag, check_number, check_set_size
from components.objectives.clusters import ClusterSums, cluster_sums
from components.objectives.errors import ObjectiveError
from components.objectives.ratios import MissChances, miss_chances

__all__ = ["PolyEpo", "PolyEpoTerms"]


@dataclass(frozen=True)
class PolyEpoTerms:
    """The three terms of E_i, each (P, N): their sum is the mean score of the sets that hold i."""

    own_PN: Floats
    partners_PN: Floats
    rule_PN: Floats

    @property
    def total_PN(self) -> Floats:
        """E_i."""
        return self.own_PN + self.partners_PN + self.rule_PN


@dataclass(frozen=True, kw_only=True)
class PolyEpo(Objective):
    """See the module's docstring.

    Args:
        set_size: n, the completions of a set; 1 <= n < N. About N/2 or less: the signal fades as n nears N.
        require_two_clusters: the single-cluster rule.
        diversity_over: ``all`` counts the clusters of all members (the paper); ``correct`` those of correct
            members alone, an ablation that takes the optimism about wrong but different completions away.
        correct_above: a completion is correct when its reward is above this; used by ``correct`` alone.
    """

    set_size: int
    require_two_clusters: bool = True
    diversity_over: Literal["all", "correct"] = "all"
    correct_above: float = 0.5

    def __post_init__(self) -> None:
        check_set_size(self.set_size)
        check_flag("require_two_clusters", self.require_two_clusters)
        check_number("correct_above", self.correct_above)
        if self.diversity_over not in ("all", "correct"):
            raise ObjectiveError("must be 'all' or 'correct'", where="diversity_over", value=self.diversity_over)

    @property
    def smallest_group(self) -> int:
        """Sets are smaller than the group."""
        return self.set_size + 1

    def scores(self, batch: Batch) -> Floats:
        """E_i, (P, N)."""
        return self.terms(batch).total_PN

    def terms(self, batch: Batch) -> PolyEpoTerms:
        """E_i term by term, as the module's docstring names them."""
        batch = self.counted(batch)
        chances = miss_chances(batch.group_size, self.set_size)
        sums = cluster_sums(batch)
        own, partners = _product_terms(batch.rewards_PN, sums, chances)
        rule = _rule_term(batch.rewards_PN, sums, chances) if self.require_two_clusters else np.zeros_like(own)
        scale = 1.0 / self.set_size**2
        return PolyEpoTerms(own * scale, partners * scale, rule * scale)

    def counted(self, batch: Batch) -> Batch:
        """The batch with every completion that may not add to diversity marked as degenerate."""
        if self.diversity_over == "all":
            return batch
        clusters = np.where(batch.rewards_PN > self.correct_above, batch.clusters_PN, DEGENERATE)
        return Batch(batch.rewards_PN, clusters, batch.prompts_P)


def _product_terms(rewards_PN: Floats, sums: ClusterSums, chances: MissChances) -> tuple[Floats, Floats]:
    """The own and the partners' term, times n^2."""
    q1_PL = chances.miss_one[sums.sizes_PL]
    q2_PL = chances.miss_two[sums.sizes_PL]
    q1_PL[:, 0] = q2_PL[:, 0] = 0.0  # a degenerate's own label is no cluster: the terms in k vanish
    weighted_PL = sums.rewards_PL * q2_PL
    met_one = (1.0 - q1_PL[:, 1:]).sum(axis=1, keepdims=True)
    met_two = (1.0 - q2_PL[:, 1:]).sum(axis=1, keepdims=True)
    others_PN = sums.rewards_PL.sum(axis=1, keepdims=True) - rewards_PN
    own = rewards_PN * (met_one + sums.of_members(q1_PL))
    unmet = weighted_PL.sum(axis=1, keepdims=True) - sums.of_members(weighted_PL)
    partners = chances.share * ((met_two + sums.of_members(q2_PL)) * others_PN + unmet)
    return own, partners


def _rule_term(rewards_PN: Floats, sums: ClusterSums, chances: MissChances) -> Floats:
    """Minus what the sets of a single cluster would score, times n^2.

    Inside a pool of M completions (a cluster and the degenerates) the sets that hold i score in all
    r_i ones[M] + (pool's rewards - r_i) twos[M]; both tables follow from the chance to miss the N - M others.
    """
    outside_PL = rewards_PN.shape[1] - sums.sizes_PL - sums.sizes_PL[:, :1]
    outside_PL[:, 0] += sums.sizes_PL[:, 0]  # label 0: the degenerates alone
    ones_PL = chances.miss_one[outside_PL]
    twos_PL = chances.share * chances.miss_two[outside_PL]
    pools_PL = (sums.rewards_PL + sums.rewards_PL[:, :1]) * twos_PL
    pools_PL[:, 0] = sums.rewards_PL[:, 0] * twos_PL[:, 0]
    # Label 0 of each table becomes the sum over the clusters, less the sets of degenerates alone.
    for table in (ones_PL, twos_PL, pools_PL):
        table[:, 0] = (table[:, 1:] - table[:, :1]).sum(axis=1)
    slope = sums.of_members(ones_PL - twos_PL)
    return -(rewards_PN * slope + sums.of_members(pools_PL))
