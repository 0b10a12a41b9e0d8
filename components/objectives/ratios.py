"""Ratios of binomial coefficients without ever forming one.

A set of n members is drawn from a group of N. Given that completion i is in it, the other n-1 members are a
uniform draw from the N-1 others. Everything the closed forms need is the chance that such a draw misses m
given completions:

    miss_one[m] = C(N-1-m, n-1) / C(N-1, n-1)      one member is known
    miss_two[m] = C(N-2-m, n-2) / C(N-2, n-2)      two members are known; 0 for n = 1

Each is the product of m factors (N-n-j) / (N-1-j) (or N-2-j), all of them in [0, 1]. A running product has a
relative error of about m ulp at any N, where differences of log-gamma lose digits as N grows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from components.objectives.batch import Floats

__all__ = ["MissChances", "miss_chances"]


@dataclass(frozen=True)
class MissChances:
    """The tables, indexed by m = 0..N; read-only because they are shared.

    ``share`` is (n-1)/(N-1): the chance that a given other completion is in a set that holds i.
    """

    miss_one: Floats
    miss_two: Floats
    share: float


@lru_cache(maxsize=256)
def miss_chances(group_size: int, set_size: int) -> MissChances:
    """Tables for sets of ``set_size`` = n from groups of ``group_size`` = N; needs 1 <= n < N."""
    miss_one = _running_product(group_size, set_size, 1)
    miss_two = _running_product(group_size, set_size, 2) if set_size > 1 else np.zeros(group_size + 1)
    miss_one.setflags(write=False)
    miss_two.setflags(write=False)
    return MissChances(miss_one, miss_two, (set_size - 1) / (group_size - 1))


def _running_product(group_size: int, set_size: int, known: int) -> Floats:
    missed = np.arange(group_size)
    # The numerator reaches 0 first (n >= known), so the clipped denominators never matter.
    factors = np.maximum(group_size - set_size - missed, 0) / np.maximum(group_size - known - missed, 1)
    return np.concatenate(([1.0], np.cumprod(factors)))
