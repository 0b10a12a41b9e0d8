"""Why a completion earns its Poly-EPO advantage, and how that turns as n grows.

explain([1, 1, 0, 0], [0, 0, 1, -1], PolyEpo(set_size=2)).completions[2].advantage
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from components.objectives.base import center
from components.objectives.batch import Batch, Floats, Groups, Ints
from components.objectives.decomposition import decompose
from components.objectives.errors import ObjectiveError
from components.objectives.poly_epo import PolyEpo

__all__ = ["CompletionTerms", "Explanation", "SignRun", "explain"]

_ZERO = 1e-12


@dataclass(frozen=True)
class SignRun:
    """An unbroken range of set sizes over which an advantage keeps its sign (-1, 0 or 1)."""

    sign: int
    first: int
    last: int


@dataclass(frozen=True)
class CompletionTerms:
    """One completion of the group.

    Attributes:
        reward: its reward.
        cluster: its cluster id; -1 = degenerate.
        signs: the sign of A_i for every set size, in runs.
        own: first term of its set score: its reward times the clusters it meets.
        partners: second term: its partners' rewards times those clusters.
        rule: third term: what the single-cluster rule takes away; 0 without the rule.
        score: E_i, the sum of the three.
        advantage: A_i, the score minus the group's mean.
        product: part of A_i from mean reward x mean diversity.
        covariance: part of A_i from reward and diversity coming together.
        grpo: the reward minus the group's mean, for comparison.
    """

    reward: float
    cluster: int
    signs: tuple[SignRun, ...]
    own: float
    partners: float
    rule: float
    score: float
    advantage: float
    product: float
    covariance: float
    grpo: float

    @property
    def flips(self) -> tuple[int, ...]:
        """The set sizes at which the sign differs from that of the size before."""
        return tuple(run.first for run in self.signs[1:])


@dataclass(frozen=True)
class Explanation:
    """A whole group: its objective, its completions, and the advantages for every set size.

    Attributes:
        objective: as asked for.
        completions: in the order given.
        mean_score: mean score of all sets.
        advantages_SN: row s holds the advantages for set size s + 1, (N-1, N).
    """

    objective: PolyEpo
    completions: tuple[CompletionTerms, ...]
    mean_score: float
    advantages_SN: Floats


def explain(rewards: Sequence[float], clusters: Sequence[int], objective: PolyEpo) -> Explanation:
    """Explain one group of N completions.

    Args:
        rewards: N rewards.
        clusters: N cluster ids, -1 = degenerate.
        objective: Poly-EPO with the set size and rules to explain.

    Raises:
        ObjectiveError: the lengths differ, a value is malformed, or the set size is not below N.
    """
    if len(rewards) != len(clusters):
        raise ObjectiveError(
            "rewards and clusters differ in number", where="group", value=f"{len(rewards)} and {len(clusters)}"
        )
    groups = Groups.check([list(rewards)], [list(clusters)])
    batch = Batch(groups.rewards_PN, groups.clusters_PN, np.zeros(1, dtype=np.int64))
    parts = decompose(objective, batch.rewards_PN, batch.clusters_PN)
    by_size = np.stack([_at_size(batch, objective, size) for size in range(1, batch.group_size)])
    terms = objective.terms(batch)
    parts_PN = (parts.product_PN, parts.covariance_PN, center(batch.rewards_PN))
    columns = np.concatenate(
        (terms.own_PN, terms.partners_PN, terms.rule_PN, terms.total_PN, objective.centered(batch), *parts_PN)
    )
    completions = tuple(
        CompletionTerms(float(rewards[i]), int(clusters[i]), _signs(by_size[:, i]), *columns[:, i].tolist())
        for i in range(batch.group_size)
    )
    return Explanation(objective, completions, float(terms.total_PN.mean()), by_size)


def _at_size(batch: Batch, objective: PolyEpo, set_size: int) -> Floats:
    row: Floats = replace(objective, set_size=set_size).centered(batch)[0]
    return row


def _signs(advantages_S: Floats) -> tuple[SignRun, ...]:
    signs: Ints = (np.sign(advantages_S) * (np.abs(advantages_S) > _ZERO)).astype(np.int64)
    runs = [list(run) for _, run in groupby(enumerate(signs.tolist(), start=1), key=lambda pair: pair[1])]
    return tuple(SignRun(run[0][1], run[0][0], run[-1][0]) for run in runs)
