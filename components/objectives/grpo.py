"""GRPO: each completion's reward against its group's mean.

Paper: "DeepSeekMath", arXiv 2402.03300, in the form Poly-EPO's experiments use (arXiv 2604.17654): without the
division by the standard deviation, which "Dr. GRPO" (arXiv 2503.20783) shows to bias the update.

    A_i = r_i - mean r                           standardize = False
    A_i = (r_i - mean r) / (std r + epsilon)     standardize = True

The first is set RL with n = 1: sum_i grad log pi(y_i) A_i has the expectation (N - 1) grad E[r]. The second
is no unbiased gradient of any E[f]. Edge case: equal rewards give 0 in both.
"""

from __future__ import annotations

from dataclasses import dataclass

from components.objectives.base import Objective, center
from components.objectives.batch import Batch, Floats
from components.objectives.checks import check_flag, check_number

__all__ = ["Grpo"]


@dataclass(frozen=True, kw_only=True)
class Grpo(Objective):
    """See the module's docstring.

    Args:
        standardize: divide by the group's (population) standard deviation.
        epsilon: added to it, so that a nearly equal group does not explode; in reward units, >= 1e-12.
    """

    standardize: bool = False
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        check_flag("standardize", self.standardize)
        check_number("epsilon", self.epsilon, least=1e-12)

    def scores(self, batch: Batch) -> Floats:
        """The rewards: a set is a single completion."""
        return batch.rewards_PN

    def centered(self, batch: Batch) -> Floats:
        """A_i, (P, N)."""
        advantages = center(batch.rewards_PN)
        if self.standardize:
            advantages = advantages / (batch.rewards_PN.std(axis=1, keepdims=True) + self.epsilon)
        return advantages
