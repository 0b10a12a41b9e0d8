"""The interface of every objective, built in or the user's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from components.objectives.batch import Batch, Floats, Groups
from components.objectives.errors import ObjectiveError

__all__ = ["Objective", "center"]


class Objective(ABC):
    """Turns the rewards and clusters of each prompt's completions into one advantage per completion.

    A subclass gives ``scores`` (E_i, the mean score of the sets that hold completion i); the advantage is then
    E_i minus the group's mean (arXiv 2604.17654, marginal set advantage; we take the mean over the sets that
    hold i where the paper's formulas take the sum: a constant factor C(N-1, n-1) apart). An objective whose
    advantage is something else overrides ``centered`` too, and ``zero_sum`` where groups then need not sum to zero.
    """

    zero_sum = True
    """Whether the advantages of every group sum to zero: the data gate checks it."""

    @property
    def smallest_group(self) -> int:
        """The fewest completions a prompt may have."""
        return 1

    @abstractmethod
    def scores(self, batch: Batch) -> Floats:
        """E_i, shape (P, N), for groups of equal size."""

    def centered(self, batch: Batch) -> Floats:
        """A_i, shape (P, N), for groups of equal size."""
        return center(self.scores(batch))

    def set_scores(self, rewards_PN: ArrayLike, clusters_PN: ArrayLike, mask_PN: ArrayLike | None = None) -> Floats:
        """E_i: the mean score of the sets that hold completion i.

        Args:
            rewards_PN: rewards, (P, N).
            clusters_PN: integer cluster ids, -1 = degenerate, (P, N).
            mask_PN: True where a completion is present; None: everywhere. Each prompt counts with its own N.

        Returns:
            float64 (P, N); NaN where the mask is False, for a completion that is not there has no score.

        Raises:
            ObjectiveError: arrays are malformed or a prompt has too few completions.
        """
        groups = Groups.check(rewards_PN, clusters_PN, mask_PN)
        return groups.map(lambda batch: self._checked(self.scores, batch), absent=np.nan)

    def advantages(self, rewards_PN: ArrayLike, clusters_PN: ArrayLike, mask_PN: ArrayLike | None = None) -> Floats:
        """A_i, the advantage of each completion; arguments and errors as ``set_scores``.

        Returns:
            float64 (P, N); 0 where the mask is False, so that an absent completion moves no weight.
        """
        groups = Groups.check(rewards_PN, clusters_PN, mask_PN)
        return groups.map(lambda batch: self._checked(self.centered, batch), absent=0.0)

    def _checked(self, compute: Callable[[Batch], Floats], batch: Batch) -> Floats:
        if batch.group_size < self.smallest_group:
            raise ObjectiveError(
                f"too few completions: {type(self).__name__} needs at least {self.smallest_group} a prompt",
                where=f"prompt {int(batch.prompts_P[0])}",
                value=batch.group_size,
                remedy="sample more completions or choose a smaller set_size (sets are smaller than the group)",
            )
        # A copy: what the caller gets must not be the rewards it passed in.
        with np.errstate(over="ignore", invalid="ignore"):  # told below, with the prompt
            values = np.array(compute(batch), dtype=np.float64)
        if values.shape != batch.rewards_PN.shape:
            raise ObjectiveError(
                f"returned another shape than the rewards' {batch.rewards_PN.shape}",
                where=f"{type(self).__name__}.{compute.__name__}",
                value=values.shape,
            )
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            raise ObjectiveError(
                f"{type(self).__name__}.{compute.__name__} gave a value that is not finite",
                where=f"prompt {int(batch.prompts_P[row])}, completion {int(column)}",
                value=float(values[row, column]),
                remedy="rewards may be too large",
            )
        return values


def center(scores_PN: Floats) -> Floats:
    """Scores minus their group's mean; (P, N)."""
    mean_P1: Floats = scores_PN.mean(axis=1, keepdims=True)
    return scores_PN - mean_P1
