"""Any symmetric set function of the user's own, by enumeration or from K sampled sets.

Set RL as in arXiv 2604.17654: E_i is the mean of f over the constructed sets that hold i, A_i = E_i - mean_j E_j.

``samples`` = None constructs all C(N, n) sets: exact. ``samples`` = K < C(N, n) draws K different sets for each prompt,
every completion in at least one. Both are unbiased: sum_i grad log pi(y_i) A_i has the expectation (N/n - 1) grad E[f].
For that any fixed choice of sets would do, since completions are exchangeable; the draw depends on the seed and the
prompt's index alone, and the same call gives the same numbers. We subtract the mean of E where the paper subtracts the
mean of f over the constructed sets: the same with all sets, the same expectation with K, and every group sums to 0.

Assumption: f does not depend on the order of its members. Cost: one call of f per set and prompt.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from components.objectives.base import Objective
from components.objectives.batch import Batch, Floats, Ints
from components.objectives.checks import check_set_size, check_whole
from components.objectives.errors import ObjectiveError
from components.objectives.imports import load_attribute
from components.objectives.sets import all_sets, sampled_sets, sets_needed

__all__ = ["SetFunction"]

SetScore = Callable[[Floats, Ints], float]


@dataclass(frozen=True, kw_only=True)
class SetFunction(Objective):
    """See the module's docstring.

    Args:
        function: f(rewards of the set (n,), clusters of the set (n,)) -> number; or its import path.
        set_size: n, the completions of a set; 1 <= n < N.
        samples: K, the sets drawn for each prompt; None: all of them.
        max_sets: the most sets a prompt may have when all are enumerated.
        seed: of the draw, at least 0.
    """

    function: str | SetScore
    set_size: int
    samples: int | None = None
    max_sets: int = 100_000
    seed: int = 0

    def __post_init__(self) -> None:
        check_set_size(self.set_size)
        if self.samples is not None:
            check_whole("samples", self.samples, least=1)
        check_whole("max_sets", self.max_sets, least=1)
        check_whole("seed", self.seed, least=0)
        function = load_attribute(self.function) if isinstance(self.function, str) else self.function
        if not callable(function):
            raise ObjectiveError("is not a function", where="function", value=self.function)
        object.__setattr__(self, "function", function)

    @property
    def smallest_group(self) -> int:
        """Sets are smaller than the group."""
        return self.set_size + 1

    def scores(self, batch: Batch) -> Floats:
        """E_i, (P, N).

        Raises:
            ObjectiveError: f raises, or returns something that is no finite number; there are more sets than
                ``max_sets``, or ``samples`` is too small to hold every completion.
        """
        scores = np.empty(batch.rewards_PN.shape)
        for row, prompt in enumerate(batch.prompts_P.tolist()):
            members = self._sets(batch.group_size, prompt)
            rewards, clusters = batch.rewards_PN[row, members], batch.clusters_PN[row, members]
            values = [self._score(*pair, prompt) for pair in zip(rewards, clusters, strict=True)]
            flat = members.ravel()
            sums = np.bincount(flat, weights=np.repeat(values, self.set_size), minlength=batch.group_size)
            scores[row] = sums / np.bincount(flat, minlength=batch.group_size)
        return scores

    def _sets(self, group_size: int, prompt: int) -> Ints:
        total = math.comb(group_size, self.set_size)
        needed = sets_needed(group_size, self.set_size)
        if self.samples is None or self.samples >= total:
            if total > self.max_sets and self.samples is None:
                raise ObjectiveError(
                    f"{total} sets are more than max_sets = {self.max_sets}",
                    where=f"prompt {prompt}",
                    remedy=f"set samples, at least {needed}",
                )
            return all_sets(group_size, self.set_size)
        if self.samples < needed:
            raise ObjectiveError(
                f"too few sets of {self.set_size} to hold every one of {group_size} completions",
                where=f"prompt {prompt}",
                value=self.samples,
                remedy=f"samples must be at least {min(needed, total)}",
            )
        return sampled_sets(group_size, self.set_size, self.samples, np.random.default_rng((self.seed, prompt)))

    def _score(self, rewards_n: Floats, clusters_n: Ints, prompt: int) -> float:
        assert callable(self.function)  # noqa: S101  (made so in __post_init__)
        where = f"prompt {prompt}, set with rewards {rewards_n.tolist()} and clusters {clusters_n.tolist()}"
        try:
            value = self.function(rewards_n, clusters_n)
        except Exception as error:
            raise ObjectiveError(f"the set function raised {type(error).__name__}: {error}", where=where) from error
        score = np.asarray(value)
        if score.ndim or score.dtype.kind not in "biuf" or not np.isfinite(score):
            raise ObjectiveError("the set function must return one finite number", where=where, value=value)
        return float(score)
