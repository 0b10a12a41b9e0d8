"""pass@n as a set objective: a set is as good as its best member.

Set RL as in arXiv 2604.17654 with f(G) = max of the rewards in G; for 0/1 rewards E[f] is pass@n.

Closed form from one sort. With rewards r_(1) <= ... <= r_(N), completion i at rank a, T = C(N-1, n-1):

    E_i = r_(a) C(a-1, n-1) / T  +  sum_{b > a} r_(b) C(b-2, n-2) / T
        = r_(a) q1[N-a]          +  p sum_{b > a} r_(b) q2[N-b]           (tables of ``ratios``)

Either i is the best (the other n-1 rank below it), or the one at rank b is. Ties may be broken in any order: every
order gives the same value. For 0/1 rewards with c correct this is 1 for a correct i and 1 - C(N-1-c, n-1) / T for a
wrong one. Clusters are not used. Edge cases: n = 1 is GRPO; equal rewards give 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.objectives.base import Objective
from components.objectives.batch import Batch, Floats, Ints
from components.objectives.checks import check_set_size
from components.objectives.ratios import miss_chances

__all__ = ["PassAtN", "best_of_sets", "best_without"]


@dataclass(frozen=True, kw_only=True)
class PassAtN(Objective):
    """See the module's docstring.

    Args:
        set_size: n, the completions of a set; 1 <= n < N.
    """

    set_size: int

    def __post_init__(self) -> None:
        check_set_size(self.set_size)

    @property
    def smallest_group(self) -> int:
        """Sets are smaller than the group."""
        return self.set_size + 1

    def scores(self, batch: Batch) -> Floats:
        """E_i, (P, N)."""
        return best_of_sets(batch.rewards_PN, self.set_size)


def best_of_sets(rewards_PN: Floats, set_size: int) -> Floats:
    """Mean over the sets that hold i of their best reward, (P, N)."""
    order, ordered = _sorted(rewards_PN)
    chances = miss_chances(rewards_PN.shape[1], set_size)
    best_here, best_above = _from_above(ordered, chances.miss_one, chances.miss_two)
    return _unsorted(order, best_here + chances.share * best_above)


def best_without(rewards_PN: Floats, set_size: int) -> Floats:
    """Mean over the same sets of the best reward among the members other than i, (P, N); 0 where n = 1.

    Ranks below i's count with C(b-1, n-2), ranks above with C(b-2, n-2).
    """
    order, ordered = _sorted(rewards_PN)
    size = rewards_PN.shape[1]
    chances = miss_chances(size, set_size)
    _, best_above = _from_above(ordered, chances.miss_one, chances.miss_two)
    weighted = np.zeros_like(ordered)
    weighted[:, 1:] = ordered[:, :-1] * chances.miss_two[size - 1 - np.arange(1, size)]
    return _unsorted(order, chances.share * (np.cumsum(weighted, axis=1) + best_above))


def _from_above(ordered_PN: Floats, miss_one: Floats, miss_two: Floats) -> tuple[Floats, Floats]:
    """Per rank a: r_(a) q1[N-a], and the sum over b > a of r_(b) q2[N-b]."""
    above = np.arange(ordered_PN.shape[1])[::-1]  # N - a for a = 1..N
    weighted = ordered_PN * miss_two[above]
    from_here_up = np.cumsum(weighted[:, ::-1], axis=1)[:, ::-1]
    return ordered_PN * miss_one[above], from_here_up - weighted


def _sorted(rewards_PN: Floats) -> tuple[Ints, Floats]:
    order = np.argsort(rewards_PN, axis=1, kind="stable")
    return order, np.take_along_axis(rewards_PN, order, axis=1)


def _unsorted(order_PN: Ints, ordered_PN: Floats) -> Floats:
    values = np.empty_like(ordered_PN)
    np.put_along_axis(values, order_PN, ordered_PN, axis=1)
    return values
