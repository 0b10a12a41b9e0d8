"""PKPO: pass@k policy optimisation with the weights and baselines of its paper.

Paper: "Pass@K Policy Optimization: Solving Harder Reinforcement Learning Problems", arXiv 2505.15201; its k is our
set size n, its n our group size N. With E_i the mean best reward of the sets that hold i (``pass_at_n``):

    none            A_i = n/N E_i                                     the plain estimator
    loo             A_i = n/N E_i - n/(N-1) E_-i                      E_-i: mean best reward of the sets without i
    loo_minus_one   A_i = n/N (E_i - mean best reward of the n-1 other members)

Each makes sum_i grad log pi(y_i) A_i an unbiased estimate of exactly grad E[max of n rewards], constant 1. The last
has the least variance and is the paper's choice. The advantages of a group do not sum to 0. Edge cases: n = 1 leaves
loo_minus_one without a baseline (the best of nothing counts 0); the paper's n = N is refused, like everywhere here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from components.objectives.base import Objective
from components.objectives.batch import Batch, Floats
from components.objectives.checks import check_set_size
from components.objectives.errors import ObjectiveError
from components.objectives.pass_at_n import best_of_sets, best_without

__all__ = ["Pkpo"]

_BASELINES = ("none", "loo", "loo_minus_one")


@dataclass(frozen=True, kw_only=True)
class Pkpo(Objective):
    """See the module's docstring.

    Args:
        set_size: n, the paper's k; 1 <= n < N.
        baseline: ``none``, ``loo`` or ``loo_minus_one``.
    """

    # Only the baseline "loo" centres the whole group; the others leave a sum that is not zero, as in the paper.
    zero_sum = False

    set_size: int
    baseline: Literal["none", "loo", "loo_minus_one"] = "loo_minus_one"

    def __post_init__(self) -> None:
        check_set_size(self.set_size)
        if self.baseline not in _BASELINES:
            raise ObjectiveError(f"must be one of {', '.join(_BASELINES)}", where="baseline", value=self.baseline)

    @property
    def smallest_group(self) -> int:
        """Sets are smaller than the group."""
        return self.set_size + 1

    def scores(self, batch: Batch) -> Floats:
        """E_i, (P, N)."""
        return best_of_sets(batch.rewards_PN, self.set_size)

    def centered(self, batch: Batch) -> Floats:
        """A_i, (P, N)."""
        size, n = batch.group_size, self.set_size
        scores = self.scores(batch)
        if self.baseline == "none":
            return scores * (n / size)
        if self.baseline == "loo_minus_one":
            return (scores - best_without(batch.rewards_PN, n)) * (n / size)
        # All sets = those with i (n of N) and those without: the mean over all is the mean of E.
        without: Floats = (size * scores.mean(axis=1, keepdims=True) - n * scores) / (size - n)
        return scores * (n / size) - without * (n / (size - 1))
