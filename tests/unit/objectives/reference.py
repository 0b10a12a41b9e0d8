"""Slow, plain references for the objectives: enumeration of sets, and rational arithmetic."""

from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np


def polychromic(rewards: Sequence[float], clusters: Sequence[int], require_two_clusters: bool = True) -> float:
    distinct = {cluster for cluster in clusters if cluster >= 0}
    if require_two_clusters and len(distinct) <= 1:
        return 0.0
    return float(sum(rewards)) / len(rewards) * len(distinct) / len(rewards)


def enumerated_scores(rewards: Sequence[float], clusters: Sequence[int], n: int, f: Callable) -> np.ndarray:
    """E_i: the mean of f over every set that holds i, each set built and scored."""
    size = len(rewards)
    sums = np.zeros(size)
    for members in combinations(range(size), n):
        sums[list(members)] += f([rewards[i] for i in members], [clusters[i] for i in members])
    return sums / comb(size - 1, n - 1)


def enumerated_polychromic(rewards_PN: np.ndarray, clusters_PN: np.ndarray, n: int, rule: bool) -> np.ndarray:
    """E_i of the polychromic objective for many groups at once, still set by set."""
    size = rewards_PN.shape[1]
    members = np.array(list(combinations(range(size), n)))
    one_hot = clusters_PN[:, :, None] == np.arange(clusters_PN.max() + 1)
    distinct = one_hot[:, members].any(axis=2).sum(axis=2)
    if rule:
        distinct = np.where(distinct <= 1, 0, distinct)
    values = rewards_PN[:, members].mean(axis=2) * distinct / n
    holds = (members[:, :, None] == np.arange(size)).any(axis=1)
    return values @ holds / comb(size - 1, n - 1)


def exact_polychromic(rewards: Sequence[int], clusters: Sequence[int], n: int, rule: bool) -> list[Fraction]:
    """E_i as exact fractions at any N, by counting the sets that hold i, hold j and meet cluster c.

    n^2 f(G) = sum over members j and clusters c of r_j [G meets c]; the single-cluster rule takes away what sets
    inside one cluster and the degenerates add.
    """
    size, total, pairs = len(rewards), _choose(len(rewards) - 1, n - 1), _choose(len(rewards) - 2, n - 2)
    sizes = Counter(clusters)
    lonely = sizes.pop(-1, 0)
    met_one = {c: total - _choose(size - 1 - m, n - 1) for c, m in sizes.items()}
    met_two = {c: pairs - _choose(size - 2 - m, n - 2) for c, m in sizes.items()}
    kinds = Counter(zip(rewards, clusters, strict=True))

    def inside(pool: set[int], count: int, kind: tuple[int, int]) -> int:
        """Reward of the sets that hold i and lie in a pool of ``count`` completions of these clusters."""
        rest = sum(r * k for (r, c), k in kinds.items() if c in pool) - kind[0]
        return kind[0] * _choose(count - 1, n - 1) + rest * _choose(count - 2, n - 2)

    def score(kind: tuple[int, int]) -> Fraction:
        reward, own = kind
        value = reward * sum(total if c == own else met_one[c] for c in sizes)
        for other, count in (kinds - Counter([kind])).items():
            value += count * other[0] * sum(pairs if c in (own, other[1]) else met_two[c] for c in sizes)
        for c in ([own] if own >= 0 else sizes) if rule else ():
            value -= inside({c, -1}, sizes[c] + lonely, kind)
            value += inside({-1}, lonely, kind) if own < 0 else 0
        return Fraction(value, n * n * total)

    scores = {kind: score(kind) for kind in kinds}
    return [scores[kind] for kind in zip(rewards, clusters, strict=True)]


def _choose(a: int, b: int) -> int:
    return comb(a, b) if a >= 0 and b >= 0 else 0
