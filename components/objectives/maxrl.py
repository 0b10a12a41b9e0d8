"""MaxRL: GRPO's advantage divided by the group's mean reward.

Paper: "Maximum Likelihood Reinforcement Learning", arXiv 2602.02710.

    A_i = (r_i - mean r) / mean r,      0 for the whole group where mean r = 0

Assumption: rewards are not negative (the paper's are 0 or 1), so that the mean is 0 only where every reward is;
negative ones are refused, for they would turn the sign of the whole group. With 0/1 rewards and success chance q,
sum_i grad log pi(y_i) A_i has the expectation N sum_{k=1}^{N-1} (1-q)^(k-1) grad q: the gradient of log q, its
series cut off after N - 1 terms. Hard prompts therefore weigh more than under GRPO.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.objectives.base import Objective, center
from components.objectives.batch import Batch, Floats
from components.objectives.errors import ObjectiveError

__all__ = ["MaxRl"]


@dataclass(frozen=True, kw_only=True)
class MaxRl(Objective):
    """See the module's docstring; it has no parameters."""

    def scores(self, batch: Batch) -> Floats:
        """The rewards: a set is a single completion."""
        return batch.rewards_PN

    def centered(self, batch: Batch) -> Floats:
        """A_i, (P, N).

        Raises:
            ObjectiveError: a reward is negative.
        """
        rewards = batch.rewards_PN
        if (rewards < 0).any():
            row, column = np.argwhere(rewards < 0)[0]
            where = f"prompt {int(batch.prompts_P[row])}"
            raise ObjectiveError("maxrl needs rewards of at least 0", where=where, value=float(rewards[row, column]))
        means_P1: Floats = rewards.mean(axis=1, keepdims=True)
        safe_P1 = np.where(means_P1 > 0, means_P1, 1.0)  # a mean of 0 has advantages of 0 already
        return center(rewards) / safe_P1
