"""GRPO+DIV: GRPO on a reward that is shaped towards rare strategies; the paper's baseline.

Paper: arXiv 2604.17654.

    s_i = r_i + diversity_weight * d_i,     d_i = (N / |cluster of i| - 1) / (N - 1),     A_i = s_i - mean s

d_i is 1 for a cluster of one and 0 when everyone is in one cluster. Assumption of ours: a degenerate completion is
in no cluster and earns d_i = 0, else gibberish would be paid for being rare. The bonus depends on the other
completions too, and the estimator ignores that: it is reward shaping, not the gradient of a set objective.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.objectives.base import Objective
from components.objectives.batch import DEGENERATE, Batch, Floats
from components.objectives.checks import check_number
from components.objectives.clusters import cluster_sums

__all__ = ["GrpoDiv"]


@dataclass(frozen=True, kw_only=True)
class GrpoDiv(Objective):
    """See the module's docstring.

    Args:
        diversity_weight: lambda, in reward units, >= 0 and finite.
    """

    diversity_weight: float = 0.5

    def __post_init__(self) -> None:
        check_number("diversity_weight", self.diversity_weight, least=0)

    @property
    def smallest_group(self) -> int:
        """d_i divides by N - 1."""
        return 2

    def scores(self, batch: Batch) -> Floats:
        """The shaped rewards s_i, (P, N)."""
        sums = cluster_sums(batch)
        sizes_PN = np.take_along_axis(sums.sizes_PL, sums.labels_PN, axis=1)
        rarity_PN = (batch.group_size / sizes_PN - 1.0) / (batch.group_size - 1)
        return batch.rewards_PN + self.diversity_weight * np.where(batch.clusters_PN == DEGENERATE, 0.0, rarity_PN)
