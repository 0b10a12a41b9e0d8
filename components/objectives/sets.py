"""Sets of n out of N: all of them, or K drawn without replacement so that every completion is in one."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import chain, combinations

import numpy as np

from components.objectives.batch import Ints

__all__ = ["all_sets", "sampled_sets", "sets_needed"]

_LISTABLE = 100_000
"""Up to this many sets are listed and drawn from; above it, repeats among random draws are rare enough to drop."""


@lru_cache(maxsize=16)
def all_sets(group_size: int, set_size: int) -> Ints:
    """Members of every set, (C(N, n), n), read-only."""
    total = math.comb(group_size, set_size)
    flat = chain.from_iterable(combinations(range(group_size), set_size))
    members = np.fromiter(flat, dtype=np.int64, count=total * set_size).reshape(total, set_size)
    members.setflags(write=False)
    return members


def sets_needed(group_size: int, set_size: int) -> int:
    """The smallest K at which a draw of K sets holds every completion with a chance of at least one half.

    By the union bound, N (1 - n/N)^K <= 1/2; draws without replacement only help.
    """
    return math.ceil(math.log(2 * group_size) / -math.log1p(-set_size / group_size))


def sampled_sets(group_size: int, set_size: int, samples: int, rng: np.random.Generator) -> Ints:
    """Members of ``samples`` different sets, (K, n), that together hold every completion.

    Uniform over all such draws: a draw that leaves a completion out is thrown away whole. That keeps the estimate
    unbiased, for the condition treats all completions alike. Needs sets_needed(N, n) <= K <= C(N, n), which makes
    two draws enough on average.
    """
    while True:
        members = _draw(group_size, set_size, samples, rng)
        if len(np.unique(members)) == group_size:
            return members


def _draw(group_size: int, set_size: int, samples: int, rng: np.random.Generator) -> Ints:
    total = math.comb(group_size, set_size)
    if total <= _LISTABLE:
        return all_sets(group_size, set_size)[rng.choice(total, size=samples, replace=False)]
    members = np.empty((0, set_size), dtype=np.int64)
    while len(members) < samples:
        keys = rng.random((samples - len(members), group_size))
        fresh = np.sort(np.argpartition(keys, set_size, axis=1)[:, :set_size], axis=1)
        members = np.concatenate((members, fresh))
        _, first = np.unique(members, axis=0, return_index=True)
        members = members[np.sort(first)]
    return members
