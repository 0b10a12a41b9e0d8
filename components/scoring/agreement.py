"""How far two clusterings of the same completions agree: the adjusted Rand index, group by group.

The index (Hubert and Arabie, 1985) is 1 for equal partitions, 0 on average for independent ones and may be negative.
A degenerate completion is in no cluster, so it cannot be counted among pairs: the index of a group is that of
the completions that both clusterers put into a cluster, and how often only one of them found one is a figure of
its own. A group with fewer than two common completions says nothing and is left out, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.records import DEGENERATE

__all__ = ["Agreement", "adjusted_rand_index", "agreement"]


@dataclass(frozen=True)
class Agreement:
    """Two clusterings of P groups.

    Attributes:
        index_G: adjusted Rand index of the G groups with at least two common completions.
        left_out: groups with fewer.
        trivial: groups among the G in which both make one and the same partition of a kind that needs no insight:
            all in one cluster, or each in its own. Their index is 1 by convention.
        one_sided: share of the completions that exactly one clusterer calls degenerate.
        distinct: mean number of clusters per group, first and second clusterer.
    """

    index_G: NDArray[np.float64]
    left_out: int
    trivial: int
    one_sided: float
    distinct: tuple[float, float]


def adjusted_rand_index(first_N: ArrayLike, second_N: ArrayLike) -> float:
    """Adjusted Rand index of two labellings of N >= 2 things; 1.0 where both are the same trivial partition.

    Raises:
        ValueError: unequal lengths, or fewer than two things.
    """
    first, second = np.unique(first_N, return_inverse=True)[1], np.unique(second_N, return_inverse=True)[1]
    if first.shape != second.shape or first.size < 2:
        raise ValueError(f"two labellings of the same things, at least two of them: {first.shape}, {second.shape}")
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1.0)
    both, rows, columns = (_pairs(table).sum(), _pairs(table.sum(1)).sum(), _pairs(table.sum(0)).sum())
    expected = rows * columns / _pairs(np.array(float(first.size)))
    most = (rows + columns) / 2.0
    return 1.0 if most == expected else float((both - expected) / (most - expected))


def agreement(first: list[list[int]], second: list[list[int]]) -> Agreement:
    """Compare two clusterings, each a list of cluster ids (-1 = degenerate) per group.

    Raises:
        ValueError: the groups differ in number or size.
    """
    indexes, trivial, one_sided, total = [], 0, 0, 0
    for ids_N, others_N in zip(map(np.asarray, first), map(np.asarray, second), strict=True):
        if ids_N.shape != others_N.shape:
            raise ValueError(f"a group of {ids_N.size} completions against one of {others_N.size}")
        in_first, in_second = ids_N != DEGENERATE, others_N != DEGENERATE
        one_sided += int((in_first != in_second).sum())
        total += ids_N.size
        common = in_first & in_second
        if common.sum() >= 2:
            indexes.append(adjusted_rand_index(ids_N[common], others_N[common]))
            trivial += _is_trivial(ids_N[common]) and _is_trivial(others_N[common]) and indexes[-1] == 1.0
    return Agreement(
        index_G=np.array(indexes),
        left_out=len(first) - len(indexes),
        trivial=trivial,
        one_sided=one_sided / max(total, 1),
        distinct=(_mean_distinct(first), _mean_distinct(second)),
    )


def _pairs(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(counts * (counts - 1.0) / 2.0)


def _is_trivial(ids_N: NDArray[np.int64]) -> bool:
    return len(np.unique(ids_N)) in (1, len(ids_N))


def _mean_distinct(groups: list[list[int]]) -> float:
    return float(np.mean([len(set(ids) - {DEGENERATE}) for ids in groups])) if groups else 0.0
