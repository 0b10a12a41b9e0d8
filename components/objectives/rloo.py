"""RLOO: each completion's reward against the mean of the others'.

Paper: "Back to Basics: Revisiting REINFORCE Style Optimization", arXiv 2402.14740.

    A_i = r_i - mean of r_j over j != i = N / (N - 1) (r_i - mean r)

The leave-one-out baseline is independent of completion i, so sum_i grad log pi(y_i) A_i has exactly the expectation
N grad E[r]. Edge case: equal rewards give 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from components.objectives.base import Objective, center
from components.objectives.batch import Batch, Floats

__all__ = ["Rloo"]


@dataclass(frozen=True, kw_only=True)
class Rloo(Objective):
    """See the module's docstring; it has no parameters."""

    @property
    def smallest_group(self) -> int:
        """Someone must be left out."""
        return 2

    def scores(self, batch: Batch) -> Floats:
        """The rewards: a set is a single completion."""
        return batch.rewards_PN

    def centered(self, batch: Batch) -> Floats:
        """A_i, (P, N)."""
        return center(batch.rewards_PN) * (batch.group_size / (batch.group_size - 1))
